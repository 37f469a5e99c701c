package penlogd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
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
	status := 0
	if err == nil && !o.foreground && !process.IsBackground() {
		status, err = process.Detach(e.Args)
	} else if err == nil {
		err = run(e, o)
	}
	if err != nil {
		fmt.Fprintf(e.Stderr, "penlogd: %v\n", err)
		return 1
	}
	return status
}

// run serves until SIGTERM.
func run(e Env, o options) (err error) {
	logf := logger(e)
	background, err := process.OpenBackground()
	if err != nil {
		return err
	}
	conn, err := listen(o.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	// In pen's order: what follows happens inside the jail, as the new user.
	if err := process.DropPrivileges(o.jail, o.user); err != nil {
		return err
	}
	out, err := openOutput(o.log, e.Stdout, logf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	if o.pid != "" {
		if err := os.WriteFile(o.pid, []byte(strconv.Itoa(os.Getpid())), 0o666); err != nil {
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
		return err
	}
	s := &server{conn: conn, cache: match.NewCache(o.entries), out: out, debugf: func(string, ...any) {}, now: e.Now}
	if o.debug {
		s.debugf = logf
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

// logger writes messages as pen does: with the time to stderr in the foreground, else to the system's log.
func logger(e Env) func(format string, args ...any) {
	if process.IsBackground() {
		if w, err := systemLog(); err == nil {
			return func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
		}
	}
	return func(format string, args ...any) {
		fmt.Fprintf(e.Stderr, "%s: %s\n", e.Now().Format(time.DateTime), fmt.Sprintf(format, args...))
	}
}
