package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	maxNesting  = 16               // files that include files
	maxFile     = 16 << 20         // bytes read of a file, lest an endless one holds everybody up
	fileTimeout = 10 * time.Second // for pipes given as files
)

// A call is one command with its arguments.
type call struct {
	*Env
	name  string
	args  []string // the words after the name
	from  Position
	reply bytes.Buffer
}

// arg is argument i, "" if it was not given.
func (c *call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

func (c *call) printf(format string, args ...any) { fmt.Fprintf(&c.reply, format, args...) }

// ignored reports why a command, or a part of it, has no effect.
func (c *call) ignored(format string, args ...any) {
	c.Logf("%s: %s: %s", c.from, c.name, fmt.Sprintf(format, args...))
}

// Run executes the command in line, read at from, and returns its reply, nil if it has none. Only the first line of
// line counts. It may block for as long as the file system, the resolver (bounded) and the Runtime take.
func (e *Env) Run(line string, from Position) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.run(line, from)
}

// run is Run for who holds mu.
func (e *Env) run(line string, from Position) []byte {
	w := words(firstLine(line))
	if len(w) == 0 {
		return nil
	}
	c := call{Env: e, name: w[0], args: w[1:], from: from}
	before := e.Settings.Get()
	if cmd := e.lookup(c.name); cmd != nil {
		cmd.run(&c)
	} else {
		c.printf("do_cmd: ignoring command starting with '%s'\n", c.name)
		c.ignored("unknown command")
	}
	if e.Settings.Get() != before {
		e.Runtime.SettingsChanged()
	}
	return c.reply.Bytes()
}

// lookup finds a command by name, nil if there is none.
func (e *Env) lookup(name string) *command {
	if e.byName == nil {
		e.table = commands()
		e.byName = make(map[string]*command, len(e.table))
		for i := range e.table {
			e.byName[e.table[i].name] = &e.table[i]
		}
	}
	return e.byName[name]
}

// RunFile runs the commands of a file, one per line, and writes their replies to out, which may be nil. The error
// says that the file cannot be read; commands before the place of the error have been run. The access lists that the
// file changes become effective together, at its end.
func (e *Env) RunFile(path string, out io.Writer) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runFile(path, out)
}

var errNesting = errors.New("too many files include each other")

func (e *Env) runFile(path string, out io.Writer) error {
	if e.files >= maxNesting {
		return fmt.Errorf("include %s: %w", path, errNesting)
	}
	e.files++
	defer func() { e.files-- }()
	// Without O_NONBLOCK a FIFO that nobody writes to would hold us in open(2).
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(fileTimeout)) // pipes have deadlines, files need none
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	defer e.ACL.Hold()()
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		reply := e.run(line, Position{Source: path, Line: n})
		if out != nil && len(reply) > 0 {
			if _, werr := out.Write(reply); werr != nil {
				e.Logf("%s:%d: write reply: %v", path, n, werr)
			}
		}
	}
	return err
}
