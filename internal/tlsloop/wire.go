package tlsloop

import (
	"io"
	"net"
	"sync"
	"time"
)

// wire is what crypto/tls takes for the network. While the handshake runs, Read waits for what the loop brings and
// Write leaves what the loop fetches; from then on both work on the loop and never wait.
type wire struct {
	conn *conn

	// guarded by mu while the handshake runs, then loop only
	mu     sync.Mutex
	filled sync.Cond
	in     []byte // records that have arrived and were not yet read
	out    []byte // output of the handshake, to be fetched
	told   bool   // the loop knows of out
	paused bool   // the loop does not read until in is empty
	eof    bool   // nothing follows in
	gone   bool   // the connection has been given up
	frame  framer // of what Read has handed out

	// loop only
	live bool   // the handshake is over
	cur  []byte // records in a lent buffer, behind those of in
}

// pauseBytes of input bound what a peer can send ahead of its handshake. One message may have 256 KB (a chain of
// client certificates), but crypto/tls takes what is there before it asks for more.
const pauseBytes = 64 << 10

// errAgain says that no record is complete. crypto/tls remembers every error but a temporary one.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "no complete record yet" }
func (again) Timeout() bool   { return false }
func (again) Temporary() bool { return true }

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if !w.live {
		return w.await(p)
	}
	switch {
	case len(w.in) > 0:
		return w.pour(p, &w.in), nil
	case len(w.cur) > 0:
		return w.pour(p, &w.cur), nil
	case w.eof:
		return 0, io.EOF
	}
	return 0, errAgain
}

// pour moves bytes from the front of from, which has some, to p. It ends at the end of a record: crypto/tls works in the
// place where it has read, and would move what follows there back and forth, in a buffer that stays as large.
func (w *wire) pour(p []byte, from *[]byte) int {
	n := copy(p, (*from)[:w.frame.take((*from)[:min(len(p), len(*from))])])
	if *from = (*from)[n:]; len(*from) == 0 {
		*from = nil
	}
	return n
}

// await is Read during the handshake. It gives its slot back while there is nothing to read.
func (w *wire) await(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.in) == 0 && !w.eof && !w.gone {
		w.conn.loop.slots.give()
		for len(w.in) == 0 && !w.eof && !w.gone {
			w.filled.Wait()
		}
		w.mu.Unlock()
		w.conn.loop.slots.take()
		w.mu.Lock()
	}
	switch {
	case w.gone:
		return 0, net.ErrClosed
	case len(w.in) == 0:
		return 0, io.EOF
	}
	n := w.pour(p, &w.in)
	if len(w.in) == 0 && w.paused {
		w.paused = false
		w.conn.loop.Post(w.conn.resume)
	}
	return n, nil
}

// Write implements net.Conn. It takes everything.
func (w *wire) Write(p []byte) (int, error) {
	if w.live {
		w.conn.queue(p)
		return len(p), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return 0, net.ErrClosed
	}
	w.out = append(w.out, p...)
	if !w.told {
		w.told = true
		w.conn.loop.Post(w.conn.fetch)
	}
	return len(p), nil
}

// feed adds what has arrived. It reports whether the loop should read on.
func (w *wire) feed(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in = append(w.in, b...)
	w.paused = len(w.in) >= pauseBytes
	w.filled.Signal()
	return !w.paused
}

// end tells Read that nothing follows.
func (w *wire) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.eof = true
	w.filled.Signal()
}

// abandon ends the handshake. Safe when there is none.
func (w *wire) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	w.filled.Signal()
}

// take is the output of the handshake so far.
func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.out
	w.out, w.told = nil, false
	return b
}

// waits reports whether the handshake has more input than it takes for now.
func (w *wire) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused
}

// The rest of net.Conn. Sockets and deadlines are the loop's business.

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return noAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return noAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// noAddr is an address that nobody asks for: crypto/tls looks at one only as a client that has no name to verify.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }
