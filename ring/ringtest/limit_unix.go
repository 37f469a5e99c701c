//go:build unix

package ringtest

import (
	"errors"
	"os"
	"syscall"
)

var limitCases = []testCase{
	{"accept without descriptors", limitAccept},
	{"connect without descriptors", limitConnect},
}

// exhausted runs f while the process can open no descriptor.
func (r *rig) exhausted(f func()) {
	r.t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		r.t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		r.t.Fatal(err)
	}
	low := old
	setLimit(&low, null.Fd()) // the lowest free one: all below are taken
	null.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			r.t.Fatal(err)
		}
	}()
	f()
}

func limitAccept(r *rig) {
	l := r.listen("127.0.0.1", nil)
	ls := r.attach(l)
	c := r.dial(l)
	r.exhausted(func() {
		for range 3 {
			r.final(r.accept(ls), syscall.EMFILE)
		}
	})
	at := r.accept(ls)
	s := r.expect(at).Sock
	r.final(r.send(s, []byte("now")), 0)
	expectRead(r.t, c, "now")
	r.close(s)
	r.close(ls)
	r.final(at, syscall.ECANCELED)
	r.balanced(0)
}

func limitConnect(r *rig) {
	l := r.listen("127.0.0.1", nil)
	a := l.Addr()
	r.exhausted(func() {
		s, t, err := r.connect(&a, nil)
		if err != nil {
			if !errors.Is(err, syscall.EMFILE) {
				r.t.Errorf("connect: %v, want EMFILE", err)
			}
			return
		}
		r.final(t, syscall.EMFILE) // the portable engine learns it later
		r.close(s)
	})
	r.balanced(0)
	s := r.mustConnect(&a, nil)
	r.close(s)
}
