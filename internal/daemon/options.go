package daemon

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/getopt"
	"github.com/penlb/pen/internal/process"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/tlsterm"
)

// options is what the command line says beside settings: those go straight into the store.
type options struct {
	control.CommandLine
	control  string // -C
	tls      tlsterm.Options
	operands []string  // listen address, servers
	commands []command // -O and -o, for `check`
}

// command is one that the command line gave.
type command struct {
	line string
	from control.Position
}

// errUsage means that the usage text is the answer.
var errUsage = errors.New("usage")

// exitNow is an option that ends the program at once, in good order.
type exitNow struct{ status int }

func (exitNow) Error() string { return "exit" }

// flags are the options without argument that set something.
var flags = map[byte]func(*settings.Settings){
	'H': func(s *settings.Settings) { s.HTTP = true },
	'N': func(s *settings.Settings) { s.Rules.Hash, s.Rules.RoundRobin = true, true },
	'W': func(s *settings.Settings) { s.Rules.Weight = true },
	'X': func(s *settings.Settings) { s.ExitEnabled = true },
	'U': func(s *settings.Settings) { s.UDP = true },
	'a': func(s *settings.Settings) { s.ASCII = true },
	'd': func(s *settings.Settings) { s.Debug++ },
	'h': func(s *settings.Settings) { s.Rules.Hash = true },
	'r': func(s *settings.Settings) { s.Rules.RoundRobin = true },
	's': func(s *settings.Settings) { s.Rules.Stubborn = true },
}

// obsolete are options that pen keeps accepting, with its words for why they do nothing.
var obsolete = map[byte]string{
	'D': "delayed forwarding is gone,\nmaking the -D option obsolete",
	'Q': "the best engine is the default,\nmaking the -Q option obsolete",
	'n': "all sockets are nonblocking,\nmaking the -n option obsolete",
	'S': "the server table grows by itself,\nmaking the -S option obsolete",
}

// parse reads the command line from left to right. Settings and commands take effect as they are met.
func (d *Daemon) parse(args []string) error {
	p := getopt.New(args, optstring)
	for o, err := range p.Options() {
		if err != nil {
			fmt.Fprintf(d.env.Stderr, "pen: %v\n", err)
			return errUsage
		}
		if err := d.option(o); err != nil {
			return err
		}
	}
	d.opts.operands = p.Operands()
	return nil
}

// option takes one option.
func (d *Daemon) option(o getopt.Option) error {
	if f := flags[o.Flag]; f != nil {
		d.store.Update(f)
		return nil
	}
	if why := obsolete[o.Flag]; why != "" {
		fmt.Fprintf(d.env.Stderr, "pen: %s\n", why)
		return nil
	}
	set := d.store.Update
	switch o.Flag {
	case 'B':
		d.opts.Abuse = o.Arg
	case 'C':
		d.opts.control = o.Arg
	case 'E', 'K', 'G', 'A', 'R', 'Z', 'L':
		return d.tlsOption(o)
	case 'F':
		d.opts.ConfigFile = o.Arg
	case 'O', 'o':
		from := control.Position{Source: "-" + string(o.Flag)}
		d.opts.commands = append(d.opts.commands, command{o.Arg, from})
		reply, err := d.ctl.Run(o.Arg, from)
		d.env.Stdout.Write(reply)
		d.failed = errors.Join(d.failed, err)
	case 'P':
		d.ctl.Run("poll", control.Position{Source: "-P"})
	case 'c':
		d.ctl.Run("clients_max "+o.Arg, control.Position{Source: "-c"})
	case 'x':
		d.ctl.Run("conn_max "+o.Arg, control.Position{Source: "-x"})
	case 'e':
		d.opts.Emergency = o.Arg
	case 'f':
		d.opts.Foreground = true
	case 'i':
		return d.installService(o.Arg)
	case 'j':
		d.opts.Jail = o.Arg
	case 'l':
		set(func(s *settings.Settings) { s.Log = o.Arg })
	case 'p':
		d.opts.PidFile = o.Arg
	case 'u':
		if process.HasServices {
			return d.removeService(o.Arg)
		}
		d.opts.User = o.Arg
	case 'w':
		set(func(s *settings.Settings) { s.WebStats = o.Arg })
	default:
		return d.numeric(o)
	}
	return nil
}

// numeric takes an option whose argument is a number, read as atoi(3) reads it.
func (d *Daemon) numeric(o getopt.Option) error {
	n := control.Atoi(o.Arg)
	seconds := time.Duration(n) * time.Second
	var err error
	d.store.Update(func(s *settings.Settings) {
		switch o.Flag {
		case 'T':
			s.Tracking = seconds
		case 'b':
			s.Rules.Blacklist = seconds
		case 'm':
			s.MultiAccept = d.bump("multi_accept", n, 1)
		case 'q':
			s.ListenQueue = d.bump("listen_queue", n, 50)
		case 't':
			if n < 1 {
				err = errUsage
			}
			s.ConnectTimeout = seconds
		}
	})
	return err
}

// bump raises n to the least that works, and says so as pen does.
func (d *Daemon) bump(what string, n, least int) int {
	if n < least {
		fmt.Fprintf(d.env.Stderr, "pen: %s bumped to %s\n", what, strconv.Itoa(least))
		return least
	}
	return n
}
