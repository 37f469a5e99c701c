package tlsloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/penlb/pen/ring"
)

const (
	// lastWords is how long a peer has to take what was left, such as close_notify, when we close. The kernel gives
	// up on data of closed sockets too (tcp(7), tcp_orphan_retries).
	lastWords = 30 * time.Second
	// parting is how long we read on after refusing a handshake, lest closing with unread input resets the connection
	// before the peer has read our alert.
	parting = 2 * time.Second
	// tailBytes of records may wait for the next Send.
	tailBytes = 16 << 10
	// answerBytes of records that nobody sent, such as answers to key updates, may wait for the peer to read.
	answerBytes = 64 << 10
)

// conn is a TLS connection. Save for the wire's share, all of it belongs to the loop.
type conn struct {
	loop  *Loop
	sock  ring.Sock
	token ring.Token // of Secure or SecureClient
	tls   *tls.Conn
	wire  wire
	comp  ring.Completion // the one being delivered
	timer ring.Timer

	begun   bool // the handshake runs or has ended
	failed  bool // it failed
	pulling bool
	aborted bool
	shut    bool // shut down when all is written
	closing bool // Close was called
	leaving bool // and the wrapped loop closes

	// the wrapped loop's Recv, and ours
	reading   bool // pending
	stopping  bool // and cancelled
	wanted    bool // ours is pending
	cancelled bool // and cancelled
	fault     syscall.Errno
	recvToken ring.Token

	// the wrapped loop's Send, and ours
	sending   bool // the first of out is on its way
	out       []piece
	few       [2]piece // room for out
	outBytes  int
	answered  int      // bytes of out that nobody sent
	sendBuf   ring.Buf // of our Send; 0: none is pending
	sendN     int
	sendErr   syscall.Errno
	sendToken ring.Token

	closeToken ring.Token
}

// piece is a lent buffer with records, the first n bytes of it.
type piece struct {
	buf ring.Buf
	n   int
}

// newConn makes a connection of side, which is [tls.Server] or [tls.Client].
func newConn(l *Loop, s ring.Sock, side func(net.Conn, *tls.Config) *tls.Conn, conf *tls.Config, t ring.Token) *conn {
	k := &conn{loop: l, sock: s, token: t}
	k.out = k.few[:0]
	k.wire.conn = k
	k.wire.filled.L = &k.wire.mu
	k.tls = side(&k.wire, conf)
	return k
}

// own is the token of our operations on the wrapped loop.
func (k *conn) own() ring.Token { return ring.NewToken(k.loop.class, uint64(k.sock)) }

func (k *conn) deliver(c ring.Completion) {
	k.comp = c
	k.loop.handlers[c.Token.Class()].Complete(&k.comp)
}

func (k *conn) read() {
	k.reading = true
	k.loop.Loop.Recv(k.sock, k.own())
}

func (k *conn) pause() {
	if k.reading && !k.stopping {
		k.stopping = true
		k.loop.Loop.Cancel(k.sock, ring.OpRecv)
	}
}

// received takes what arrives: records, or the end.
func (k *conn) received(c *ring.Completion) {
	if !c.More {
		k.reading, k.stopping = false, false
	}
	if c.N > 0 {
		if !k.closing {
			k.records(k.loop.Bytes(c.Buf)[:c.N])
		}
		k.loop.Release(c.Buf)
		return
	}
	switch {
	case k.closing:
		if k.failed {
			k.closeNow() // the peer has seen our alert
		}
	case c.Err == syscall.ECANCELED:
		k.stopped()
	default:
		k.fault = c.Err
		k.wire.end()
		if k.wire.live {
			k.pull()
		} else if !k.begun {
			k.shaken(io.EOF)
		}
	}
}

// records takes records that have arrived.
func (k *conn) records(b []byte) {
	switch {
	case !k.wire.live:
		k.greet(b)
	case k.failed:
	case k.wanted:
		k.wire.cur = b
		k.pull()
		k.wire.cur = nil
	default: // between the handshake and the first Recv
		k.wire.in = append(k.wire.in, b...)
		k.pause()
	}
}

// stopped goes on after the wrapped loop's Recv was cancelled, by us or on behalf of our caller.
func (k *conn) stopped() {
	switch {
	case k.wanted && k.cancelled:
		k.endRecv(syscall.ECANCELED)
	case k.wanted, !k.wire.live && !k.wire.waits():
		k.read()
	}
}

// recv is Recv. What came with the handshake is there already, but must not be delivered from inside the verb.
func (k *conn) recv(t ring.Token) {
	k.wanted, k.cancelled, k.recvToken = true, false, t
	if len(k.wire.in) > 0 || k.wire.eof {
		k.loop.Post(k.later)
	}
	if !k.reading && !k.wire.eof {
		k.read()
	}
}

// later is pull for what is there without a completion.
func (k *conn) later() {
	if k.wanted && k.cancelled && !k.reading {
		k.endRecv(syscall.ECANCELED)
		return
	}
	k.pull()
}

// cancel is Cancel for Recv.
func (k *conn) cancel() {
	if k.wanted {
		k.cancelled = true
		k.pause()
	}
}

// pull decrypts and delivers all complete records.
func (k *conn) pull() {
	for k.wanted && !k.closing {
		b := k.loop.Alloc()
		n, err := k.fill(k.loop.Bytes(b))
		if n > 0 {
			k.deliver(ring.Completion{Token: k.recvToken, Op: ring.OpRecv, More: true, N: n, Sock: k.sock, Buf: b})
		} else {
			k.loop.Release(b)
		}
		k.flush()
		switch {
		case err == nil:
		case errors.Is(err, errAgain) && k.answered <= answerBytes:
			return
		case errors.Is(err, errAgain):
			k.endRecv(syscall.EPROTO)
		case k.fault != 0:
			k.endRecv(k.fault)
		case errors.Is(err, io.EOF):
			k.endRecv(0)
		case errors.Is(err, io.ErrUnexpectedEOF):
			k.endRecv(syscall.ECONNRESET)
		default:
			k.endRecv(syscall.EPROTO)
		}
	}
}

// fill decrypts into b until it is full or no record is left.
func (k *conn) fill(b []byte) (n int, err error) {
	k.pulling = true
	defer func() { k.pulling = false }()
	for n < len(b) && err == nil {
		var m int
		m, err = k.tls.Read(b[n:])
		n += m
	}
	return n, err
}

// endRecv ends our Recv. Unless it was cancelled nothing more is read.
func (k *conn) endRecv(err syscall.Errno) {
	if !k.wanted || k.closing {
		return
	}
	k.wanted = false
	if err != syscall.ECANCELED {
		k.wire.eof = true
		k.pause()
	}
	k.deliver(ring.Completion{Token: k.recvToken, Op: ring.OpRecv, Err: err, Sock: k.sock})
}

// send is Send.
func (k *conn) send(b ring.Buf, off, n int, t ring.Token) {
	k.sendBuf, k.sendN, k.sendToken = b, n, t
	if _, err := k.tls.Write(k.loop.Bytes(b)[off : off+n]); err != nil && k.sendErr == 0 {
		k.sendErr = syscall.EPIPE // after an alert
	}
	if k.sendErr != 0 {
		k.loop.Post(k.endSend)
	}
	k.flush()
}

// endSend ends our Send.
func (k *conn) endSend() {
	if k.sendBuf == 0 || k.leaving {
		return
	}
	c := ring.Completion{Token: k.sendToken, Op: ring.OpSend, N: k.sendN, Err: k.sendErr, Sock: k.sock, Buf: k.sendBuf}
	if k.sendErr != 0 {
		c.N = 0
	}
	k.sendBuf = 0
	k.deliver(c)
	k.flush()
	k.drained()
}

// queue appends records to what is to be sent.
func (k *conn) queue(p []byte) {
	if k.sendErr != 0 || k.leaving {
		return
	}
	if k.pulling {
		k.answered += len(p)
	}
	k.outBytes += len(p)
	for len(p) > 0 {
		i := len(k.out) - 1
		if i < 0 || (i == 0 && k.sending) || k.out[i].n == k.loop.BufSize() {
			k.out = append(k.out, piece{buf: k.loop.Alloc()})
			i++
		}
		n := copy(k.loop.Bytes(k.out[i].buf)[k.out[i].n:], p)
		k.out[i].n += n
		p = p[n:]
	}
}

// flush sends the first piece.
func (k *conn) flush() {
	if k.sending || len(k.out) == 0 || k.leaving {
		return
	}
	k.sending = true
	k.loop.Loop.Send(k.sock, k.out[0].buf, 0, k.out[0].n, k.own())
}

// sent takes the outcome of sending a piece.
func (k *conn) sent(c *ring.Completion) {
	k.loop.Release(c.Buf)
	k.sending = false
	k.outBytes -= k.out[0].n
	if k.out = append(k.out[:0], k.out[1:]...); len(k.out) == 0 {
		k.answered = 0
	}
	if c.Err != 0 {
		k.sendErr = c.Err
		k.discard()
	}
	if k.leaving {
		return
	}
	if k.sendBuf != 0 && (k.sendErr != 0 || k.outBytes < tailBytes) {
		k.endSend()
		return
	}
	k.flush()
	k.drained()
}

// discard gives back what will not be sent.
func (k *conn) discard() {
	keep := 0
	if k.sending {
		keep = 1
	}
	for _, p := range k.out[min(keep, len(k.out)):] {
		k.loop.Release(p.buf)
	}
	k.out = k.out[:min(keep, len(k.out))]
}

// drained does what waits for all to be written.
func (k *conn) drained() {
	if len(k.out) > 0 || k.leaving {
		return
	}
	if k.shut {
		k.shut = false
		k.loop.Loop.Shutdown(k.sock)
	}
	if k.closing && !k.failed {
		k.closeNow()
	}
}

// shutdown is Shutdown.
func (k *conn) shutdown() {
	if k.wire.live && !k.failed {
		_ = k.tls.CloseWrite() // fails when an alert has said more
	}
	k.shut = true
	k.flush()
	k.drained()
}

// close is Close.
func (k *conn) close(t ring.Token) {
	k.closing, k.closeToken = true, t
	k.wire.abandon()
	if k.aborted || k.sendErr != 0 || k.sendBuf != 0 || !k.wire.live {
		k.closeNow()
		return
	}
	wait := lastWords
	switch {
	case !k.failed:
		_ = k.tls.CloseWrite()
	case k.wire.eof:
		k.failed = false // nobody to listen
	default:
		wait = parting
		k.shut = true
		if !k.reading {
			k.read()
		}
	}
	k.timer = k.loop.After(wait, k.own())
	k.flush()
	k.drained()
}

// closeNow closes the socket.
func (k *conn) closeNow() {
	if k.leaving {
		return
	}
	k.leaving = true
	k.loop.StopTimer(k.timer)
	k.discard()
	k.loop.Loop.Close(k.sock, k.own())
}

// closed ends what was pending, in the order of the contract.
func (k *conn) closed() {
	if k.wanted {
		k.wanted = false
		k.deliver(ring.Completion{Token: k.recvToken, Op: ring.OpRecv, Err: syscall.ECANCELED, Sock: k.sock})
	}
	if b := k.sendBuf; b != 0 {
		k.sendBuf = 0
		k.deliver(ring.Completion{Token: k.sendToken, Op: ring.OpSend, Err: syscall.ECANCELED, Sock: k.sock, Buf: b})
	}
	k.deliver(ring.Completion{Token: k.closeToken, Op: ring.OpClose, Sock: k.sock})
}
