package daemon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

// selfSigned makes a certificate of its own authority for site.test, with its key, in dir/name, by openssl. serial is
// how tests tell certificates apart.
func selfSigned(t *testing.T, dir, name, serial string) string {
	t.Helper()
	need(t, "openssl")
	path := filepath.Join(dir, name)
	tool(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-set_serial", serial, "-subj", "/CN=site.test", "-addext", "subjectAltName=DNS:site.test",
		"-keyout", path+".k", "-out", path+".c")
	var both []byte
	for _, part := range []string{path + ".c", path + ".k"} {
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	if err := os.WriteFile(path+".new", both, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // at once: a reader sees the old or the new one
		t.Fatal(err)
	}
	return path
}

// tool runs a program to its end, without input, and returns all that it says.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, b)
	}
	return string(b)
}

// onEngines runs f on each engine that works here, with two loops.
func onEngines(t *testing.T, f func(t *testing.T, options []string)) {
	for _, a := range ring.Probe() {
		if a.OK {
			t.Run(a.Name, func(t *testing.T) { f(t, []string{"-r", "-O", "engine " + a.Name, "-O", "threads 2"}) })
		}
	}
}

// dialTLS connects to pen and makes the handshake.
func dialTLS(t *testing.T, addr string, conf *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := tls.Client(raw, conf)
	return c, c.Handshake()
}

// trusting is a client that knows the certificate in file.
func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{RootCAs: pool, ServerName: "site.test"}
}

// The programs that people use speak with pen, and resume sessions whichever loop or pen they meet.
func TestTLSPrograms(t *testing.T) {
	need(t, "curl", "openssl")
	dir := t.TempDir()
	cert := selfSigned(t, dir, "s.pem", "1")
	keys := filepath.Join(dir, "keys")
	secret := make([]byte, 48)
	rand.Read(secret)
	if err := os.WriteFile(keys, []byte(base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nhello through TLS\n")
	}).String()
	onEngines(t, func(t *testing.T, options []string) {
		addr, other := place127(), place127()
		args := append(options, "-E", cert, "-O", "ticket_keys "+keys, server)
		serving(t, addr, args...)
		serving(t, other, args...)
		for _, version := range []string{"1.2", "1.3"} {
			got := tool(t, "curl", "-sS", "--http1.1", "--cacert", cert, "--tlsv"+version, "--tls-max", version,
				"--connect-to", "site.test:443:"+addr, "https://site.test/")
			if got != "hello through TLS\n" {
				t.Errorf("curl with TLS %s got %q", version, got)
			}
		}
		session := filepath.Join(t.TempDir(), "session")
		client := func(addr, option string) string {
			return tool(t, "sh", "-c", "printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -ign_eof -tls1_2 -CAfile "+cert+
				" -servername site.test -connect "+addr+" "+option+" "+session)
		}
		if s := client(addr, "-sess_out"); !strings.Contains(s, "Verify return code: 0") || !strings.Contains(s, "hello") {
			t.Errorf("openssl: %s", s)
		}
		for i, at := range []string{addr, addr, addr, addr, other} { // the kernel chooses the loop
			if s := client(at, "-sess_in"); !strings.Contains(s, "Reused, TLSv1.2") {
				t.Errorf("connection %d did not resume: %s", i, s)
			}
		}
	})
}

// 64 MB, with PEN_SOAK 1 GB, go through either way, unharmed, while the reader pauses now and then.
func TestTLSBulk(t *testing.T) {
	size := int64(64 << 20)
	if soakFor(t) > 0 {
		size = 1 << 30
	}
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	client := trusting(t, cert)
	block := make([]byte, 1<<20)
	rand.Read(block)
	want := sha256.New()
	for range size / int64(len(block)) {
		want.Write(block)
	}
	send := func(w io.Writer) {
		for range size / int64(len(block)) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	drain := func(r io.Reader) string {
		h, n := sha256.New(), 0
		for p := make([]byte, 1<<20); ; {
			k, err := r.Read(p)
			h.Write(p[:k])
			if n += k; n>>23 != (n-k)>>23 {
				time.Sleep(5 * time.Millisecond) // the slow reader is what is tested
			}
			if err != nil {
				return fmt.Sprintf("%d %x %v", n, h.Sum(nil), err)
			}
		}
	}
	good := fmt.Sprintf("%d %x %v", size, want.Sum(nil), io.EOF)
	arrived := make(chan string, 1)
	server := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		var sending sync.WaitGroup
		sending.Go(func() { send(c) })
		arrived <- drain(c)
		sending.Wait()
	}).String()
	onEngines(t, func(t *testing.T, options []string) {
		addr := place127()
		serving(t, addr, append(options, "-E", cert, server)...)
		c, err := dialTLS(t, addr, client)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience + 2*soakFor(t)))
		go func() {
			send(c)
			_ = c.CloseWrite()
		}()
		if got := drain(io.LimitReader(c, size)); got != good {
			t.Errorf("down: got %s, want %s", got, good)
		}
		if got := <-arrived; got != good {
			t.Errorf("up: got %s, want %s", got, good)
		}
	})
}

// Clients without the right certificate hear why they are refused, and so does the operator.
func TestTLSClientCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, other := selfSigned(t, dir, "s.pem", "1"), selfSigned(t, dir, "other.pem", "2")
	server := testnet.Serve(t, testnet.Loopback(t), testnet.Echo()).String()
	onEngines(t, func(t *testing.T, options []string) {
		addr := place127()
		p := serving(t, addr, append(options, "-E", cert, "-R", "-G", cert, server)...)
		for _, tt := range []struct{ name, file, alert, log string }{
			{"none", "", "certificate required", "didn't provide a certificate"},
			{"foreign", other, "unknown certificate authority", "signed by unknown authority"},
			{"right", cert, "", ""},
		} {
			conf := trusting(t, cert)
			if tt.file != "" {
				pair, err := tls.LoadX509KeyPair(tt.file, tt.file)
				if err != nil {
					t.Fatal(err)
				}
				// Given outright, a certificate of an authority that pen does not name would not be sent.
				conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // one line is logged in a second
			c, err := dialTLS(t, addr, conf)
			if err == nil { // with TLS 1.3 the refusal comes after the handshake
				_, _ = c.Write([]byte("x"))
				_, err = c.Read(make([]byte, 1))
			}
			if (err == nil) != (tt.alert == "") || err != nil && !strings.Contains(err.Error(), tt.alert) {
				t.Errorf("%s: %v", tt.name, err)
			}
			await(t, "the line about "+tt.name, func() bool { return strings.Contains(p.err.String(), tt.log) })
		}
	})
}

// A certificate is replaced on disk while clients come: no handshake fails, and soon all see the new one.
func TestTLSReplace(t *testing.T) {
	dir := t.TempDir()
	cert := selfSigned(t, dir, "s.pem", "1")
	server := testnet.Serve(t, testnet.Loopback(t), testnet.Echo()).String()
	onEngines(t, func(t *testing.T, options []string) {
		selfSigned(t, dir, "s.pem", "1")
		addr := place127()
		serving(t, addr, append(options, "-E", cert, server)...)
		var clients sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := dialTLS(t, addr, &tls.Config{InsecureSkipVerify: true})
					if err != nil {
						t.Errorf("a handshake failed: %v", err)
						return
					}
					c.Close()
				}
			})
		}
		for _, serial := range []string{"2", "3"} {
			selfSigned(t, dir, "s.pem", serial)
			await(t, "certificate "+serial, func() bool {
				c, err := dialTLS(t, addr, &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				return c.ConnectionState().PeerCertificates[0].SerialNumber.String() == serial
			})
		}
		close(stop)
		clients.Wait()
	})
}

// What is wrong with TLS is said at the start, as pen says it.
func TestTLSMistakes(t *testing.T) {
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-E", "/no/such/file"}, "Unable to create default context: open /no/such/file"},
		{[]string{"-E", cert, "-L", "ssl9"}, "protocol version ssl9 not known"},
		{[]string{"-E", cert, "-O", "ssl_ciphers NULL"}, "no cipher is left"},
	} {
		p := begin(t, append(append([]string{"-f"}, tt.args...), place127(), "127.0.0.1:1")...)
		if s := p.status(); s != 1 || !strings.Contains(p.err.String(), tt.want) {
			t.Errorf("%q: status %d, %s", tt.args, s, &p.err)
		}
	}
}

// In a jail, as another user, new certificates are still found, and those that only root may read are told.
func TestTLSJail(t *testing.T) {
	testnet.Need(t, testnet.Root)
	dir := t.TempDir()
	cert := selfSigned(t, dir, "s.pem", "1")
	server := testnet.Serve(t, testnet.Loopback(t), testnet.Echo()).String()
	addr := place127()
	p := serving(t, addr, "-E", cert, "-j", t.TempDir(), "-u", "nobody", server)
	serial := func() string {
		c, err := dialTLS(t, addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	selfSigned(t, dir, "s.pem", "2")
	await(t, "a complaint", func() bool {
		if s := serial(); s != "1" {
			t.Fatalf("certificate %s, which only root may read", s)
		}
		return strings.Contains(p.err.String(), "permission denied; give the user of -u the right to read it")
	})
	selfSigned(t, dir, "new.pem", "3")
	if err := os.Chmod(filepath.Join(dir, "new.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new.pem"), cert); err != nil {
		t.Fatal(err)
	}
	await(t, "the new certificate", func() bool { return serial() == "3" })
}
