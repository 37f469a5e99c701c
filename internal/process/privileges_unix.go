//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// DropPrivileges enters the jail and becomes the user, who keeps exactly the capabilities in p.Keep. The user is looked
// up before the jail hides the password file. All threads change: package syscall sees to that.
//
// pen: the groups of root stayed, and so did a working directory outside the jail.
func DropPrivileges(p Privileges) error {
	uid, gid := -1, -1
	if p.User != "" {
		u, err := user.Lookup(p.User)
		if err != nil {
			return pensWords("Can't getpwnam("+p.User+")", err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if p.Jail != "" {
		if err := syscall.Chroot(p.Jail); err != nil {
			return pensWords("Can't chroot("+p.Jail+")", err)
		}
		if err := os.Chdir("/"); err != nil {
			return pensWords("Can't chroot("+p.Jail+")", err)
		}
	}
	if uid < 0 || uid == os.Geteuid() && uid == os.Getuid() {
		return nil
	}
	return p.become(uid, gid)
}

// become changes to another user.
func (p *Privileges) become(uid, gid int) error {
	keep := p.Keep
	if os.Geteuid() != 0 || uid == 0 {
		keep = nil
	}
	if len(keep) > 0 {
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
		return fmt.Errorf("become user %s: %w", p.User, err)
	}
	if len(keep) > 0 {
		if err := sock.LimitCapabilities(keep...); err != nil {
			return fmt.Errorf("keep capabilities as user %s: %w", p.User, err)
		}
	}
	if uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("become user %s: root came back", p.User)
	}
	return nil
}

// pensWords is err behind the words that pen prints in its place and that scripts may look for.
func pensWords(words string, err error) error { return fmt.Errorf("%s: %w", words, err) }
