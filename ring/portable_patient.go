package ring

import (
	"net"
	"syscall"
)

// patientIO is a rawIO made of nothing but package net: reads only after await, and leaves every write to Write.
type patientIO struct {
	waiter
	conn     net.Conn
	readable bool
}

func newPatientIO(c streamConn) rawIO {
	p := &patientIO{conn: c}
	p.open(c)
	return p
}

func (p *patientIO) await() syscall.Errno {
	err := p.waiter.await()
	p.readable = true
	return err
}

// read does not block after await: nobody else reads, so what was there still is.
func (p *patientIO) read(b []byte) (int, syscall.Errno) {
	if !p.readable {
		return 0, syscall.EAGAIN
	}
	p.readable = false
	n, err := p.conn.Read(b)
	return n, netErrno(err)
}

func (p *patientIO) write([]byte) (int, syscall.Errno) { return 0, syscall.EAGAIN }
