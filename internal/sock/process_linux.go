package sock

import "golang.org/x/sys/unix"

// dup2 is dup3(2), since the newer architectures have no dup2.
func dup2(from, to int) error { return unix.Dup3(from, to, 0) }

// CanReusePort tells whether listeners that share a port (SO_REUSEPORT) share the connections among them.
const CanReusePort = true
