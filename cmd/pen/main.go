// Pen is a load balancer for TCP. See the manual page pen(1).
package main

import (
	"os"

	"github.com/penlb/pen/internal/daemon"
)

func main() {
	os.Exit(daemon.Main(daemon.Env{Args: os.Args, Stdout: os.Stdout, Stderr: os.Stderr}))
}
