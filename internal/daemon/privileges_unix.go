//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// dropPrivileges enters the jail and becomes the user, each if not empty, and keeps exactly the capabilities in keep.
// The user is looked up before the jail hides the password file. All threads change (package syscall sees to that).
//
// pen: the groups of root stayed, and so did the working directory outside the jail; both are given up here.
func dropPrivileges(jail, name string, keep []sock.Capability) error {
	uid, gid := -1, -1
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return pensWords("Can't getpwnam("+name+")", err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if jail != "" {
		if err := syscall.Chroot(jail); err != nil {
			return pensWords("Can't chroot("+jail+")", err)
		}
		if err := os.Chdir("/"); err != nil {
			return pensWords("Can't chroot("+jail+")", err)
		}
	}
	if uid < 0 || (uid == os.Geteuid() && uid == os.Getuid()) {
		return nil
	}
	wasRoot := os.Geteuid() == 0
	if wasRoot && len(keep) > 0 {
		switch err := sock.KeepCapabilities(); {
		case errors.Is(err, errors.ErrUnsupported):
			keep = nil // a build with C: root is given up as a whole
		case err != nil:
			return err
		}
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("give up the groups of root: %w; -u needs root", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("become user %s: %w", name, err)
	}
	if uid == 0 {
		return nil
	}
	if wasRoot && len(keep) > 0 {
		if err := sock.LimitCapabilities(keep...); err != nil {
			return fmt.Errorf("keep capabilities as user %s: %w", name, err)
		}
	}
	if syscall.Setuid(0) == nil {
		return fmt.Errorf("become user %s: root came back", name)
	}
	return nil
}
