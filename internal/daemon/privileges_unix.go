//go:build unix

package daemon

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// dropPrivileges enters the jail and becomes the user, each if not empty. The user is looked up before the jail hides
// the password file. All threads change (package syscall sees to that).
//
// pen: the groups of root stayed, and so did the working directory outside the jail; both are given up here.
func dropPrivileges(jail, name string) error {
	uid, gid := -1, -1
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return fmt.Errorf("Can't getpwnam(%s): %w", name, err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if jail != "" {
		if err := syscall.Chroot(jail); err != nil {
			return fmt.Errorf("Can't chroot(%s): %w", jail, err)
		}
		if err := os.Chdir("/"); err != nil {
			return fmt.Errorf("Can't chroot(%s): %w", jail, err)
		}
	}
	if uid < 0 || (uid == os.Geteuid() && uid == os.Getuid()) {
		return nil
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
	if uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("become user %s: root came back", name)
	}
	return nil
}
