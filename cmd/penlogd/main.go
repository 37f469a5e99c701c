// Penlogd merges the logs of pen and of the web servers behind it. See the manual page penlogd(1).
package main

import (
	"os"
	"time"

	"github.com/penlb/pen/internal/penlogd"
)

func main() {
	os.Exit(penlogd.Main(penlogd.Env{Args: os.Args, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}))
}
