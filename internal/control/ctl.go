package control

import (
	"bytes"
	"encoding/json"
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

// AskJSON is Ask for machines: the reply is one JSON object on a line, and what the server calls an error is one.
func AskJSON(address, command string, out io.Writer) error {
	var reply bytes.Buffer
	if err := Ask(address, "json "+command, &reply); err != nil {
		return err
	}
	var object struct{ Error *string }
	switch err := json.Unmarshal(reply.Bytes(), &object); {
	case reply.Len() == 0:
		return errors.New("no reply: is this address permitted by control_acl?")
	case err != nil:
		return fmt.Errorf("the reply is not JSON, perhaps the server is too old: %.200q", reply.String())
	case object.Error != nil:
		return errors.New(*object.Error)
	}
	if _, err := out.Write(reply.Bytes()); err != nil {
		return fmt.Errorf("write reply: %w", err)
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
