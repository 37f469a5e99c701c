package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
)

// The words that Generate writes to its harness, each on a line of its own.
const (
	Ready   = "ready"   // every connection is open, and the load runs uncounted
	Started = "started" // the counted window has begun
	Stopped = "stopped" // the window is over and no request is made any more; the Result follows as one line of JSON
)

const (
	openingAtOnce = 64              // connects in flight while the connections are opened
	openingStall  = 5 * time.Second // without a new connection for so long, opening has failed
	paceEvery     = 2 * time.Millisecond
)

type phase uint8

const (
	opening phase = iota
	running       // loads, but does not count
	counting
)

// client drives all groups of a Spec in one thread.
type client struct {
	poll   *poller
	out    *bufio.Writer
	spec   *Spec
	target syscall.SockaddrInet4
	groups []*group
	conns  []conn // by descriptor
	paced  []int32
	buf    []byte
	zeros  []byte

	phase    phase
	zero     time.Time     // of the client's clock
	unopened int           // connections that have not answered yet
	inFlight int           // of them, those that were started
	progress time.Duration // when the last of them answered
	began    time.Duration // of the window
	nextPace time.Duration
	nextAsk  time.Duration
	fresh    uint32 // sources that AskOnce has used
	flood    int32  // the connection of Flood; 0: none
	asked    uint64 // the number of the last tally
}

// Generate runs spec: it opens the connections, writes Ready to out, loads without counting until a byte arrives on
// standard input, counts for spec.Measure, and writes the Result. It returns early, without an error, when standard
// input ends. It occupies the calling thread.
func Generate(spec *Spec, out io.Writer) error {
	if err := spec.Check(); err != nil {
		return err
	}
	if spec.encrypted() {
		return generateTLS(spec, os.Stdin, out)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := &client{
		spec:   spec,
		out:    bufio.NewWriter(out),
		target: syscall.SockaddrInet4{Port: int(spec.Target.Port()), Addr: spec.Target.Addr().As4()},
		buf:    make([]byte, chunkBytes),
		zeros:  make([]byte, chunkBytes),
		zero:   time.Now(),
	}
	for i := range spec.Groups {
		g := newGroup(&spec.Groups[i])
		c.groups = append(c.groups, g)
		c.unopened += g.unopened
	}
	var err error
	if c.poll, err = newPoller(); err != nil {
		return err
	}
	defer c.poll.close()
	if err := c.poll.add(stdin, readable); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	err = c.run()
	if errors.Is(err, errFinished) {
		return nil
	}
	return err
}

// errFinished ends the run without a complaint.
var errFinished = errors.New("finished")

// now is the client's clock.
func (c *client) now() time.Duration { return time.Since(c.zero) }

func (c *client) run() error {
	for {
		if err := c.advance(); err != nil {
			return err
		}
		events, err := c.poll.wait(c.patience())
		if err != nil {
			return err
		}
		for i := range events {
			ev := &events[i]
			if ev.Fd == stdin {
				if err := c.command(); err != nil {
					return err
				}
				continue
			}
			if err := c.handle(ev.Fd, ev.Events); err != nil {
				return err
			}
		}
	}
}

// advance does what is due by time or by phase, before the client waits.
func (c *client) advance() error {
	now := c.now()
	if err := c.askAgain(now); err != nil {
		return err
	}
	switch c.phase {
	case opening:
		if err := c.open(now); err != nil {
			return err
		}
		if c.unopened > 0 {
			return nil
		}
		c.phase = running
		for _, g := range c.groups {
			if err := c.startGroup(g); err != nil {
				return err
			}
		}
		return c.say(Ready)
	case counting:
		if now-c.began >= c.spec.Measure {
			return c.finish(now)
		}
	}
	for _, g := range c.groups {
		if err := c.catchUp(g, now); err != nil {
			return err
		}
	}
	if len(c.paced) > 0 && now >= c.nextPace {
		c.nextPace = now + paceEvery
		return c.readPaced(now)
	}
	return c.sendFlood()
}

// patience is how long the client may wait for an event.
func (c *client) patience() time.Duration {
	now := c.now()
	limit := openingStall
	if c.phase == counting {
		limit = c.began + c.spec.Measure - now
	}
	if c.phase != opening {
		for _, g := range c.groups {
			if g.schedule.open() && len(g.free) > 0 {
				limit = min(limit, g.schedule.next()-now)
			}
		}
		if len(c.paced) > 0 {
			limit = min(limit, c.nextPace-now)
		}
	}
	if c.flood > 0 {
		limit = 0
	}
	if c.asksDatagrams() {
		limit = min(limit, askEvery)
	}
	return max(limit, 0)
}

// command reads standard input: any byte starts the window, its end ends the client.
func (c *client) command() error {
	var b [16]byte
	n, errno := read(stdin, b[:])
	if again(errno) {
		return nil
	}
	if n <= 0 || errno != 0 {
		return errFinished
	}
	if c.phase != running {
		return errors.New("told to start at the wrong time")
	}
	for _, g := range c.groups {
		g.reset()
	}
	if err := c.startFlood(); err != nil {
		return err
	}
	if err := c.say(Started); err != nil {
		return err
	}
	c.phase = counting
	c.began = c.now()
	return nil
}

func (c *client) say(line string) error {
	if _, err := fmt.Fprintln(c.out, line); err != nil {
		return err
	}
	return c.out.Flush()
}

// finish ends the window and writes the Result.
func (c *client) finish(now time.Duration) error {
	if err := c.endFlood(); err != nil {
		return err
	}
	if err := c.say(Stopped); err != nil {
		return err
	}
	for i := range c.conns {
		if k := &c.conns[i]; k.state == awaiting && k.group.schedule.open() {
			k.group.censor(now, k.due)
		}
	}
	result := Result{Elapsed: now - c.began}
	for _, g := range c.groups {
		for g.schedule.open() && g.schedule.next() < now {
			g.censor(now, g.schedule.take())
		}
		result.Groups = append(result.Groups, g.result())
	}
	if err := json.NewEncoder(c.out).Encode(&result); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	return errFinished
}

// open starts connections until enough are under way, and gives up when none answers any more.
func (c *client) open(now time.Duration) error {
	if c.inFlight > 0 && now-c.progress > openingStall {
		return c.openingFailed("no further connection answered for " + openingStall.String())
	}
	for _, g := range c.groups {
		for g.unopened > g.inFlight && c.inFlight < openingAtOnce {
			if err := c.connect(g, now); err != nil {
				return c.openingFailed(err.Error())
			}
			g.inFlight++
			c.inFlight++
			c.progress = now
		}
	}
	return nil
}

func (c *client) openingFailed(why string) error {
	total := 0
	for i := range c.spec.Groups {
		if !c.groups[i].short() {
			total += c.spec.Groups[i].Conns
		}
	}
	return fmt.Errorf("%d of %d connections answered: %s", total-c.unopened, total, why)
}

// opened counts a connection that has shown to work.
func (c *client) opened(g *group, now time.Duration) {
	g.unopened--
	g.inFlight--
	c.unopened--
	c.inFlight--
	c.progress = now
}
