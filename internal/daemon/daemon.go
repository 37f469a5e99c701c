package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/process"
	"github.com/penlb/pen/internal/proxy"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/tlsterm"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/tproxy"
)

// Env is what the program sees of the world. Tests bring their own.
type Env struct {
	Args   []string // os.Args
	Stdout io.Writer
	Stderr io.Writer
	// Stop ends the daemon in order when it is closed; nil if only signals do.
	Stop <-chan struct{}
	// Ready is called once the daemon serves; may be nil.
	Ready func(*Daemon)
}

// Daemon is a pen process.
type Daemon struct {
	// constant once it serves
	env     Env
	opts    options
	store   *settings.Store
	acl     *acl.Table
	servers *balance.Service
	clients *client.Table
	proxy   *proxy.Proxy
	term    *tlsterm.Terminator // nil: no TLS with clients
	ctl     *control.Env
	log     *process.Logger
	back    *process.Background // nil in the foreground
	access  *sink.Log
	face    tproxy.Face
	rules   *tproxy.Rules // nil: none of ours
	began   time.Time
	stop    chan struct{}
	loops   []ring.Loop
	ladder  []ring.Availability // as it was before privileges were given up
	workers []*proxy.Worker
	udp     *udpSide // with -U, in place of the workers
	spare   int      // connections that the loops may accept beyond the limit
	ctlSock *sock.Listener
	direct  *direct // nil: connections are proxied

	serverTLS tlsterm.Servers

	serving atomic.Bool

	// changed by one command at a time
	listening string           // as given
	listeners []*sock.Listener // one per loop, or one for all
	spin      ring.Spin        // of each loop
	syslog    bool             // the access log goes to the system's as well
	failed    error            // commands at start that must not be passed over

	stopOnce sync.Once
}

// Main runs pen, as a service if the system has started it as one, and returns its exit status: 0 fine, 1 an error, 2
// the usage text.
func Main(env Env) int {
	log := process.NewLogger("pen", env.Stderr)
	defer log.Close()
	status, ok := process.Service(log, func(stop <-chan struct{}, ready func()) int {
		env.Stop, env.Ready = stop, func(*Daemon) { ready() }
		return run(env, log, ownConfig)
	})
	if ok {
		return status
	}
	return run(env, log, "")
}

// run is Main once it is known whether this is a service; config is read if there is no -F.
func run(env Env, log *process.Logger, config string) int {
	d := &Daemon{env: env, store: settings.NewStore(settings.Default()), acl: new(acl.Table), began: time.Now(),
		stop: make(chan struct{}), log: log}
	d.opts.ConfigFile = config
	d.servers = balance.New(d.acl)
	d.ctl = &control.Env{Settings: d.store, Service: d.servers, ACL: d.acl, Runtime: d, Logf: d.Logf, Stdout: env.Stdout,
		Given: settings.Default()}
	var leave exitNow
	switch err := d.main(); {
	case err == nil:
		return 0
	case errors.As(err, &leave):
		return leave.status
	case errors.Is(err, errUsage):
		io.WriteString(env.Stdout, usage)
		return 2
	default:
		log.Fail(err)
		return 1
	}
}

func (d *Daemon) main() error {
	if wantsBackground(d.env.Args) {
		status, err := process.Detach(d.env.Args)
		if err == nil && status != 0 {
			err = exitNow{status}
		}
		return err
	}
	defer d.serverTLS.Close() // which commands open
	if err := d.parse(d.env.Args[1:]); err != nil {
		return err
	}
	d.ctl.Given = *d.store.Get()
	if d.ctl.CheckOnly {
		return d.checkOnly()
	}
	if d.failed != nil {
		return d.failed
	}
	if err := d.configure(); err != nil {
		return err
	}
	if d.ctl.RulesOnly {
		return d.rulesOnly()
	}
	if err := d.check(); err != nil {
		return err
	}
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	var err error
	if d.back, err = process.OpenBackground(d.log); err != nil {
		return err
	}
	if err := d.privileges(); err != nil {
		return err
	}
	return d.serve()
}

// configure reads the -F file. One that cannot be read is not fatal, as in pen; mistakes in it are.
func (d *Daemon) configure() error {
	f := d.opts.ConfigFile
	if f == "" {
		return nil
	}
	err := d.ctl.RunFile(f)
	var wrong control.Problems
	if err == nil || errors.As(err, &wrong) {
		return err
	}
	d.Logf("Can't read config file '%s': %v", f, err)
	return nil
}

// check refuses what cannot work as it is.
func (d *Daemon) check() error { return errors.Join(d.checkTransparent(), d.checkServerTLS()) }

const whyNoControl = "Won't open control port running as root; use -u to run as different user"

// serve runs the loops until it is told to end.
func (d *Daemon) serve() error {
	d.proxy.MaxConns = d.maxConns()
	d.proxy.Refresh()
	if d.udp != nil {
		if err := d.udp.start(d.maxConns()); err != nil {
			return err
		}
	}
	for i, w := range d.workers {
		if err := w.Listen(d.listeners[i%len(d.listeners)]); err != nil {
			return err
		}
	}
	var loops sync.WaitGroup
	errs := make([]error, len(d.loops)+1)
	if d.direct != nil {
		loops.Go(func() {
			errs[len(d.loops)] = d.direct.run()
			d.Exit()
		})
	}
	for i, l := range d.loops {
		loops.Go(func() {
			errs[i] = l.Run()
			d.Exit() // one loop that ends ends all
		})
	}
	d.tune()
	d.ctl.ReportCountries()
	d.serving.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	var ctl sync.WaitGroup
	if d.ctlSock != nil {
		nl, err := d.ctlSock.NetListener()
		if err != nil {
			cancel()
			return fmt.Errorf("control socket: %w", err)
		}
		ctl.Go(func() { d.ctl.Serve(ctx, nl) })
	}
	signals := d.signals()
	if err := d.back.Ready(0, 1, 2); err != nil {
		d.Logf("%v", err)
	}
	if d.env.Ready != nil {
		d.env.Ready(d)
	}
	select {
	case <-d.stop:
	case <-d.env.Stop:
	}
	signals()
	cancel()
	ctl.Wait()
	for _, l := range d.loops {
		l.Stop()
	}
	if d.direct != nil {
		d.direct.engine.Stop()
	}
	loops.Wait()
	return errors.Join(errs...)
}

// close frees what open and serve have left.
func (d *Daemon) close() {
	if f := d.opts.PidFile; f != "" && d.serving.Load() {
		os.Remove(f)
	}
	if !d.serving.Load() {
		// Run frees a loop; one that never ran is stopped and run for that.
		for _, l := range d.loops {
			l.Stop()
			l.Run()
		}
	}
	for _, w := range d.workers {
		w.Close()
	}
	for _, l := range d.listeners {
		l.Close()
	}
	if d.direct != nil {
		d.direct.engine.Close()
	}
	if d.udp != nil {
		d.udp.close()
	}
	if d.ctlSock != nil {
		d.ctlSock.Close()
	}
	if d.access != nil {
		d.access.Close()
	}
	if d.term != nil {
		d.term.Close()
	}
	if d.rules != nil {
		if err := d.rules.Close(); err != nil {
			d.Logf("tproxy_setup: take the rules away: %v", err)
		}
	}
}
