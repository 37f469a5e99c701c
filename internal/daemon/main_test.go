package daemon

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// asProgram, in the environment, makes the test binary the program pen itself.
const asProgram = "PEN_TEST_AS_PROGRAM"

// serves is what that program says on stderr once it does.
const serves = "pen serves"

// patience bounds every wait of a test.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(Env{Args: os.Args, Stdout: os.Stdout, Stderr: os.Stderr, Ready: func(*Daemon) {
			fmt.Fprintln(os.Stderr, serves)
		}}))
	}
	if !soakPeer() {
		testnet.Main(m)
	}
}
