package match

import (
	"bufio"
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/penlb/pen/internal/accesslog"
)

const (
	disorder  = 60      // seconds by which an entry of pen's log may be older than the one before it
	maxTime   = 1 << 40 // seconds since 1970; later entries are garbage
	maxJitter = 1 << 40 // seconds
)

// WebLog is the log of one web server, in common or combined format.
type WebLog struct {
	Server string // as pen's log names the server; also the client of requests for which there is no entry
	Name   string // for errors
	R      io.Reader
}

// Options change what Merge does.
type Options struct {
	// Jitter is how many seconds the clocks of pen and web servers may differ. It decides how much of pen's log is in
	// memory: entries twice as old are forgotten, since web servers log a request when it ends, with the time when
	// it began.
	Jitter int64
	// All looks for entries however far away they are, for which all of pen's log is read into memory.
	All bool
	// Offset is how many seconds the clock of web servers is ahead of UTC, for lines without time zone.
	Offset int64
}

// Stats is what Merge did.
type Stats struct {
	Lines   int // written
	Matched int // with the client that pen saw
	Skipped int // without time or request, or too long; they are not written
}

// Merge writes the lines of logs to w in order of time, with the client that pen's log names in front and the time
// in UTC. Logs that are in order themselves are merged in memory that depends on Options and on their number alone.
func Merge(w io.Writer, pen io.Reader, logs []WebLog, o Options) (Stats, error) {
	o.Jitter = min(max(o.Jitter, 0), maxJitter)
	m := merger{options: o, out: bufio.NewWriterSize(w, 64<<10), pen: newLines(pen), index: NewIndex(),
		servers: map[string]string{}, penTime: math.MinInt64}
	if err := m.open(logs); err != nil {
		return m.stats, err
	}
	for len(m.sources) > 0 {
		if err := m.step(); err != nil {
			return m.stats, err
		}
	}
	return m.stats, m.out.Flush()
}

type merger struct {
	options Options
	out     *bufio.Writer
	sources sources
	pen     *lines // nil at its end
	index   *Index
	servers map[string]string // names in pen's log, to those in the index
	penTime int64             // of the last entry that was read
	horizon int64             // latest time of a line
	stats   Stats
	text    []byte // of the request that is looked for
	line    []byte // being made
}

// source is a web log and its present line.
type source struct {
	WebLog
	order         int    // among logs, which decides if times are equal
	name          string // of the server, in the index
	lines         *lines
	time          int64
	before, after []byte // what stands before and after the time
	request       []byte
}

func (m *merger) open(logs []WebLog) error {
	for i, l := range logs {
		s := &source{WebLog: l, order: i, name: serverName(l.Server), lines: newLines(l.R)}
		m.servers[l.Server], m.servers[s.name] = s.name, s.name
		ok, err := m.advance(s)
		if err != nil {
			return err
		}
		if ok {
			m.sources = append(m.sources, s)
		}
	}
	heap.Init(&m.sources)
	return nil
}

// step writes the oldest line and moves on in its log.
func (m *merger) step() error {
	s := m.sources[0]
	if err := m.write(s); err != nil {
		return err
	}
	ok, err := m.advance(s)
	switch {
	case err != nil:
		return err
	case ok:
		heap.Fix(&m.sources, 0)
	default:
		heap.Pop(&m.sources)
	}
	return nil
}

// advance reads the next usable line of s. It reports whether there is one.
func (m *merger) advance(s *source) (bool, error) {
	for {
		line, err := s.lines.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.Name, err)
		}
		var ok bool
		if s.time, s.before, s.after, ok = timestamp(line, m.options.Offset); ok {
			if s.request, ok = quoted(s.after); ok {
				return true, nil
			}
		}
		if len(line) > 0 {
			m.stats.Skipped++
		}
	}
}

// write writes the present line of s.
func (m *merger) write(s *source) error {
	if err := m.readPen(s.time); err != nil {
		return err
	}
	client, ok := m.find(s)
	if ok {
		m.stats.Matched++
		m.line = append(m.line[:0], client...)
	} else {
		m.line = append(m.line[:0], s.Server...)
	}
	if i := bytes.IndexByte(s.before, ' '); i >= 0 {
		m.line = append(m.line, s.before[i:]...)
	}
	m.line = append(append(appendTime(m.line, s.time), s.after...), '\n')
	m.stats.Lines++
	_, err := m.out.Write(m.line)
	return err
}

// find looks for the request as it stands in the log, then for what it may have been before it was written there.
func (m *merger) find(s *source) (client []byte, ok bool) {
	m.text = accesslog.AppendRequest(m.text[:0], s.request)
	client, far, ok := m.index.Nearest(m.index.Key(s.name, m.text), s.time)
	if !ok && bytes.IndexByte(s.request, '\\') >= 0 {
		m.text = unescape(m.text[:0], s.request)
		m.text = accesslog.AppendRequest(m.text[:0], m.text)
		client, far, ok = m.index.Nearest(m.index.Key(s.name, m.text), s.time)
	}
	return client, ok && (m.options.All || far <= m.options.Jitter)
}

// readPen moves the window over pen's log to a line at time t.
func (m *merger) readPen(t int64) error {
	m.horizon = max(m.horizon, t)
	for m.pen != nil && (m.options.All || m.penTime <= t+m.options.Jitter) {
		line, err := m.pen.next()
		if errors.Is(err, io.EOF) {
			m.pen = nil
			break
		}
		if err != nil {
			return fmt.Errorf("pen's log: %w", err)
		}
		m.learn(line)
	}
	if !m.options.All {
		m.index.DropBefore(m.oldest())
	}
	return nil
}

// oldest is the time before which entries are forgotten.
func (m *merger) oldest() int64 { return m.horizon - 2*m.options.Jitter }

// learn adds an entry of pen's log, `client epoch server request`. Other lines are ignored.
func (m *merger) learn(line []byte) {
	client, rest, ok := word(line)
	if !ok || !isClient(client) {
		return
	}
	epoch, rest, ok := word(rest)
	if !ok {
		return
	}
	unix, err := strconv.ParseInt(string(epoch), 10, 64)
	if err != nil || unix < 0 || unix > maxTime {
		return
	}
	server, request, ok := word(rest)
	if !ok {
		return
	}
	// The loops of pen do not write in exact order, but the index wants it.
	if unix < m.penTime && unix >= m.penTime-disorder {
		unix = m.penTime
	}
	m.penTime = unix
	name, ok := m.servers[string(server)]
	if !ok || !m.options.All && unix < m.oldest() {
		return
	}
	m.text = accesslog.AppendRequest(m.text[:0], request)
	m.index.Add(m.index.Key(name, m.text), unix, client)
}

// sources is a heap, oldest line first.
type sources []*source

func (s sources) Len() int      { return len(s) }
func (s sources) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

func (s sources) Less(i, j int) bool {
	return s[i].time < s[j].time || s[i].time == s[j].time && s[i].order < s[j].order
}

// Push is never called; a heap has it.
func (s *sources) Push(any) { panic("match: a log cannot come later") }

// Pop removes the last.
func (s *sources) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}
