//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris)

package sock

// InUse cannot tell here.
func InUse(*Addr) bool { return false }

// OpenFiles cannot tell here.
func OpenFiles() int { return 0 }

// CanReusePort tells whether listeners that share a port (SO_REUSEPORT) share the connections among them.
const CanReusePort = false
