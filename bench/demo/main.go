// Demo shows pen at work in a few seconds: two web servers, one pen in front of them, a server that dies and comes
// back, and a talk over the control socket. It needs nothing but itself and the programs pen and penctl, uses only
// loopback, and checks everything that it shows, so it is a smoke test as well.
//
//	make demo
//	go run ./bench/demo -pen bin/pen
//	go run ./bench/demo -pen /usr/bin/pen -- -P    # the original pen: all but the question about its engine
//
// The exit status is 0 if everything went as expected and 1 if not.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limit is how long the whole demo may take.
const limit = 10 * time.Second

func main() {
	pen := flag.String("pen", "bin/pen", "the `program` to show; penctl is taken from the same folder")
	flag.Parse()
	os.Exit(run(os.Stdout, os.Stderr, *pen, flag.Args()))
}

// run tells the whole story on out. Extra options go on the command line of pen.
func run(out, complaints io.Writer, pen string, options []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()

	var log bytes.Buffer // what pen says; of interest only if something goes wrong
	s := &story{ctx: ctx, out: out}
	if err := s.tell(pen, options, &log); err != nil {
		fmt.Fprintf(complaints, "\ndemo: %v\n", err)
		if log.Len() > 0 {
			fmt.Fprintf(complaints, "demo: pen said:\n%s", log.String())
		}
		return 1
	}
	s.say("\nAll as expected.\n")
	return 0
}

// story is the narration and the cast.
type story struct {
	ctx      context.Context
	out      io.Writer
	chapters int
	pen      *balancer
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

func (s *story) chapter(title string) {
	s.chapters++
	s.say("\n%d. %s\n\n", s.chapters, title)
}

func (s *story) tell(pen string, options []string, log io.Writer) error {
	s.chapter("Two web servers start on this machine")
	www1, www2 := &backend{name: "www1"}, &backend{name: "www2"}
	both := []*backend{www1, www2}
	for _, b := range both {
		if err := b.start(); err != nil {
			return err
		}
		defer b.stop()
		s.say("   %s  http://%s/\n", b.name, b.addr)
	}

	s.chapter("One line puts pen in front of them")
	var err error
	if s.pen, err = newBalancer(pen, options, both); err != nil {
		return err
	}
	defer s.pen.cleanup()
	s.say("   $ %s\n", strings.Join(s.pen.args, " "))
	if err := s.pen.start(s.ctx, log); err != nil {
		return err
	}

	s.chapter("Clients come; the servers take turns")
	if err := s.visit(inTurn); err != nil {
		return err
	}

	s.chapter("www1 dies. No client notices")
	www1.stop()
	if err := s.visit(only("www2")); err != nil {
		return err
	}

	s.chapter("www1 is back, and penctl says so rather than wait out the blacklist")
	if err := www1.start(); err != nil {
		return err
	}
	if err := s.talk(nothing, "server", "0", "blacklist", "0"); err != nil {
		return err
	}
	s.say("\n")
	if err := s.visit(inTurn); err != nil {
		return err
	}

	s.chapter("What pen knows about itself")
	if err := s.talk(bothServed(both), "servers"); err != nil {
		return err
	}
	if err := s.talk(exactly("no hash roundrobin no stubborn no weight no prio\n"), "mode"); err != nil {
		return err
	}
	if err := s.talk(known, "engine"); err != nil {
		return err
	}

	s.chapter("pen leaves when it is asked to")
	if err := s.talk(nothing, "exit"); err != nil {
		return err
	}
	if err := s.pen.wait(); err != nil {
		return fmt.Errorf("pen ended with %w", err)
	}
	s.say("   pen has ended with status 0\n")
	return nil
}

// visits is the number of requests in one go.
const visits = 4

// visit makes some requests, shows who answered and checks it.
func (s *story) visit(check func(names []string) error) error {
	var names []string
	for range visits {
		name, err := s.pen.get(s.ctx)
		if err != nil {
			return err
		}
		s.say("   GET http://%s/  ->  %s\n", s.pen.addr, name)
		names = append(names, name)
	}
	return check(names)
}

// talk shows one command to penctl with its reply and checks the reply.
func (s *story) talk(check func(reply string) error, words ...string) error {
	s.say("   $ penctl %s %s\n", s.pen.socket, strings.Join(words, " "))
	reply, err := s.pen.ask(s.ctx, words...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(reply) {
		s.say("   %s\n", strings.TrimSuffix(line, "\n"))
	}
	if err := check(reply); err != nil {
		return fmt.Errorf("penctl %s: %w", strings.Join(words, " "), err)
	}
	return nil
}

// inTurn expects www1 and www2 alternately, whoever begins.
func inTurn(names []string) error {
	for i, name := range names {
		if (name != "www1" && name != "www2") || (i > 0 && name == names[i-1]) {
			return fmt.Errorf("the servers did not take turns: %s", strings.Join(names, " "))
		}
	}
	return nil
}

// only expects every answer from one server.
func only(name string) func([]string) error {
	return func(names []string) error {
		if slices.ContainsFunc(names, func(n string) bool { return n != name }) {
			return fmt.Errorf("not all from %s: %s", name, strings.Join(names, " "))
		}
		return nil
	}
}

// exactly expects this reply.
func exactly(want string) func(string) error {
	return func(reply string) error {
		if reply != want {
			return fmt.Errorf("replied %q, not %q", reply, want)
		}
		return nil
	}
}

// nothing expects no reply, which is how pen says yes.
func nothing(reply string) error { return exactly("")(reply) }

// known expects a reply other than pen's answer to a word that it does not know.
func known(reply string) error {
	if reply == "" || strings.HasPrefix(reply, "do_cmd:") {
		return fmt.Errorf("not known to this pen: %q", reply)
	}
	return nil
}

// bothServed expects one line per backend, in order, each with bytes that went to it and came back.
func bothServed(backends []*backend) func(string) error {
	return func(reply string) error {
		lines := slices.Collect(strings.Lines(reply))
		if len(lines) != len(backends) {
			return fmt.Errorf("%d servers, not %d", len(lines), len(backends))
		}
		for i, b := range backends {
			// 0 addr 127.0.0.1 port 4711 conn 0 max 0 hard 0 weight 0 prio 0 sx 384 rx 520
			words := strings.Fields(lines[i])
			field := func(key string) string {
				if at := slices.Index(words, key); at >= 0 && at+1 < len(words) {
					return words[at+1]
				}
				return ""
			}
			if len(words) == 0 || words[0] != strconv.Itoa(i) || field("addr")+":"+field("port") != b.addr {
				return fmt.Errorf("server %d is not %s: %q", i, b.name, lines[i])
			}
			for _, key := range []string{"sx", "rx"} {
				if n, err := strconv.ParseUint(field(key), 10, 64); err != nil || n == 0 {
					return fmt.Errorf("no %s of %s: %q", key, b.name, lines[i])
				}
			}
		}
		return nil
	}
}
