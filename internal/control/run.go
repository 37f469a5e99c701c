package control

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/penlb/pen/internal/settings"
)

// A call is one command that is being executed.
type call struct {
	*Env
	planned
	// Settings is what the command sees and changes; it is published when the whole plan has been executed.
	Settings *settings.Store
	plan     *plan

	reply  bytes.Buffer
	object map[string]any // the reply for machines
	why    string         // the first reason why the command, or a part of it, had no effect
	err    error          // one that ends pen on the command line
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
	c.declined(format, args...)
	c.Logf("%s: %s: %s", c.from, c.name, fmt.Sprintf(format, args...))
}

// declined is ignored for reasons that the reply tells already.
func (c *call) declined(format string, args ...any) {
	if c.why == "" {
		c.why = fmt.Sprintf(format, args...)
	}
}

// Run executes the command in line, read at from on the command line, and returns its reply, nil if it has none. Only
// the first line of line counts. It may block for as long as the file system, the resolver (bounded) and the Runtime
// take. The error says what is so wrong that pen does not start with it: a place to listen at that is none, or the
// [Problems] of an included file, nothing of which has been executed.
func (e *Env) Run(line string, from Position) ([]byte, error) {
	return e.execute(line, from, Operator)
}

func (e *Env) execute(line string, from Position, t Trust) (reply []byte, err error) {
	p := e.newPlan(t)
	p.add(line, from)
	p.finish()
	if p.files > 0 {
		return e.include(p, asksJSON(line))
	}
	if wrong := p.everything(); len(wrong) > 0 && asksJSON(line) {
		return jsonError(wrong.text()), nil
	}
	e.apply(p, func(c *call) { reply, err = c.answer(), c.err })
	return reply, err
}

// include executes the files of a plan, or nothing of them if something is wrong: that is logged, for plain replies
// have no word for it.
func (e *Env) include(p *plan, json bool) (reply []byte, err error) {
	if len(p.problems) > 0 {
		for _, problem := range p.problems {
			e.Logf("%v", problem)
		}
		if json {
			reply = jsonError(p.problems.text())
		}
		return reply, p.problems
	}
	e.apply(p, e.print)
	if json {
		reply = jsonObject(nil)
	}
	return reply, nil
}

// print sends the reply of a command in a file to Stdout.
func (e *Env) print(c *call) {
	reply := c.answer()
	if e.Stdout == nil || len(reply) == 0 {
		return
	}
	if _, err := e.Stdout.Write(reply); err != nil {
		e.Logf("%s: write reply: %v", c.from, err)
	}
}

// RunFile executes the commands of a file, one per line; their replies go to Stdout. First the whole file is read,
// checked, and its names are looked up; on [Problems] nothing has been executed. Any other error says that the file
// cannot be read. Unknown commands are logged and skipped.
//
// For the loops the file is one change: its access lists become effective together, first, so that nothing which
// refers to a list meets half of it; then its servers, each line at once; the other settings together, last.
func (e *Env) RunFile(path string) error {
	p := e.newPlan(Local)
	if err := p.file(path, 1); err != nil {
		return err
	}
	if p.finish(); len(p.problems) > 0 {
		return p.problems
	}
	e.apply(p, e.print)
	return nil
}

// Check is what is wrong with a line of the command line, unknown words included. Nothing is executed.
func (e *Env) Check(line string, from Position) Problems {
	p := e.newPlan(Operator)
	p.add(line, from)
	p.finish()
	return p.everything()
}

// CheckFile is [Env.Check] for a configuration file. The error says that it cannot be read.
func (e *Env) CheckFile(path string) (Problems, error) {
	p := e.newPlan(Local)
	if err := p.file(path, 1); err != nil {
		return nil, err
	}
	p.finish()
	return p.everything(), nil
}

// apply executes a plan as one change, and hands each command that is done to done.
func (e *Env) apply(p *plan, done func(*call)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	draft := settings.NewStore(*e.Settings.Get())
	before := draft.Get()
	lists := false // changed
	run := func(first bool) {
		for _, l := range p.lines {
			if first == (l.cmd != nil && l.cmd.lists) {
				lists = lists || first
				c := &call{Env: e, planned: l, Settings: draft, plan: p}
				c.run()
				done(c)
			}
		}
	}
	release := func() {}
	if len(p.lines) > 1 {
		release = e.ACL.Hold()
	}
	run(true)
	release()
	run(false)
	if s := draft.Get(); s != before {
		e.Settings.Update(func(now *settings.Settings) { *now = *s })
		e.Runtime.SettingsChanged()
	}
	if lists && e.Runtime.Serving() {
		e.reportCountries()
	}
}

// run executes one command.
func (c *call) run() {
	switch {
	case c.cmd == nil:
		c.printf("do_cmd: ignoring command starting with '%s'\n", c.name)
		c.ignored("unknown command")
	case c.refused != nil:
		c.ignored("%v", c.refused)
		if c.cmd.shows {
			c.args = nil
			c.cmd.run(c)
		}
	case c.no:
		c.cmd.no(c)
	default:
		c.cmd.run(c)
	}
}

// resolve turns a host name of the plan into an address.
func (c *call) resolve(host string) (netip.Addr, error) { return c.plan.resolve(host) }

// lookup finds a command by name, nil if there is none.
func (e *Env) lookup(name string) *command {
	e.once.Do(func() {
		e.table = commands()
		e.byName = make(map[string]*command, len(e.table))
		for i := range e.table {
			e.byName[e.table[i].name] = &e.table[i]
		}
	})
	return e.byName[name]
}
