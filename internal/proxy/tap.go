package proxy

import (
	"fmt"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/splice"
)

// dumpLevel is the debug level above which all data is shown.
const dumpLevel = 2

// tap lets the session see the pieces that somebody wants to know about: the log those of clients, the dump all.
func (w *Worker) tap(s *session, st *settings.Settings) {
	s.relay.Tap(splice.Up, st.Log != "" || st.Debug > dumpLevel)
	s.relay.Tap(splice.Down, st.Debug > dumpLevel)
}

// seen takes a piece that s has received in direction d.
func (w *Worker) seen(s *session, d splice.Dir, data []byte) {
	st := w.proxy.Settings.Get()
	if st.Debug > dumpLevel {
		w.proxy.Dump(dump(data, st.ASCII))
	}
	if d == splice.Up && st.Log != "" {
		t := w.proxy.Servers.Target(int(s.server))
		w.line = accesslog.Line{Time: w.now(), Client: s.addrPort().Addr(), Server: t.Addr, Path: t.Path, Request: data}
		w.log.Add(&w.line)
	}
}

// dump shows data in pen's form: the length, then hexadecimal bytes, or text with a point for what is not printable.
func dump(data []byte, ascii bool) []byte {
	b := fmt.Appendf(make([]byte, 0, 3*len(data)+16), "%d: ", len(data))
	for _, c := range data {
		switch {
		case !ascii:
			b = fmt.Appendf(b, "%02x ", c)
		case c >= ' ' && c < 127, c == '\n', c == '\r', c == '\t':
			b = append(b, c)
		default:
			b = append(b, '.')
		}
	}
	return append(b, '\n')
}
