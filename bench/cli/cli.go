// Package cli is the command line of the benchmark.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/scenario"
)

// Main runs the benchmark with the arguments after the program's name and returns the exit status: 2 for a wrong
// command line, 1 for any other error, 0 when all is fine.
func Main(args []string, stdout, stderr io.Writer) int {
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "":
		return measure(args, stdout, stderr)
	case "worker":
		err = worker(args, stdout)
	case "report":
		err = again(args, stdout, stderr)
	case "list":
		err = list(stdout)
	default:
		err = usageError(fmt.Sprintf("unknown command %q (report, list, or flags to measure; -h for help)", verb))
	}
	return status(err, stderr)
}

// usageError is a mistake on the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// status prints err, if any, and returns the exit status for it.
func status(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return 1
}

// again makes the tables and plots of a file of figures.
func again(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("out", "", "`directory` for tables and plots (default: that of the file)")
	if err := flags.Parse(args); err != nil {
		return parseError(err)
	}
	if flags.NArg() != 1 {
		return usageError("usage: bench report [-out directory] file.json")
	}
	file := flags.Arg(0)
	r, err := report.Read(file)
	if err != nil {
		return err
	}
	dir := *out
	if dir == "" {
		dir = filepath.Dir(file)
	}
	return render(r, dir, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), stdout)
}

// parseError makes a complaint of package flag, which it has printed already, ours.
func parseError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usageError(err.Error())
}

// render writes dir/name.md and dir/name/*.png, and the tables to stdout too.
func render(r *report.Report, dir, name string, stdout io.Writer) error {
	plots := filepath.Join(dir, name)
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	if err := r.Plots(plots); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, name+".md"))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := r.Markdown(file, name); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return r.Markdown(stdout, "")
}

func list(w io.Writer) error {
	fmt.Fprintln(w, "scenarios:")
	for _, s := range scenario.All() {
		fmt.Fprintf(w, "  %-12s %s\n", s.Name, s.Title)
	}
	fmt.Fprintln(w, "peers:")
	for _, p := range peer.All() {
		f := p.Find("")
		state := strings.TrimSpace(f.Path + " " + f.Version)
		if f.Missing != "" {
			state = "MISSING: " + f.Missing
		}
		fmt.Fprintf(w, "  %-15s %-22s %s\n", p.Name, p.Title, state)
	}
	return nil
}
