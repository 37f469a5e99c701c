package ring

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// Loop is one reactor thread. See the package documentation for the contract.
type Loop interface {
	// Engine is the name of the engine: "uring", "epoll", "kqueue" or "portable".
	Engine() string

	// Features lists what the engine uses on this machine, as words for an operator ("multishot", "buffer-ring").
	Features() []string

	// Handle sets the receiver of all completions whose token has class c. Call it before Run.
	Handle(c Class, h Handler)

	// Attach makes a listener usable on this loop. The listener stays open and owned by the caller; Close on the
	// returned socket only detaches it from this loop.
	Attach(l *sock.Listener) (Sock, error)

	// Accept yields one completion with More and Sock set for each connection that arrives on l. The new socket is
	// non-blocking and belongs to the loop. The final completion carries the reason: ECANCELED, or an error of
	// accept(2) such as EMFILE, after which the caller decides when to try again.
	Accept(l Sock, t Token)

	// Connect opens a stream socket prepared with o (which may be nil) and starts connecting it to a; a and o are not
	// kept. An error means that no socket was made (EMFILE, ENFILE, EADDRNOTAVAIL…) and no completion follows. The
	// completion's Err tells the outcome; the socket stays open, to be closed by the caller, either way.
	Connect(a *sock.Addr, o *sock.Options, t Token) (Sock, error)

	// Recv yields a completion with More, N > 0 and a lent Buf for each piece of data that arrives. The final one
	// has N == 0: Err == 0 means end of stream, ECANCELED after Cancel, else the error.
	// The caller limits what it holds by cancelling; after the final completion Recv may be called again.
	Recv(s Sock, t Token)

	// Send writes b[off:off+n] completely, or until an error. It owns b until its completion, which hands b back
	// (Completion.Buf) to be released. N is what was written, also when Err is set.
	Send(s Sock, b Buf, off, n int, t Token)

	// Readable and Writable complete once when the socket is readable (data, end of stream or error) or writable,
	// now or later. They serve callers that move bytes themselves through FD. Not on portable: see HasFD.
	Readable(s Sock, t Token)
	Writable(s Sock, t Token)

	// AttachDatagrams makes a UDP socket usable on this loop. As for Attach it stays open and owned by the caller, and
	// Close on the returned socket only detaches it.
	AttachDatagrams(d *sock.DatagramSocket) (Sock, error)

	// OpenDatagrams opens a UDP socket as o says, which belongs to the loop. The error is that of the system call.
	OpenDatagrams(o *sock.DatagramOptions) (Sock, error)

	// Receive yields a completion with More for each batch of datagrams that arrives at s, a UDP socket: N of them,
	// which Datagrams returns. Its final completion is ECANCELED.
	Receive(s Sock, t Token)

	// Datagrams are those of the completion of Receive that is being handled. They and their Data are valid until
	// the handler returns, and longer only for what it gives to Transmit.
	Datagrams() []sock.Datagram

	// Transmit sends d on s, a UDP socket: to d.Remote, or to the peer of s if it has one. d.Data is, or is a part
	// of, the Data of a datagram that is being handled. It leaves at the latest before the loop sleeps, in the order
	// of the calls. There is no completion, for nobody waits for datagrams: what finds no room or no route is lost
	// (Stats.Lost), and Receive with Datagram.Err tells of peers that are known to be out of reach.
	Transmit(s Sock, d *sock.Datagram)

	// Cancel asks for the pending operation of that kind to end. Its final completion follows, with ECANCELED unless
	// the operation was faster. Without a pending operation it does nothing. Send cannot be cancelled alone: Close.
	Cancel(s Sock, op Op)

	// Shutdown closes the write half, at once (shutdown(2), SHUT_WR).
	Shutdown(s Sock) syscall.Errno

	// Abort makes the coming Close reset the connection instead of ending it in order (SO_LINGER 0).
	Abort(s Sock)

	// Close cancels all that is pending on s and closes it.
	Close(s Sock, t Token)

	// HasFD tells whether sockets are descriptors that may be used directly, as splice(2) does.
	HasFD() bool
	// FD is the descriptor's number; -1 when the platform has none. The loop keeps owning it.
	FD(s Sock) int
	// Peer and Local are the addresses of a connected socket; the zero value for Unix sockets.
	Peer(s Sock) netip.AddrPort
	Local(s Sock) netip.AddrPort

	// BufSize is the capacity of the buffers that Recv and Alloc lend.
	BufSize() int
	// Alloc lends an empty buffer.
	Alloc() Buf
	// Bytes is the whole memory of b, up to its capacity. Valid until Release.
	Bytes(b Buf) []byte
	// Release gives b back.
	Release(b Buf)

	// Now is monotonic time in nanoseconds, read once per turn of the loop.
	Now() int64
	// After completes (OpTimer) once d has passed, with a precision of some milliseconds, never early.
	After(d time.Duration, t Token) Timer
	// StopTimer ends a timer without a completion. It is harmless on one that has completed.
	StopTimer(t Timer)

	// SetSpin changes how long the loop polls before it sleeps; at first it does not.
	SetSpin(s Spin)

	// Post runs f on the loop after all completions that the kernel had ready when it was posted. Safe from any
	// goroutine. It reports false, and f is not run, if the loop has stopped.
	Post(f func()) bool

	// Run turns the loop until Stop, locked to its OS thread. When it returns every socket has been closed, without
	// further completions, and the loop's resources are freed.
	Run() error
	// Stop makes Run return. Safe from any goroutine, more than once, and before Run.
	Stop()

	// Stats are the counters for tests and `penctl engine`. Call it on the loop (Post).
	Stats() Stats
}

// Sock names a socket of one loop; the zero Sock is none. The slot is in the low 24 bits, a generation above them.
type Sock uint32

// Buf names a buffer of one loop; the zero Buf is none.
type Buf uint32

// Timer names a timer of one loop; the zero Timer is none.
type Timer uint64

// Class selects the handler of a token's completions.
type Class uint8

// Token is the caller's name for an operation: its class in the top byte, the rest free for the caller.
type Token uint64

// NewToken joins class c and the caller's value, of which 56 bits are kept.
func NewToken(c Class, v uint64) Token { return Token(c)<<56 | Token(v&(1<<56-1)) }

// Class is the token's class.
func (t Token) Class() Class { return Class(t >> 56) }

// Value is the caller's part of the token.
func (t Token) Value() uint64 { return uint64(t) & (1<<56 - 1) }

// Op is the kind of an operation.
type Op uint8

// The operations.
const (
	OpNone Op = iota
	OpAccept
	OpConnect
	OpRecv
	OpSend
	OpReadable
	OpWritable
	OpClose
	OpTimer
	OpReceive
)

var opNames = [...]string{"none", "accept", "connect", "recv", "send", "readable", "writable", "close", "timer", "receive"}

func (o Op) String() string { return opNames[o] }

// Completion is what became of an operation.
type Completion struct {
	Token Token
	Op    Op
	More  bool          // further completions of this operation follow
	Err   syscall.Errno // 0: fine
	N     int           // bytes moved by Recv or Send; datagrams of Receive
	Sock  Sock          // the socket of the operation; for Accept the new one, 0 in its final completion
	Buf   Buf           // Recv: data, lent to the handler; Send: the buffer, handed back
}

// Handler receives completions, on the loop's goroutine. It may call any verb.
type Handler interface {
	Complete(c *Completion)
}

// Stats counts what a loop owns and did.
type Stats struct {
	Socks   int    // open sockets, attached listeners included
	Bufs    int    // buffers lent out
	Timers  int    // running timers
	Pending int    // operations without their final completion
	Turns   uint64 // waits for events
	Posts   uint64 // functions run
	Sent    uint64 // datagrams sent
	Lost    uint64 // datagrams that Transmit could not send
}
