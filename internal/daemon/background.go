package daemon

import (
	"github.com/penlb/pen/internal/getopt"
	"github.com/penlb/pen/internal/process"
)

// wantsBackground reports whether this is the first process of two: pen goes to the background unless -f says not to.
// Command lines that end in the usage text, or at once, need no second one.
func wantsBackground(args []string) bool {
	if !process.CanDetach || process.IsBackground() || len(args) < 2 {
		return false
	}
	for o, err := range getopt.New(args[1:], optstring).Options() {
		if err != nil || o.Flag == 'f' || o.Flag == 'i' {
			return false
		}
	}
	return true
}
