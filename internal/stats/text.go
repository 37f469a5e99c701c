package stats

import (
	"fmt"
	"io"
	"time"
)

// WriteText writes the report that USR1 asks for: one Write per message, each ended by a newline, so that a writer
// that puts time and name before each message works as pen's does. Messages about a server, client or connection
// have several lines and an empty one at the end. It stops at the first error of w.
//
// pen: the messages about clients were garbage, a misplaced comma in a format; here they have the fields they name.
func (s *Snapshot) WriteText(w io.Writer) error {
	r := report{w: w}
	r.say("Time %s, %d servers, %d current\n", s.Time.Format(timeLayout), len(s.Servers), s.Current)
	for i := range s.Servers {
		sv := &s.Servers[i]
		r.say("Server %d status:\naddress %s\n%d\nport %d\n%d connections (%d soft, %d hard)\n%d sent, %d received\n\n",
			sv.Index, visible(sv.Addr), sv.StatusUnix, sv.Port, sv.Conn, sv.Max, sv.Hard, sv.Sent, sv.Received)
	}
	r.say("Max number of clients: %d\n", s.ClientsMax)
	r.say("Active clients:\n")
	for i := range s.Clients {
		c := &s.Clients[i]
		r.say("Client %d status:\naddress %s\nlast used %d\nlast server %d\n%d connects\n%d sent, %d received\n\n",
			c.Index, visible(c.Addr), s.Time.Add(-c.Age).Unix(), c.LastServer, c.Connects, c.Sent, c.Received)
	}
	r.say("Max number of connections: %d\n", s.ConnMax)
	r.say("Active connections:\n")
	for i := range s.Conns {
		c := &s.Conns[i]
		r.say("Connection %d status:\ndownfd = %d, upfd = %d\npending data %d down, %d up\nclient %d, server %d\n\n",
			c.Index, c.DownFD, c.UpFD, c.PendingDown, c.PendingUp, c.Client, c.Server)
	}
	return r.err
}

// report remembers the first error.
type report struct {
	w   io.Writer
	err error
}

func (r *report) say(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format, args...)
	}
}

// seconds is d in whole seconds. A clock that was set back makes no negative age.
func seconds(d time.Duration) int { return int(max(d, 0) / time.Second) }
