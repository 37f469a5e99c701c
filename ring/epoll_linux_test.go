package ring_test

import (
	"testing"

	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

func openEpoll(t testing.TB) ring.Loop {
	t.Helper()
	l, err := ring.Open("epoll", ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEpoll(t *testing.T) { ringtest.Test(t, openEpoll) }

// TestEpollSmall has tiny buffers and batches, so that every operation takes many turns.
func TestEpollSmall(t *testing.T) {
	ringtest.Test(t, func(t testing.TB) ring.Loop {
		t.Helper()
		l, err := ring.Open("epoll", ring.Options{MultiAccept: 1, BufSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
