package daemon

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// greeting is a ClientHello.
func greeting(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		defer a.Close()
		_ = tls.Client(a, &tls.Config{ServerName: "site.test"}).Handshake()
	}()
	p := make([]byte, 8<<10)
	n, err := b.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

// p99 is how long all but one in a hundred of visits takes: a handshake, and a byte there and back.
func p99(t *testing.T, addr string, conf *tls.Config, visits int) time.Duration {
	t.Helper()
	took := make([]time.Duration, visits)
	for i := range took {
		began := time.Now()
		c, err := dialTLS(t, addr, conf)
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
		took[i] = time.Since(began)
		c.Close()
	}
	slices.Sort(took)
	return took[visits*99/100]
}

// 1,000 clients that never finish their handshake, at any point of it, hold up nobody.
func TestTLSUnfinished(t *testing.T) {
	// noise is what other work on the machine may add to the slowest of a few visits.
	const stuck, visits, noise = 1000, 200, 50 * time.Millisecond
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	server := testnet.Serve(t, testnet.Loopback(t), testnet.Echo()).String()
	hello := greeting(t)
	onEngines(t, func(t *testing.T, options []string) {
		addr := place127()
		serving(t, addr, append(options, "-x", "2000", "-E", cert, server)...)
		conf := trusting(t, cert)
		before := p99(t, addr, conf, visits)
		for i := range stuck {
			c := dial(t, addr)
			part := hello[:len(hello)*(i%4)/3]
			if _, err := c.Write(part); err != nil {
				t.Fatal(err)
			}
			if len(part) == len(hello) { // its answer, after which the handshake waits
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		beside := p99(t, addr, conf, visits)
		t.Logf("p99 %v, beside %d handshakes that do not end %v", before, stuck, beside)
		if beside > 2*before+noise {
			t.Errorf("p99 %v instead of %v", beside, before)
		}
	})
}

// HTTP/2 is agreed on for servers that speak it, and works; without the setting nothing is agreed on.
func TestTLSProtocols(t *testing.T) {
	need(t, "curl")
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	l := testnet.Loopback(t)
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(r.Proto+" "), b...))
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	body := strings.Repeat("hello ", 10_000)
	onEngines(t, func(t *testing.T, options []string) {
		for _, tt := range []struct{ alpn, offer, want string }{
			{"alpn h2,http/1.1", "--http2", "HTTP/2.0 " + body + "2"},
			{"alpn h2,http/1.1", "--http1.1", "HTTP/1.1 " + body + "1.1"},
			{"tls_min 1.2", "--http2", "HTTP/1.1 " + body + "1.1"},
		} {
			addr := place127()
			serving(t, addr, append(options, "-E", cert, "-O", tt.alpn, l.Addr().String())...)
			got := tool(t, "curl", "-sS", tt.offer, "--cacert", cert, "--connect-to", "site.test:443:"+addr,
				"-w", "%{http_version}", "--data", body, "-H", "Expect:", "https://site.test/")
			if got != tt.want {
				t.Errorf("%s, %s: %d bytes, %.20s…%s", tt.alpn, tt.offer, len(got), got, got[max(0, len(got)-9):])
			}
		}
	})
}
