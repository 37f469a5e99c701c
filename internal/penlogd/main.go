package penlogd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/accesslog/match"
	"github.com/penlb/pen/internal/process"
)

// Env is what the program sees of the world.
type Env struct {
	Args           []string // with the program's name
	Stdout, Stderr io.Writer
	Now            func() time.Time
}

// Main is the program. It returns the exit status after SIGTERM or an error; in the background the first process
// returns as soon as the second one serves.
func Main(e Env) int {
	o, err := parse(e.Args[min(1, len(e.Args)):])
	if u := (usageError{}); errors.As(err, &u) {
		if u.reason != nil {
			fmt.Fprintf(e.Stderr, "penlogd: %v\n", u.reason)
		}
		fmt.Fprint(e.Stdout, usage)
		return 0 // as pen
	}
	log := process.NewLogger("penlogd", e.Stderr)
	defer log.Close()
	status := 0
	if err == nil && process.CanDetach && !o.foreground && !process.IsBackground() {
		status, err = process.Detach(e.Args)
	} else if err == nil {
		err = run(e, o, log)
	}
	if err != nil {
		log.Fail(err)
		return 1
	}
	return status
}

// run serves until SIGTERM.
func run(e Env, o options, log *process.Logger) (err error) {
	logf := func(format string, args ...any) { log.Print(process.Notice, format, args...) }
	background, err := process.OpenBackground(log)
	if err != nil {
		return err
	}
	conn, err := listen(o.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	// In pen's order: what follows happens inside the jail, as the new user.
	if err := process.DropPrivileges(process.Privileges{Jail: o.jail, User: o.user}); err != nil {
		return err
	}
	out, err := openOutput(o.log, e.Stdout, logf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	if o.pid != "" {
		if err := process.WritePID(o.pid); err != nil {
			return fmt.Errorf("pid file %s: %w", o.pid, err)
		}
		defer func() { err = errors.Join(err, os.Remove(o.pid)) }()
	}
	defer signals(func() { conn.Close() }, func() {
		if err := out.reopen(); err != nil {
			logf("%v", err)
		}
	})()
	if err := background.Ready(letGo(o)...); err != nil {
		logf("%v", err)
	}
	s := &server{conn: conn, cache: match.NewCache(o.entries), out: out, debugf: func(string, ...any) {}, now: e.Now}
	if o.debug {
		s.debugf = func(format string, args ...any) { log.Print(process.Debug, format, args...) }
	}
	return s.serve()
}

// letGo are the descriptors that a process in the background has no use for: without -l stdout is the log.
func letGo(o options) []int {
	if o.log == "" {
		return []int{0, 2}
	}
	return []int{0, 1, 2}
}

// signals ends at TERM and reopens at HUP, until the function it returns is called.
func signals(end, reopen func()) (stop func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range c {
			if s == syscall.SIGHUP {
				reopen()
			} else {
				end()
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}
