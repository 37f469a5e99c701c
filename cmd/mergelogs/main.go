// Mergelogs merges the logs of the web servers behind pen into one that names the clients. See the manual page
// mergelogs(1).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/penlb/pen/internal/accesslog/match"
	"github.com/penlb/pen/internal/getopt"
)

const usage = `Usage: mergelogs -p penlog [-c] [-d] [-j jitter] [-t seconds] \
        server1:logfile1 [server2:logfile2 ...]

  -c                Look for matching entries in all of pen's log
  -d                Tell on stderr what was done
  -p penlog         Log file from pen
  -j jitter         Jitter in seconds [600]
  -t seconds        How far web servers' clocks are ahead of UTC, if their
                    logs do not tell
  server:logfile    Web server address and name of logfile
`

// env is what the program sees of the world.
type env struct {
	args           []string // after the program's name
	stdout, stderr io.Writer
}

func main() { os.Exit(run(env{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr})) }

// options is the command line.
type options struct {
	match.Options
	debug bool
	pen   string
	logs  []string
}

// run is the program; it returns the exit status.
func run(e env) int {
	o, ok, err := parse(e)
	if err == nil && !ok {
		fmt.Fprint(e.stdout, usage)
		return 0 // as pen
	}
	if err == nil {
		err = merge(e, o)
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "mergelogs: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the arguments. It returns false if the usage text is due.
func parse(e env) (o options, ok bool, err error) {
	o.Jitter = 600
	p := getopt.New(e.args, "cdp:j:t:")
	for opt, err := range p.Options() {
		if err != nil {
			fmt.Fprintf(e.stderr, "mergelogs: %v\n", err)
			return o, false, nil
		}
		switch opt.Flag {
		case 'c':
			o.All = true
		case 'd':
			o.debug = true
		case 'p':
			o.pen = opt.Arg
		case 'j':
			o.Jitter, err = seconds(opt)
		case 't':
			o.Offset, err = seconds(opt)
		}
		if err != nil {
			return o, false, err
		}
	}
	o.logs = p.Operands()
	if o.pen == "" && len(o.logs) > 0 {
		return o, false, errors.New("no log of pen: use -p")
	}
	return o, len(o.logs) > 0, nil
}

func seconds(o getopt.Option) (int64, error) {
	n, err := strconv.ParseInt(o.Arg, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("-%c %s: not a number of seconds", o.Flag, o.Arg)
	}
	return n, nil
}

func merge(e env, o options) error {
	pen, err := os.Open(o.pen)
	if err != nil {
		return err
	}
	defer pen.Close()
	var logs []match.WebLog
	for _, arg := range o.logs {
		server, name, ok := split(arg)
		if !ok {
			return fmt.Errorf("%s: not of the form server:logfile", arg)
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		logs = append(logs, match.WebLog{Server: server, Name: name, R: f})
	}
	st, err := match.Merge(e.stdout, pen, logs, o.Options)
	if o.debug {
		fmt.Fprintf(e.stderr, "mergelogs: %d lines, %d of them with the client from pen's log\n", st.Lines, st.Matched)
	}
	if st.Skipped > 0 {
		fmt.Fprintf(e.stderr, "mergelogs: %d lines without time or request left out\n", st.Skipped)
	}
	return err
}

// split splits server:logfile at the first colon; an IPv6 address stands in brackets.
func split(arg string) (server, name string, ok bool) {
	if rest, found := strings.CutPrefix(arg, "["); found {
		return strings.Cut(rest, "]:")
	}
	return strings.Cut(arg, ":")
}
