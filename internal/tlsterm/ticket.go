package tlsterm

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// rotation is how long a key of our own making encrypts tickets, and keptKeys how many decrypt them: a session can
	// be resumed for a day at least.
	rotation = 12 * time.Hour
	keptKeys = 3
	// leastSecret is what a line of a ticket key file must have.
	leastSecret = 32
)

// tickets are the keys of session tickets, shared by all loops: from a file, so that several pens resume each other's
// sessions, or made here.
type tickets struct {
	mu    sync.Mutex
	from  file
	seen  stamp
	keys  [][32]byte
	since time.Time
}

// parseTicketKeys reads a file of ticket keys: a secret of 32 bytes or more in each line, in base64. The first one
// encrypts, all decrypt. Empty lines and those that begin with # do not count.
func parseTicketKeys(b []byte) ([][32]byte, error) {
	var keys [][32]byte
	lines, n := bufio.NewScanner(bytes.NewReader(b)), 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(string(line))
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", n, err)
		case len(secret) < leastSecret:
			return nil, fmt.Errorf("line %d: %d bytes are too few, want %d (openssl rand -base64 48)", n, len(secret), leastSecret)
		}
		keys = append(keys, sha256.Sum256(secret))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	return keys, nil
}

// load reads the file, if there is one, and keeps what it had if that fails.
func (t *tickets) load(c *tls.Config) error {
	t.seen = t.from.stamp()
	b, err := t.from.read()
	if err == nil {
		var keys [][32]byte
		if keys, err = parseTicketKeys(b); err == nil {
			t.keys = keys
			c.SetSessionTicketKeys(keys)
			return nil
		}
	}
	return fmt.Errorf("ticket_keys %s: %w%s", t.from.path, err, remedy(err))
}

// turn makes a new key.
func (t *tickets) turn(c *tls.Config, now time.Time) {
	var k [32]byte
	rand.Read(k[:])
	t.keys = append([][32]byte{k}, t.keys[:min(len(t.keys), keptKeys-1)]...)
	t.since = now
	c.SetSessionTicketKeys(t.keys)
}

// set begins with the keys of f, or with keys of our own if f is none.
func (t *tickets) set(f file, c *tls.Config, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.from
	t.from = f
	switch {
	case f.path != "":
		if err := t.load(c); err != nil {
			t.from = was
			return err
		}
	case was.path != "" || t.keys == nil:
		t.keys = nil
		t.turn(c, now)
	}
	return nil
}

// check follows a change of the file, or makes a new key when it is time. It is called now and then.
func (t *tickets) check(c *tls.Config, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.from.path == "":
		if now.Sub(t.since) >= rotation {
			t.turn(c, now)
		}
	case t.from.stamp() != t.seen:
		return t.load(c)
	}
	return nil
}
