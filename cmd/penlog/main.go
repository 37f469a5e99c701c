// Penlog sends the log of a web server to penlogd, each line as a datagram. See the manual page penlog(1).
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// maxLine is what a datagram can hold; longer lines are cut.
const maxLine = 65507

// env is what the program sees of the world.
type env struct {
	args   []string // after the program's name
	stdin  io.Reader
	stderr io.Writer
}

func main() { os.Exit(run(env{args: os.Args[1:], stdin: os.Stdin, stderr: os.Stderr})) }

// run is the program; it returns the exit status.
func run(e env) int {
	if len(e.args) < 2 {
		fmt.Fprintln(e.stderr, "Usage: penlog server_ip server_port [my_ip]")
		return 1
	}
	var from string
	if len(e.args) > 2 {
		from = e.args[2]
	}
	conn, err := dial(e.args[0], e.args[1], from)
	if err == nil {
		defer conn.Close()
		err = send(conn, e.stdin)
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "penlog: %v\n", err)
		return 1
	}
	return 0
}

// dial connects a socket to penlogd, from a local address if from is not empty.
func dial(host, port, from string) (*net.UDPConn, error) {
	to, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	var local *net.UDPAddr
	if from != "" {
		if local, err = net.ResolveUDPAddr("udp", net.JoinHostPort(from, "0")); err != nil {
			return nil, err
		}
	}
	return net.DialUDP("udp", local, to)
}

// send sends each line of r, with its newline. What cannot be sent is lost: a web server that waits for its log, or
// sees it end, is worse.
func send(w io.Writer, r io.Reader) error {
	lines := bufio.NewReaderSize(r, maxLine)
	rest := false // the line has been cut
	for {
		line, err := lines.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if full {
			line[len(line)-1] = '\n'
		}
		if len(line) > 0 && !rest {
			w.Write(line)
		}
		rest = full
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !full:
			return fmt.Errorf("read the log: %w", err)
		}
	}
}
