package control

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/penlb/pen/internal/stats"
)

// The word json before a command asks for a reply to machines: one JSON object on one line, whatever the command. It
// has the single member "error" if the command, or a part of it, had no effect; what a file must not say is not
// executed at all then. Numbers carry their unit in the name of the member. Members may be added, never renamed.

// asksJSON reports whether a line begins with the word json.
func asksJSON(line string) bool {
	w := words(firstLine(line))
	return len(w) > 0 && w[0] == "json"
}

// set gives the reply for machines a member.
func (c *call) set(name string, value any) {
	if !c.json {
		return
	}
	if c.object == nil {
		c.object = map[string]any{}
	}
	c.object[name] = value
}

// show replies a value: as member name to machines, by format to people.
func (c *call) show(name string, value any, format string) {
	c.set(name, value)
	c.printf(format, value)
}

// answer is the reply, for whom it is meant.
func (c *call) answer() []byte {
	switch {
	case !c.json:
		return c.reply.Bytes()
	case c.why != "":
		return jsonError(c.name + ": " + c.why)
	}
	return jsonObject(c.object)
}

func jsonError(text string) []byte { return jsonObject(map[string]any{"error": text}) }

func jsonObject(members map[string]any) []byte {
	if members == nil {
		members = map[string]any{}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(members); err != nil {
		panic(err) // members are numbers, strings and the types below
	}
	return []byte(b.String())
}

// jsonServer is an element of "servers".
type jsonServer struct {
	Index         int    `json:"index"`
	Address       string `json:"address"` // IP address or path; 0.0.0.0 in a slot without server
	Port          int    `json:"port"`
	Connections   int    `json:"connections"`
	Max           int    `json:"max"`
	Hard          int    `json:"hard"`
	Weight        int    `json:"weight"`
	Prio          int    `json:"prio"`
	SentBytes     uint64 `json:"sent_bytes"` // to the server
	ReceivedBytes uint64 `json:"received_bytes"`
	FailedAt      int64  `json:"failed_at_unix_seconds"` // 0: no failure that counts
	TLS           string `json:"tls,omitempty"`          // whose signatures are trusted: a file or "system"; none: in plain
}

// jsonClient is an element of "clients".
type jsonClient struct {
	Address       string `json:"address"` // empty: all Unix clients
	IdleSeconds   int64  `json:"idle_seconds"`
	Server        int    `json:"server"` // where it was served last; negative: nowhere
	Connects      uint64 `json:"connects"`
	SentBytes     uint64 `json:"sent_bytes"` // to the client
	ReceivedBytes uint64 `json:"received_bytes"`
}

// jsonConnection is what "connection" and the elements of "connections" show.
type jsonConnection struct {
	Connection   int `json:"connection"`
	DownFD       int `json:"down_fd"`
	UpFD         int `json:"up_fd"`
	Client       int `json:"client"`
	Server       int `json:"server"`
	PendingBytes int `json:"pending_bytes"`
}

// jsonEngine is an element of "passed_over".
type jsonEngine struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// jsonCommand is an element of "commands".
type jsonCommand struct {
	Form string `json:"form"`
	Help string `json:"help"`
}

// setSnapshot is the status page for machines.
func (c *call) setSnapshot(s *stats.Snapshot) {
	servers, clients, conns := []jsonServer{}, []jsonClient{}, []jsonConnection{}
	for _, v := range s.Servers {
		servers = append(servers, jsonServer{v.Index, v.Addr, v.Port, v.Conn, v.Max, v.Hard, v.Weight, v.Prio, v.Sent,
			v.Received, v.StatusUnix, c.Service.Config(v.Index).TLS.CA})
	}
	for _, v := range s.Clients {
		clients = append(clients, jsonClient{v.Addr, int64(v.Age / time.Second), v.LastServer, v.Connects, v.Sent, v.Received})
	}
	for _, v := range s.Conns {
		conns = append(conns, jsonConnection{v.Index, v.DownFD, v.UpFD, v.Client, v.Server, v.PendingDown + v.PendingUp})
	}
	c.set("time_unix_seconds", s.Time.Unix())
	c.set("current_server", s.Current)
	c.set("servers", servers)
	c.set("clients", clients)
	c.set("clients_max", s.ClientsMax)
	c.set("connections", conns)
	c.set("connections_used", s.ConnUsed)
	c.set("conn_max", s.ConnMax)
	if s.Direct != nil {
		c.set("dsr", s.Direct)
	}
}
