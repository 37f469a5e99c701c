package process

import (
	"os"
	"strconv"

	"github.com/penlb/pen/internal/sock"
)

// Privileges are what is left of root.
type Privileges struct {
	Jail string            // directory that becomes the root of the file system; empty: none
	User string            // name of the user to become; empty: nobody else
	Keep []sock.Capability // what that user may do beside, where the system takes root apart
}

// WritePID writes the number of this process to file, without a newline: that is pen's form.
func WritePID(file string) error {
	return os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o644)
}
