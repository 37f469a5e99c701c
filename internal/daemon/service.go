package daemon

import (
	"fmt"
	"strings"

	"github.com/penlb/pen/internal/getopt"
	"github.com/penlb/pen/internal/process"
)

// ownConfig is what a service reads without -F; it lies beside the program.
const ownConfig = "pen.cfg"

// installService answers -i: where the system has services pen becomes one, with the rest of the command line.
func (d *Daemon) installService(name string) error {
	if !process.HasServices {
		fmt.Fprintln(d.env.Stderr, "Windows only")
		return exitNow{0}
	}
	if err := process.InstallService(name, serviceArgs(d.env.Args[1:])); err != nil {
		return err
	}
	return exitNow{0}
}

// removeService answers -u, which on Windows is the opposite of -i.
func (d *Daemon) removeService(name string) error {
	if err := process.RemoveService(name); err != nil {
		return err
	}
	return exitNow{0}
}

// serviceArgs is the command line of a service that args install, without the program's name: all but -i and -u, which
// would install and remove services whenever it starts.
func serviceArgs(args []string) (words []string) {
	p := getopt.New(args, optstring)
	for o, err := range p.Options() {
		if err != nil || o.Flag == 'i' || o.Flag == 'u' {
			continue // what is wrong will be found when the service starts
		}
		words = append(words, "-"+string(o.Flag))
		if strings.Contains(optstring, string(o.Flag)+":") {
			words = append(words, o.Arg)
		}
	}
	return append(append(words, "--"), p.Operands()...)
}
