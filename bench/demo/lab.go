package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// backend is a web server that answers every request with its own name.
type backend struct {
	name string
	addr string // host:port; kept over stop and start
	srv  *http.Server
	done chan struct{} // closed when srv has stopped serving
}

// start listens, on the port of the last time or on a free one.
func (b *backend) start() error {
	if b.addr == "" {
		b.addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		return err
	}
	b.addr = l.Addr().String()
	b.srv = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, b.name) // a client that has gone away is its own business
		}),
		ReadHeaderTimeout: limit,
	}
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		_ = b.srv.Serve(l) // returns ErrServerClosed, by stop
	}()
	return nil
}

// stop closes the listener and all connections; from then on the port refuses. It is harmless when nothing runs.
func (b *backend) stop() {
	if b.srv == nil {
		return
	}
	_ = b.srv.Close()
	<-b.done
	b.srv = nil
}

// balancer is a running pen, and the way to talk to it.
type balancer struct {
	args   []string // the command line
	penctl string   // the program
	addr   string   // host:port that clients use
	socket string   // the control socket
	dir    string   // temporary, holds the socket
	cmd    *exec.Cmd
	ended  chan error // receives what Wait said, once
}

// freePort names a port that nobody listens on. pen takes its port from the command line, so another program could
// still snatch it in between; then pen says so and the demo fails.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// newBalancer composes the command line of pen in front of the backends; start runs it.
func newBalancer(pen string, options []string, backends []*backend) (*balancer, error) {
	dir, err := os.MkdirTemp("", "pen")
	if err != nil {
		return nil, err
	}
	b := &balancer{
		penctl: filepath.Join(filepath.Dir(pen), "penctl"),
		dir:    dir,
		socket: filepath.Join(dir, "ctl"),
	}
	if b.addr, err = freePort(); err != nil {
		b.cleanup()
		return nil, err
	}
	b.args = append([]string{pen, "-f", "-r", "-X", "-C", b.socket}, options...)
	if os.Geteuid() == 0 {
		// As root, pen opens a control socket only if it is told whom to become afterwards.
		if err := giveTo("nobody", dir); err != nil {
			b.cleanup()
			return nil, err
		}
		b.args = append(b.args, "-u", "nobody")
	}
	b.args = append(b.args, b.addr)
	for _, s := range backends {
		b.args = append(b.args, s.addr)
	}
	return b, nil
}

// giveTo makes name the owner of dir.
func giveTo(name, dir string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// start runs pen and waits until it answers on its control socket. What pen prints goes to log.
func (b *balancer) start(ctx context.Context, log io.Writer) error {
	b.cmd = exec.CommandContext(ctx, b.args[0], b.args[1:]...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		b.cmd = nil
		return err
	}
	b.ended = make(chan error, 1)
	go func() { b.ended <- b.cmd.Wait() }()

	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := b.ask(ctx, "pid"); err == nil {
			return nil
		}
		select {
		case err := <-b.ended:
			b.cmd = nil
			return fmt.Errorf("pen ended before it served: %w", errors.Join(err, ctx.Err()))
		case <-again.C:
		}
	}
}

// ask runs penctl with the words and returns the reply.
func (b *balancer) ask(ctx context.Context, words ...string) (string, error) {
	var reply, complaint strings.Builder
	cmd := exec.CommandContext(ctx, b.penctl, append([]string{b.socket}, words...)...)
	cmd.Stdout, cmd.Stderr = &reply, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("penctl %s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(complaint.String()))
	}
	return reply.String(), nil
}

// get makes one request through pen, on a connection of its own, and returns the name of the backend that answered.
func (b *balancer) get(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.addr+"/", nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return string(body), err
}

// wait returns once pen has ended, with nil for exit status 0.
func (b *balancer) wait() error {
	err := <-b.ended
	b.cmd = nil
	return err
}

// cleanup kills pen if it still runs, and removes the socket.
func (b *balancer) cleanup() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		<-b.ended
		b.cmd = nil
	}
	_ = os.RemoveAll(b.dir)
}
