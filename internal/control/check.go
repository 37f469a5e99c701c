package control

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
)

// A check looks at one command before anything of its plan happens. It is stricter than the command itself: in a file
// a word where a number belongs is a mistake, while the control socket reads it as pen does.
type check struct {
	*plan
	line *planned
}

// wrong notes a mistake for which the whole plan is refused.
func (k *check) wrong(format string, args ...any) {
	k.problems = append(k.problems, k.problem(format, args))
}

// doubt notes what is going to be ignored.
func (k *check) doubt(format string, args ...any) {
	k.doubts = append(k.doubts, k.problem(format, args))
}

func (k *check) problem(format string, args []any) Problem {
	return Problem{k.line.from, k.line.name + ": " + fmt.Sprintf(format, args...), len(k.lines)}
}

// need reports whether argument i is there; what it should have been is noted if not.
func (k *check) need(i int, what string) bool {
	if i < len(k.line.args) {
		return true
	}
	k.wrong("argument missing: want %s", what)
	return false
}

// number wants what is to be a whole number from least to most.
func (k *check) number(what, word string, least, most int) {
	n, err := strconv.ParseInt(word, 10, 64)
	is := "not a number"
	switch {
	case err == nil && int64(least) <= n && n <= int64(most):
		return
	case err == nil || errors.Is(err, strconv.ErrRange):
		is = "out of range"
	}
	k.wrong("%s is %s: want %d to %d", strings.TrimSpace(what+" "+word), is, least, most)
}

// host wants what is to be an address, or a name that can be looked up.
func (k *check) host(what, host string) {
	k.want(wanted{host: host, from: k.line.from, what: k.line.name + ": " + what, at: len(k.lines)})
}

const (
	minNumber = -1 << 31
	maxNumber = 1<<31 - 1
)

// optionalNumber is the check of a command that shows its value without argument.
func optionalNumber(least, most int) func(*check) {
	return func(k *check) {
		if len(k.line.args) > 0 {
			k.number("", k.line.args[0], least, most)
		}
	}
}

// wantedNumber is the check of a command that is nothing without its number.
func wantedNumber(least, most int) func(*check) {
	return func(k *check) {
		if k.need(0, "a number") {
			k.number("", k.line.args[0], least, most)
		}
	}
}

// wantedWord is the check of a command that takes any word.
func wantedWord(k *check) { k.need(0, "a word") }

// optionalWord is the check of a command that shows its value without argument, and takes one of few words.
func optionalWord(words ...string) func(*check) {
	return func(k *check) {
		if len(k.line.args) > 0 {
			oneOf(words...)(k)
		}
	}
}

// oneOf is the check of a command that takes one of few words.
func oneOf(words ...string) func(*check) {
	return func(k *check) {
		for _, w := range words {
			if len(k.line.args) > 0 && k.line.args[0] == w {
				return
			}
		}
		if k.need(0, strings.Join(words, ", ")) {
			k.wrong("unknown word '%s': want %s", k.line.args[0], strings.Join(words, ", "))
		}
	}
}

func checkACL(k *check) {
	if !k.need(0, "the number of a list") {
		return
	}
	k.number("list", k.line.args[0], 0, acl.Lists-1)
	if _, err := acl.ParseEntry(k.line.args[1:]); err != nil {
		k.wrong("%v; want permit|deny ADDRESS [MASK], ADDRESS/LENGTH or country CC", err)
	}
}

func checkServer(k *check) {
	if !k.need(0, "the number of a server") {
		return
	}
	k.number("server", k.line.args[0], 0, balance.MaxServers-1)
	for i := 1; i < len(k.line.args); i += 2 {
		key := k.line.args[i]
		if !k.need(i+1, "a value after "+key) {
			return
		}
		value := k.line.args[i+1]
		switch key {
		case "address":
			if !strings.Contains(value, "/") {
				k.host("address "+value, value)
			}
		case "port":
			k.number(key, value, 0, 65535)
		case "acl", "max", "hard", "blacklist", "weight", "prio":
			k.number(key, value, minNumber, maxNumber)
		case "tunnel":
			if value != "ipip" && value != noTunnel {
				k.doubt("tunnel %s: want ipip or %s", value, noTunnel)
			}
		case "tls", "sni":
		default:
			k.doubt("unknown key '%s'", key)
		}
	}
	k.checkAuthorities()
}

func checkSource(k *check) {
	if k.need(0, "an address") {
		k.host(k.line.args[0], k.line.args[0])
	}
}

func checkListen(k *check) {
	if len(k.line.args) == 0 {
		return
	}
	p, err := ParsePlace(k.line.args[0])
	switch {
	case err != nil:
		k.wrong("%v", err)
	case p.Host != "":
		k.host("can't convert address '"+p.Host+"'", p.Host)
	}
}

func checkLog(k *check) {
	if len(k.line.args) == 0 {
		return
	}
	d, err := accesslog.ParseDest(k.line.args[0])
	switch {
	case err != nil:
		k.wrong("%v; want FILE or HOST:PORT", err)
	case d.Host != "":
		k.host("log host "+d.Host, d.Host)
	}
}

func checkNoArgument(k *check) {
	if len(k.line.args) == 0 {
		k.doubt("argument missing")
		return
	}
	k.doubt("nothing known as '%s'", k.line.args[0])
}
