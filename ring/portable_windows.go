package ring

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// newIO is the way of Windows, whose sockets have no calls that would not block, only overlapped ones.
func newIO(c streamConn) rawIO { return newPatientIO(c) }

// waiter awaits data without taking it.
type waiter struct {
	raw    syscall.RawConn
	asked  bool
	onTurn func(fd uintptr) bool
}

func (w *waiter) open(c syscall.Conn) {
	w.raw, _ = c.SyscallConn() // fails only for a connection that is nil
	w.onTurn = w.turn
}

// await uses that RawConn.Read waits between two calls of its function by a read of zero bytes, which ends when the
// socket is readable (internal/poll, fd_windows.go).
func (w *waiter) await() syscall.Errno {
	w.asked = false
	return netErrno(w.raw.Read(w.onTurn))
}

func (w *waiter) turn(uintptr) bool {
	again := w.asked
	w.asked = true
	return again
}

// descriptor is -1: a handle is no descriptor.
func descriptor(streamConn) int { return -1 }

// unixErrno is the errno of Unix for one of Windows, so that callers need to know one set.
func unixErrno(e syscall.Errno) syscall.Errno {
	for _, m := range [...]struct{ from, to syscall.Errno }{
		{windows.WSAECONNRESET, syscall.ECONNRESET},
		{windows.WSAECONNABORTED, syscall.ECONNABORTED},
		{windows.WSAECONNREFUSED, syscall.ECONNREFUSED},
		{windows.WSAESHUTDOWN, syscall.EPIPE},
		{windows.WSAETIMEDOUT, syscall.ETIMEDOUT},
		{windows.WSAENETUNREACH, syscall.ENETUNREACH},
		{windows.WSAEHOSTUNREACH, syscall.EHOSTUNREACH},
		{windows.WSAENOTCONN, syscall.ENOTCONN},
		{windows.WSAEADDRINUSE, syscall.EADDRINUSE},
		{windows.WSAEADDRNOTAVAIL, syscall.EADDRNOTAVAIL},
		{windows.WSAEMFILE, syscall.EMFILE},
		{windows.WSAENOBUFS, syscall.ENOBUFS},
		{windows.WSAEACCES, syscall.EACCES},
		// the kernel's own names, which overlapped calls may yield
		{windows.ERROR_NETNAME_DELETED, syscall.ECONNRESET},
		{windows.ERROR_CONNECTION_ABORTED, syscall.ECONNABORTED},
		{windows.ERROR_CONNECTION_REFUSED, syscall.ECONNREFUSED},
		{windows.ERROR_SEM_TIMEOUT, syscall.ETIMEDOUT},
		{windows.ERROR_NETWORK_UNREACHABLE, syscall.ENETUNREACH},
		{windows.ERROR_HOST_UNREACHABLE, syscall.EHOSTUNREACH},
		{windows.ERROR_OPERATION_ABORTED, syscall.ECANCELED},
	} {
		if e == m.from {
			return m.to
		}
	}
	return e
}
