package sink

import (
	"sync"
	"sync/atomic"

	"github.com/penlb/pen/internal/accesslog"
)

// bufferBytes bounds what a producer holds back: half a second of 25000 lines a second of usual length, and with
// the wake-up at the half a multiple of it.
const bufferBytes = 256 << 10

// A Producer takes the lines of one loop. Its methods may be called from any goroutine and never wait for I/O.
type Producer struct {
	log *Log // constant after New

	mode atomic.Uint32 // 0: there is no log; else 1 + the format; written with mu held

	mu   sync.Mutex
	buf  []byte // lines to be written; nil while there is no log
	lost int    // lines for which there was no room

	spare []byte // writer only: the other buffer
}

// Format tells which lines are wanted, if any: JSON at the end of each connection, the others for each piece of data
// from a client. It is one atomic load.
func (p *Producer) Format() (f accesslog.Format, on bool) {
	m := p.mode.Load()
	return accesslog.Format(m - 1), m != 0
}

// Add logs l, if there is a log. It does not allocate and keeps nothing of l. Without room the line is lost.
func (p *Producer) Add(l *accesslog.Line) {
	if p.mode.Load() == 0 {
		return
	}
	p.mu.Lock()
	before := len(p.buf)
	f, on := p.Format() // again, now that it cannot change
	if !on || cap(p.buf)-before < accesslog.MaxLine {
		if on {
			p.lost++
		}
		p.mu.Unlock()
		return
	}
	p.buf = f.Append(p.buf, l)
	after := len(p.buf)
	p.mu.Unlock()

	if before == 0 {
		signal(p.log.some)
	}
	if before < bufferBytes/2 && after >= bufferBytes/2 {
		signal(p.log.much)
	}
}

// take swaps the buffers. The lines are valid until the next take.
func (p *Producer) take() (lines []byte, lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.swap()
}

// set is take, and from now on lines have format f, or there are none.
func (p *Producer) set(f accesslog.Format, on bool) (lines []byte, lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines, lost = p.swap()
	switch {
	case !on:
		p.mode.Store(0)
		p.buf, p.spare = nil, nil
	case p.buf == nil:
		p.buf, p.spare = make([]byte, 0, bufferBytes), make([]byte, 0, bufferBytes)
		fallthrough
	default:
		p.mode.Store(1 + uint32(f))
	}
	return lines, lost
}

func (p *Producer) swap() (lines []byte, lost int) {
	lines, lost = p.buf, p.lost
	p.buf, p.spare, p.lost = p.spare[:0], p.buf, 0
	return lines, lost
}

// signal leaves a token in c, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
