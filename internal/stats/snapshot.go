package stats

import "time"

// Snapshot is the state of one service at one moment. The slices belong to whoever filled them and are only read.
type Snapshot struct {
	Time    time.Time // when it was taken; shown in its location
	Current int       // index of the server that round robin chose last

	Servers []Server // every slot of the table, in order, used or not

	ClientsMax int
	Clients    []Client // the known clients

	ConnMax  int    // how many connections there may be
	ConnUsed int    // how many there are
	ConnLast int    // number of the connection that was opened last
	Conns    []Conn // the connections in use

	Direct *Direct // nil: no direct server return
}

// Server is one slot of the server table.
type Server struct {
	Index      int
	Addr       string // IP address or path of a Unix socket
	StatusUnix int64  // time of the failure that counts for blacklisting, seconds since 1970; 0: none
	Port       int
	Conn       int    // connections now; with direct server return the packets to it so far
	Max, Hard  int    // limits for new and for known clients; Max 0: none
	Sent       uint64 // bytes to the server
	Received   uint64 // bytes from the server
	Weight     int
	Prio       int
}

// Client is one known client.
type Client struct {
	Index      int
	Addr       string        // IP address; empty for the client that stands for all Unix sockets
	Age        time.Duration // since it connected last, shown in whole seconds
	LastServer int           // index of the server it used last; negative: none, or none of the table
	Connects   uint64
	Sent       uint64 // bytes to the client
	Received   uint64 // bytes from the client
}

// Conn is one connection between a client and a server.
type Conn struct {
	Index                  int
	DownFD, UpFD           int // descriptors towards client and server; -1: none
	PendingDown, PendingUp int // bytes on their way to the client and to the server
	Client, Server         int // indexes in the tables; negative: none
}

// timeLayout is how pen writes the time of a report.
const timeLayout = "2006-01-02 15:04:05"
