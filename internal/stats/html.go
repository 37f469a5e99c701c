package stats

import (
	"bufio"
	"html"
	"io"
	"strconv"
	"strings"
)

var (
	serverHead = []string{"server", "address", "status", "port", "connections", "max soft", "max hard", "sent",
		"received", "weight", "prio"}
	clientHead = []string{"client", "address", "age(secs)", "last server", "connects", "sent", "received"}
	connHead   = []string{"connection", "downfd", "upfd", "pending data down", "pending data up", "client", "server"}
)

// WriteHTML writes the status page. Tags, attributes, captions and line ends are those of pen, for the sake of
// programs that read the page; only addresses are escaped, which changes nothing in an IP address. It returns the
// first error of w.
func (s *Snapshot) WriteHTML(w io.Writer) error {
	p := page{bufio.NewWriterSize(w, 32<<10)}
	p.text("<html>\n<head>\n<title>Pen status page</title>\n</head>\n" +
		`<body bgcolor="#ffffff"><h1>Pen status page</h1>` + "\nTime ")
	p.text(s.Time.Format(timeLayout))
	p.count(", ", len(s.Servers), " servers, ")
	p.count("", s.Current, " current<p>\n")
	p.servers(s.Servers)
	p.count("<h2>Active clients</h2>Max number of clients: ", s.ClientsMax, "<p>")
	p.clients(s.Clients)
	p.count("<h2>Active connections</h2>Number of connections: ", s.ConnMax, " max, ")
	p.count("", s.ConnUsed, " used, ")
	p.count("", s.ConnLast, " last<p>")
	p.conns(s.Conns)
	if s.Direct != nil {
		p.direct(s.Direct)
	}
	p.text("</body>\n</html>\n")
	return p.w.Flush()
}

// page collects the first error in its bufio.Writer, which Flush returns.
type page struct{ w *bufio.Writer }

func (p page) servers(servers []Server) {
	p.table(serverHead)
	for i := range servers {
		sv := &servers[i]
		p.text("<tr>\n")
		p.int(sv.Index)
		p.str(sv.Addr)
		p.int64(sv.StatusUnix)
		p.int(sv.Port)
		p.int(sv.Conn)
		p.int(sv.Max)
		p.int(sv.Hard)
		p.uint(sv.Sent)
		p.uint(sv.Received)
		p.int(sv.Weight)
		p.int(sv.Prio)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
}

func (p page) clients(clients []Client) {
	p.table(clientHead)
	for i := range clients {
		c := &clients[i]
		p.text("<tr>\n")
		p.int(c.Index)
		p.str(c.Addr)
		p.int(seconds(c.Age))
		p.int(c.LastServer)
		p.uint(c.Connects)
		p.uint(c.Sent)
		p.uint(c.Received)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
}

func (p page) conns(conns []Conn) {
	p.table(connHead)
	for i := range conns {
		c := &conns[i]
		p.text("<tr>\n")
		p.int(c.Index)
		p.int(c.DownFD)
		p.int(c.UpFD)
		p.int(c.PendingDown)
		p.int(c.PendingUp)
		p.int(c.Client)
		p.int(c.Server)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
}

func (p page) table(head []string) {
	p.text(`<table bgcolor="#c0c0c0">` + "\n<tr>\n")
	for _, h := range head {
		p.text(`<td bgcolor="#80f080">`)
		p.text(h)
		p.text("</td>\n")
	}
	p.text("</tr>\n")
}

func (p page) text(s string) { p.w.WriteString(s) }

func (p page) count(before string, n int, after string) {
	p.text(before)
	p.w.Write(strconv.AppendInt(p.w.AvailableBuffer(), int64(n), 10))
	p.text(after)
}

func (p page) int(n int) { p.int64(int64(n)) }

func (p page) int64(n int64) {
	p.text("<td>")
	p.w.Write(strconv.AppendInt(p.w.AvailableBuffer(), n, 10))
	p.text("</td>\n")
}

func (p page) uint(n uint64) {
	p.text("<td>")
	p.number(n)
	p.text("</td>\n")
}

func (p page) number(n uint64) { p.w.Write(strconv.AppendUint(p.w.AvailableBuffer(), n, 10)) }

func (p page) str(s string) {
	p.text("<td>")
	p.text(html.EscapeString(visible(s)))
	p.text("</td>\n")
}

// visible replaces control characters, which the path of a Unix socket may contain and which would break lines.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
