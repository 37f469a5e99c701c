package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Probe makes one request through target and awaits its reply, so it knows that there is a backend behind. The network
// is "tcp", "udp" or "tls".
func Probe(ctx context.Context, network string, target netip.AddrPort, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := new(net.Dialer).DialContext
	if network == "tls" {
		network, dial = "tcp", (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext
	}
	conn, err := dial(ctx, network, target.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	g := Group{Kind: Ping, Request: 64, Reply: 64}
	if _, err := conn.Write(g.request()); err != nil {
		return fmt.Errorf("probe %v: %w", target, err)
	}
	if _, err := io.ReadFull(conn, make([]byte, g.Reply)); err != nil {
		return fmt.Errorf("probe %v: %w", target, err)
	}
	return nil
}
