package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// checkOnly is what `check` asks for instead of serving: everything is read, and all that is wrong comes back joined.
// It needs neither a free port nor privileges, so it cannot tell whether the user of -u may open what root may.
func (d *Daemon) checkOnly() error {
	var wrong []error
	for _, c := range d.opts.commands {
		for _, p := range d.ctl.Check(c.line, c.from) {
			wrong = append(wrong, p)
		}
	}
	fileOK, err := d.checkFile()
	wrong = append(wrong, err, d.check(), d.checkTLS(), d.checkEngine(), d.checkControl(), d.checkAddresses(fileOK), d.checkUser(),
		d.checkFiles())
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	io.WriteString(d.env.Stdout, "configuration ok\n")
	return nil
}

// checkFile reads the -F file and, if it has no mistakes, takes over what it says.
func (d *Daemon) checkFile() (ok bool, err error) {
	f := d.opts.ConfigFile
	if f == "" {
		return true, nil
	}
	wrong, err := d.ctl.CheckFile(f)
	if err != nil {
		return false, pensWords("Can't read config file '"+f+"'", err)
	}
	d.ctl.Stdout, d.ctl.Logf = nil, func(string, ...any) {} // all that they would get is in wrong
	ok = d.ctl.RunFile(f) == nil
	if len(wrong) > 0 {
		err = wrong
	}
	return ok, err
}

func (d *Daemon) checkEngine() error {
	asked := d.store.Get().Engine
	if asked == "" {
		return nil
	}
	var usable []string
	reason := "it is none of this system's"
	for _, a := range ring.Probe() {
		switch {
		case a.OK && a.Name == asked:
			return nil
		case a.OK:
			usable = append(usable, a.Name)
		case a.Name == asked:
			reason = a.Reason
		}
	}
	return fmt.Errorf("engine %s: %s; usable here: %s", asked, reason, strings.Join(usable, ", "))
}

// checkControl looks at what concerns the control socket.
func (d *Daemon) checkControl() error {
	var wrong []error
	if d.opts.control != "" {
		_, err := d.parseListen(d.opts.control, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if err != nil {
			err = fmt.Errorf("control socket: %w", err)
		}
		wrong = append(wrong, err)
		if d.rootControl() {
			wrong = append(wrong, fmt.Errorf("%s", whyNoControl)) // pen's words begin with a capital
		}
	}
	if g := d.ctl.ControlGroup; g != "" {
		_, err := groupID(g)
		wrong = append(wrong, err)
	}
	if dir := d.ctl.ControlDir; dir != "" {
		wrong = append(wrong, isDir("control_dir", d.inJail(dir)))
	}
	return errors.Join(wrong...)
}

// checkAddresses looks all names up, and wants an address to listen at that this machine has.
func (d *Daemon) checkAddresses(fileOK bool) error {
	listening, specs := d.listenSpec()
	if listening == "" {
		if !fileOK {
			return d.addServers(specs, 0) // the file may have said where
		}
		return errors.Join(errors.New("no address to listen at: give [host:]port or /path before the servers"),
			d.addServers(specs, 0))
	}
	if d.rawPath() {
		vip, err := d.parseVIP(listening)
		return errors.Join(err, d.checkDSR(), d.addServers(specs, vip.Port))
	}
	a, err := d.parseListen(listening, netip.IPv4Unspecified())
	port := a.AddrPort.Port()
	if err == nil {
		err = canListen(a)
	}
	return errors.Join(err, d.addServers(specs, port))
}

// canListen tries another port of the address, or looks at the place of a Unix socket.
func canListen(a sock.Addr) error {
	if a.IsUnix() {
		if fi, err := os.Lstat(a.Path); err == nil && fi.Mode().Type() != fs.ModeSocket {
			return fmt.Errorf("listen %s: %w", a.Path, sock.ErrNotSocket)
		}
		return isDir("listen", filepath.Dir(a.Path))
	}
	a.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), 0)
	l, err := sock.Listen(&a, nil)
	if err != nil {
		return bindError(&a, err)
	}
	return l.Close()
}

func (d *Daemon) checkUser() error {
	var wrong []error
	if u := d.opts.User; u != "" {
		if _, err := user.Lookup(u); err != nil {
			wrong = append(wrong, pensWords("Can't getpwnam("+u+")", err))
		}
	}
	if j := d.opts.Jail; j != "" {
		wrong = append(wrong, isDir("jail", j))
	}
	return errors.Join(wrong...)
}

// checkFiles looks at the files that pen is to read and write.
func (d *Daemon) checkFiles() error {
	s := d.store.Get()
	var wrong []error
	if s.Log != "" {
		to, err := accesslog.ParseDest(s.Log)
		if err == nil && to.IsFile() {
			err = d.writable(to.Path)
		} else if err == nil {
			_, err = d.parseListen(s.Log, netip.Addr{})
		}
		if err != nil {
			err = pensWords("Can't open logfile "+s.Log, err)
		}
		wrong = append(wrong, err)
	}
	if f := d.opts.PidFile; f != "" {
		if err := d.writable(f); err != nil {
			wrong = append(wrong, pensWords("Can't create pidfile "+f, err))
		}
	}
	if f := s.WebStats; f != "" {
		if err := d.writable(f); err != nil {
			wrong = append(wrong, fmt.Errorf("web_stats: %w", err))
		}
	}
	wrong = append(wrong, d.openCountries(s.GeoIPDB))
	if f := s.SSLOCSPResponse; f != "" {
		if _, err := os.ReadFile(f); err != nil {
			wrong = append(wrong, fmt.Errorf("ssl_ocsp_response: %w", err))
		}
	}
	if dir := s.SSLSNIPath; dir != "" {
		wrong = append(wrong, isDir("ssl_sni_path", dir))
	}
	return errors.Join(wrong...)
}

// inJail is where path will be once pen is in its jail.
func (d *Daemon) inJail(path string) string {
	if d.opts.Jail == "" {
		return path
	}
	return filepath.Join(d.opts.Jail, path)
}

// writable is nil if the file that pen will see at path can be written, or made. It changes nothing.
func (d *Daemon) writable(path string) error {
	path = d.inJail(path)
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return isDir("", filepath.Dir(path))
	case err != nil:
		return err
	case fi.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !fi.Mode().IsRegular():
		return nil // opening a FIFO or device may have an effect
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// isDir is nil if dir is a directory; what tells what for.
func isDir(what, dir string) error {
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	if err != nil && what != "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return err
}
