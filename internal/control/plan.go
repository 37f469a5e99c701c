package control

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxNesting  = 16               // files that include files
	maxFiles    = 1000             // files of one plan, lest two that include each other twice never end
	maxBytes    = 16 << 20         // of all files of one plan, lest an endless one holds everybody up
	fileTimeout = 10 * time.Second // for pipes given as files
)

// Trust is how far who gives a command may reach beyond pen itself.
type Trust uint8

const (
	Remote   Trust = iota // a TCP client: only files below control_dir
	Local                 // a Unix client or a configuration file: all files that pen's user may touch
	Operator              // the command line: also says what the others may do
)

// A Problem is something wrong with a command, found before it was executed.
type Problem struct {
	From Position
	Text string // the command's name, what is wrong, what to do

	at int // its line in the plan
}

func (p Problem) Error() string { return p.From.String() + ": " + p.Text }

// Problems is all that is wrong with what was to be executed, in the order of the lines.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// text is all problems for who gave the command: positions only where they are in a file.
func (ps Problems) text() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		if lines[i] = p.Text; p.From.nesting > 0 {
			lines[i] = p.Error()
		}
	}
	return strings.Join(lines, "\n")
}

// planned is a command that is to be executed.
type planned struct {
	cmd     *command // nil: there is none of that name
	name    string   // with "no " in front if it is the `no` form
	args    []string // the words after the name
	from    Position
	no      bool  // the `no` form
	json    bool  // answer for machines
	refused error // not for this caller
}

// plan is a command, or a file with all it includes, before anything of it happens: files are read, words are
// checked and names are looked up while others go on executing commands.
type plan struct {
	env      *Env
	trust    Trust
	lines    []planned
	problems Problems
	doubts   Problems // what is ignored when the plan is executed, as in pen
	names
	files int
	bytes int // of all files
}

func (e *Env) newPlan(t Trust) *plan {
	return &plan{env: e, trust: t, names: names{found: map[string]*answer{}}}
}

// add plans one line. An include is replaced by what the file holds.
func (p *plan) add(text string, from Position) {
	w := words(firstLine(text))
	l := planned{from: from}
	if len(w) > 0 && w[0] == "json" {
		l.json, w = true, w[1:]
	}
	if len(w) == 0 {
		return
	}
	l.name, l.args, l.cmd = w[0], w[1:], p.env.lookup(w[0])
	if l.name == "no" && len(l.args) > 0 {
		if cmd := p.env.lookup(l.args[0]); cmd != nil && cmd.no != nil {
			l.cmd, l.no, l.name, l.args = cmd, true, l.name+" "+l.args[0], l.args[1:]
		}
	}
	l.refused = p.refuse(&l)
	k := check{plan: p, line: &l}
	switch {
	case l.refused != nil:
		k.wrong("%v", l.refused)
	case l.cmd == nil:
		k.doubt("unknown command; `help` lists those there are")
	case l.no && l.cmd.checkNo != nil:
		l.cmd.checkNo(&k)
	case !l.no && l.cmd.check != nil:
		l.cmd.check(&k)
	}
	if l.cmd == nil || l.cmd.name != "include" || l.refused != nil || len(l.args) == 0 {
		p.lines = append(p.lines, l)
		return
	}
	if err := p.file(l.args[0], from.nesting+1); err != nil {
		k.wrong("Can't read config file '%s': %v", l.args[0], err)
	}
}

// refuse is why the caller may not do this.
func (p *plan) refuse(l *planned) error {
	switch {
	case l.cmd == nil || l.no:
		return nil
	case l.cmd.operator && (p.trust < Operator || l.from.nesting > 0):
		return errors.New("only the command line may say so, with -O")
	case l.cmd.touches == nil || p.trust > Remote:
		return nil
	}
	if path := l.cmd.touches(p.env, l.args); path != "" {
		return p.env.confine(path)
	}
	return nil
}

var (
	errFiles = errors.New("too many files include each other")
	errLong  = fmt.Errorf("more than %d bytes of configuration", maxBytes)
)

// file plans the lines of a file. The error says that it cannot be read; what was read before is planned.
func (p *plan) file(path string, nesting int) error {
	if p.files++; nesting > maxNesting || p.files > maxFiles {
		return errFiles
	}
	text, err := readFile(path, maxBytes-p.bytes)
	p.bytes += len(text)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		p.add(line, Position{Source: path, Line: n, nesting: nesting})
	}
	return err
}

// readFile reads a file of at most so many bytes. It may be a FIFO: without O_NONBLOCK one that nobody writes to would
// hold us in open(2).
func readFile(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(fileTimeout)) // pipes have deadlines, files need none
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if len(text) > most {
		return nil, errLong
	}
	return text, err
}

// finish looks the names up that the lines hold, and puts the problems into the order of the lines.
func (p *plan) finish() {
	p.lookUp(p.env.Runtime)
	for _, w := range p.wanted {
		if err := p.found[w.host].err; err != nil {
			p.problems = append(p.problems, Problem{w.from, fmt.Sprintf("%s: %v; give an IP address, or a name that "+
				"this machine can look up", w.what, err), w.at})
		}
	}
	slices.SortStableFunc(p.problems, inOrder)
}

// everything is problems and doubts.
func (p *plan) everything() Problems {
	all := slices.Concat(p.problems, p.doubts)
	slices.SortStableFunc(all, inOrder)
	return all
}

func inOrder(a, b Problem) int { return cmp.Compare(a.at, b.at) }

// include is the run of an `include` that has no file to plan.
func include(c *call) { c.ignored("argument missing") }
