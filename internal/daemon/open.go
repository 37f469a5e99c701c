package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/process"
	"github.com/penlb/pen/internal/proxy"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// open opens everything that may need root, and looks up all names, in pen's order.
func (d *Daemon) open() error {
	if err := d.openTLS(); err != nil {
		return err
	}
	if err := d.openLoops(fileLimit()); err != nil {
		return err
	}
	if err := d.openControl(); err != nil {
		return err
	}
	if d.store.Get().LogSyslog {
		if err := d.openSyslog(); err != nil { // no reason to serve nobody
			d.Logf("log_syslog: %v", err)
		}
	}
	if err := d.openCountries(d.store.Get().GeoIPDB); err != nil {
		return err
	}
	listening, specs := d.listenSpec()
	if d.listening = listening; listening == "" {
		return errUsage
	}
	if d.rawPath() {
		return d.openDSR(specs)
	}
	a, err := d.openListeners(d.listening)
	if err != nil {
		return err
	}
	if err := d.addServers(specs, a.AddrPort.Port()); err != nil {
		return err
	}
	return d.openRules()
}

// listenSpec is where to listen and which servers the command line names. Its first operand counts only if no `listen`
// came before.
func (d *Daemon) listenSpec() (listening string, servers []string) {
	words := d.opts.operands
	if len(words) == 0 {
		return d.listening, nil
	}
	if d.listening != "" {
		return d.listening, words[1:]
	}
	return words[0], words[1:]
}

// openLoops makes one loop per thread, with the engine that was asked for or the best there is.
func (d *Daemon) openLoops(limit int) error {
	s := d.store.Get()
	n := s.Threads
	if n <= 0 {
		// A loop needs a few descriptors of its own: with few, more loops only mean fewer connections.
		n = max(1, min(runtime.NumCPU(), (limit-16)/8))
	}
	runtime.GOMAXPROCS(n + 1) // one more for the goroutines that are not loops
	d.clients = client.New(s.ClientsMax)
	d.ctl.Clients = d.clients
	d.access = sink.New(n, d.Logf)
	d.face.Logf = d.Logf
	shared := crew.Config{Settings: d.store, Servers: d.servers, Clients: d.clients, ACL: d.acl, Log: d.access, Face: &d.face,
		Debugf: d.Debugf, Logf: d.Logf, Dump: d.log.Raw}
	d.proxy = proxy.New(proxy.Config{Config: shared, TLS: d.tlsConfig(), ServerTLS: d.serverConfig()})
	if d.rawPath() {
		return nil // there are no connections for loops to serve
	}
	if s.UDP {
		d.udp = newUDP(shared)
	}
	d.ladder = ring.Probe()
	// A loop may accept one batch more than there is room for: those wait, and hold descriptors.
	batch := max(1, min(s.MultiAccept, limit/(16*n)))
	for range n {
		l, err := ring.Open(s.Engine, ring.Options{MultiAccept: batch, BufSize: d.bufSize()})
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		d.loops = append(d.loops, l)
		d.spare += batch
		if d.udp != nil {
			d.udp.addLoop(l)
			continue
		}
		d.workers = append(d.workers, d.proxy.NewWorker(l, maxPipes(limit, n)))
	}
	return nil
}

// maxPipes is how many pipes each of n loops may fill. Without CAP_SYS_RESOURCE the kernel allows a user 64 MB of pipe
// memory, 256 pipes of ours (pipe(7), fs.pipe-user-pages-soft); each is two descriptors.
func maxPipes(limit, n int) int {
	most := 200
	if os.Geteuid() == 0 {
		most = 2000
	}
	return min(most, limit/16) / n
}

// openControl opens the control socket, unless it would let everybody command root.
func (d *Daemon) openControl() error {
	if d.opts.control == "" {
		return nil
	}
	if d.rootControl() {
		d.Logf(whyNoControl)
		return nil
	}
	a, err := d.parseListen(d.opts.control, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if !a.IsUnix() && !strings.Contains(d.opts.control, ":") {
		d.Logf("control socket on loopback only, %s; give an address to have it elsewhere", &a)
	}
	d.ctlSock, err = sock.Listen(&a, &sock.ListenOptions{Mode: 0o600})
	if err == nil && a.IsUnix() {
		err = d.admit(a.Path)
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// rootControl reports whether a control socket would let others command root.
func (d *Daemon) rootControl() bool { return os.Geteuid() == 0 && d.opts.User == "" }

// admit gives the control socket the permissions of control_mode: the group first, so that no other ever has them.
func (d *Daemon) admit(path string) error {
	if g := d.ctl.ControlGroup; g != "" {
		gid, err := groupID(g)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("control_mode: %w; give a group of the user that starts pen, or start it as root", err)
		}
	}
	if m := d.ctl.ControlMode; m != 0 {
		return os.Chmod(path, m)
	}
	return nil
}

// groupID is the number of a group given by name or number.
func groupID(group string) (int, error) {
	g, err := user.LookupGroup(group)
	if err != nil {
		if n, nerr := strconv.Atoi(group); nerr == nil && n >= 0 {
			return n, nil
		}
		return 0, fmt.Errorf("control_mode: %w", err)
	}
	return strconv.Atoi(g.Gid)
}

// addServers puts the servers of the command line into the table, from slot 0, and the emergency and abuse servers
// beside it.
func (d *Daemon) addServers(words []string, port uint16) error {
	var specs []serverSpec
	var slots []int
	for i, w := range words {
		specs, slots = append(specs, parseServer(w, port)), append(slots, i)
	}
	if d.opts.Emergency != "" {
		specs, slots = append(specs, parseServer(d.opts.Emergency, port)), append(slots, balance.Emergency)
	}
	if d.opts.Abuse != "" {
		specs, slots = append(specs, parseServer(d.opts.Abuse, port)), append(slots, balance.Abuse)
	}
	if err := d.resolveServers(specs); err != nil {
		return err
	}
	for i, s := range specs {
		if err := d.servers.Update(slots[i], func(c *balance.Config) {
			s.conf.TLS = c.TLS // which only commands can say
			*c = s.conf
		}); err != nil {
			return err
		}
	}
	if d.servers.Len() == 0 {
		d.Logf("no servers: clients go to the emergency server (-e) or are closed until `server N address ...` adds one")
	}
	return nil
}

// privileges gives up root, then opens what belongs to the new user, as pen does: pid file last.
func (d *Daemon) privileges() error {
	p := process.Privileges{Jail: d.opts.Jail, User: d.opts.User, Keep: d.needs()}
	if err := process.DropPrivileges(p); err != nil {
		return err
	}
	if d.store.Get().Transparent {
		if err := d.TryTransparent(); err != nil {
			return err
		}
	}
	if c := d.store.Get().Congestion; c != "" {
		if err := sock.TryCongestion(c); err != nil { // root may have what we now may not
			d.Logf("%v; servers are spoken to with the system's", err)
		}
	}
	if f := d.store.Get().Log; f != "" {
		if err := d.openLog(f); err != nil {
			return err
		}
	}
	d.refreshLog()
	if f := d.opts.PidFile; f != "" {
		if err := process.WritePID(f); err != nil {
			d.opts.PidFile = ""
			return pensWords("Can't create pidfile "+f, err)
		}
	}
	return nil
}

// needs are the capabilities without which the daemon could not do later what it does now: a listener on a port below
// 1024 may have to move to another one, and each connection may have to be made from a client's address.
func (d *Daemon) needs() (caps []sock.Capability) {
	if d.lowPort() {
		caps = append(caps, sock.CapNetBindService)
	}
	if d.store.Get().Transparent {
		caps = append(caps, sock.CapNetRaw)
	}
	return caps
}

// lowPort reports whether a listener has a port that is for the privileged.
func (d *Daemon) lowPort() bool {
	if d.udp != nil {
		return d.udp.lowPort()
	}
	return slices.ContainsFunc(d.listeners, func(l *sock.Listener) bool {
		p := l.Addr().AddrPort.Port()
		return p > 0 && p < 1024
	})
}

// fileLimit raises the limit of open descriptors as far as it goes, and is what holds then. Where there is no such
// limit a million stands for it.
func fileLimit() int {
	const most = 1 << 20
	n, err := sock.RaiseFileLimit()
	if err != nil && n == 0 {
		return most
	}
	return int(min(n, most))
}

// maxConns is how many connections the descriptor limit allows, two descriptors each, beside what is open now, what
// the loops may accept beyond it, and a few for control clients and files.
func (d *Daemon) maxConns() int {
	return max(1, (fileLimit()-sock.OpenFiles()-d.spare-4)/2)
}
