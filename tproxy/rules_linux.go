package tproxy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Rules are a Plan in place.
type Rules struct {
	watch *exec.Cmd
	life  *os.File // the watch sees it closed when we end
	plan  *Plan
}

// Coarse reports whether the kernel lacked what finer rules take, see [Plan].
func (r *Rules) Coarse() bool { return r.plan.Coarse }

// Apply puts p in place, until Close or, by a process that stays behind as root and waits for nothing else, the end of
// this one: neither -u, nor a jail, nor a kill leaves the rules behind. Where both were killed the next Apply begins
// anew. It needs root, and blocks for as long as nft(8) and ip(8) take.
func (p *Plan) Apply() (*Rules, error) {
	if err := programs(); err != nil {
		return nil, err
	}
	if !p.Coarse && p.tries() != nil { // its own error, if Coarse is of no help, is the one to tell
		coarse := *p
		coarse.Coarse = true
		if coarse.tries() == nil {
			p = &coarse
		}
	}
	r, err := p.guard()
	if err != nil {
		return nil, err
	}
	// A pen that was here a moment ago may still be on its way out.
	wait := "for i in 1 2 3 4 5; do nft list table " + p.table() + " >/dev/null 2>&1 || break; sleep 0.2; done\n"
	out, err := exec.Command("sh", "-c", wait+"{ "+p.Down()+"} >/dev/null 2>&1\nset -e\n"+p.Up()).CombinedOutput()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up transparent proxying: %w: %s", err, bytes.TrimSpace(out)), r.Close())
	}
	return r, nil
}

// guard starts the process that takes p away.
func (p *Plan) guard() (*Rules, error) {
	in, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	watch := exec.Command("sh", "-c", "trap '' HUP INT TERM\nread end\n"+p.Down()+"true")
	watch.Stdin, watch.Dir = in, "/"
	watch.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := watch.Start(); err != nil {
		life.Close()
		return nil, err
	}
	return &Rules{watch, life, p}, nil
}

// Close takes the rules away.
func (r *Rules) Close() error {
	r.life.Close()
	return r.watch.Wait()
}

// tries is nil if nft(8) and the kernel know all that p asks for. Nothing changes.
func (p *Plan) tries() error {
	nft := exec.Command("nft", "-c", "-f", "-")
	nft.Stdin = strings.NewReader(p.Nft())
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// programs is nil if the programs that we need are there.
func programs() error {
	_, nft := exec.LookPath("nft")
	_, ip := exec.LookPath("ip")
	return errors.Join(nft, ip)
}

// placed reports whether the rules of p are there now.
func (p *Plan) placed() bool {
	return exec.Command("sh", "-c", "nft list table "+p.table()).Run() == nil
}
