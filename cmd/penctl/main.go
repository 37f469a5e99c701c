// Command penctl sends one command to the control socket of a running pen and prints the reply; with -j, in JSON.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/penlb/pen/internal/control"
)

const maxCommand = 1023 // bytes

// env is what the program sees of the world.
type env struct {
	args           []string // after the program's name
	stdout, stderr io.Writer
}

func main() { os.Exit(run(env{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr})) }

// run is the program; it returns the exit status.
func run(e env) int {
	args := e.args
	machine := len(args) > 0 && args[0] == "-j"
	if machine {
		args = args[1:]
	}
	if len(args) < 2 {
		fmt.Fprintln(e.stdout, "usage: penctl host:port command")
		return 0
	}
	command := strings.Join(args[1:], " ")
	if len(command) > maxCommand {
		fmt.Fprintln(e.stderr, "Overlong argument list")
		return 1
	}
	ask := control.Ask
	if machine {
		ask = control.AskJSON
	}
	if err := ask(args[0], command, e.stdout); err != nil {
		fmt.Fprintln(e.stderr, err)
		return 1
	}
	return 0
}
