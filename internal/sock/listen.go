package sock

import "errors"

// ListenOptions prepare a listener. The zero value, and nil, mean the system's defaults.
type ListenOptions struct {
	Backlog int    // queue of connections not yet accepted; 0: the system's maximum
	Mode    uint32 // permissions of a Unix socket's file; 0: what the umask leaves
	// ReusePort lets several listeners share an IP address and port, each with a queue of its own
	// (SO_REUSEPORT). SO_REUSEADDR is always set for IP. Ignored where the system lacks it.
	ReusePort bool
	// NoDelay sets TCP_NODELAY, which accepted sockets inherit on Linux; loops set it again where they do not.
	NoDelay bool
}

// ErrNotSocket means that the path of a Unix listener is taken by a file that is not a socket; it is left alone.
var ErrNotSocket = errors.New("exists and is not a socket")

// Addr is where l listens, with the port that was chosen if 0 was asked for.
func (l *Listener) Addr() Addr { return l.addr }

// NoDelay reports whether accepted sockets shall have TCP_NODELAY.
func (l *Listener) NoDelay() bool { return l.noDelay }
