package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const connectTimeout = 30 * time.Second // of Ask

// Ask sends a command to the control socket at address, host:port or a path with a slash, and copies the reply to
// out until the server closes. It blocks. What comes as an error is worded as penctl does.
func Ask(address, command string, out io.Writer) error {
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return fmt.Errorf("send command: %w", err)
	}
	if _, err := io.Copy(out, conn); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	return nil
}

func dial(address string) (net.Conn, error) {
	network := "unix"
	if !strings.Contains(address, "/") {
		i := strings.LastIndexByte(address, ':')
		if i < 0 {
			return nil, errors.New("no port given")
		}
		host := strings.TrimSuffix(strings.TrimPrefix(address[:i], "["), "]")
		network, address = "tcp", net.JoinHostPort(host, address[i+1:])
	}
	conn, err := net.DialTimeout(network, address, connectTimeout)
	var dns *net.DNSError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &dns) && dns.IsNotFound:
		return nil, errors.New("getaddrinfo: Name or service not known")
	case errors.As(err, &dns):
		return nil, fmt.Errorf("getaddrinfo: %s", dns.Err)
	}
	return nil, errors.New("error connecting to server")
}
