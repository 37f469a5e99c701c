package penlogd

import (
	"fmt"
	"strconv"

	"github.com/penlb/pen/internal/getopt"
)

const usage = `Usage:
  penlogd [options] port

  -b        write without delay, which it does anyway
  -d        debugging on
  -f        stay in foreground
  -j dir    run in chroot
  -l file   write log to file
  -n N      number of pen log entries to cache [1000]
  -p file   write pid to file
  -u user   run as alternative user
`

const (
	defaultEntries = 1000
	maxEntries     = 1 << 24
)

// options is the command line.
type options struct {
	debug, foreground    bool
	jail, log, pid, user string
	entries              int
	port                 int
}

// parse reads the arguments, the program's name left out. It returns a usageError if the usage text is due.
func parse(args []string) (options, error) {
	o := options{entries: defaultEntries}
	p := getopt.New(args, "bdfj:l:n:p:u:")
	for opt, err := range p.Options() {
		if err != nil {
			return o, usageError{err}
		}
		switch opt.Flag {
		case 'd':
			o.debug = true
		case 'f':
			o.foreground = true
		case 'j':
			o.jail = opt.Arg
		case 'l':
			o.log = opt.Arg
		case 'n':
			if o.entries, err = strconv.Atoi(opt.Arg); err != nil || o.entries < 1 || o.entries > maxEntries {
				return o, fmt.Errorf("-n %s: not a number from 1 to %d", opt.Arg, maxEntries)
			}
		case 'p':
			o.pid = opt.Arg
		case 'u':
			o.user = opt.Arg
		}
	}
	if len(p.Operands()) != 1 {
		return o, usageError{}
	}
	var err error
	if o.port, err = strconv.Atoi(p.Operands()[0]); err != nil {
		return o, usageError{}
	}
	if o.port < 0 || o.port > 65535 {
		return o, fmt.Errorf("port %d out of range", o.port)
	}
	return o, nil
}

// usageError asks for the usage text, after the reason if there is one.
type usageError struct{ reason error }

func (e usageError) Error() string { return fmt.Sprint(e.reason) }
