package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/penlb/pen/internal/sock"
)

// A Requirement is something a machine may lack.
type Requirement uint8

// The requirements.
const (
	// Root is user 0 with the right to make network namespaces, and the programs that a Lab runs. The root of a user
	// namespace (unshare -Ur) will do.
	Root Requirement = iota
)

// Need skips the test if the machine lacks one of rs, or fails it if the environment says PEN_TEST_MUST=1.
func Need(t testing.TB, rs ...Requirement) {
	t.Helper()
	for _, r := range rs {
		err := r.check()
		switch {
		case err == nil:
		case os.Getenv("PEN_TEST_MUST") == "1":
			t.Fatalf("needs %v (PEN_TEST_MUST=1): %v", r, err)
		default:
			t.Skipf("needs %v: %v", r, err)
		}
	}
}

func (r Requirement) String() string { return [...]string{"root"}[r] }

// check tries the real thing, since an unprivileged container may have user 0 and still be refused.
func (r Requirement) check() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("user is %d", uid)
	}
	ns, err := sock.NewNamespace()
	if err != nil {
		return err
	}
	_, ip := exec.LookPath("ip")
	_, nsenter := exec.LookPath("nsenter")
	return errors.Join(ip, nsenter, ns.Close())
}
