package report

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Markdown writes r as tables. plots is the directory of the pictures, relative to the file; empty: none.
func (r *Report) Markdown(w io.Writer, plots string) error {
	b := bufio.NewWriter(w)
	r.heading(b)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		fmt.Fprintf(b, "\n## %s: %s\n\n", s.Name, s.Title)
		r.figures(b, s)
		for _, key := range s.Columns[:min(2, len(s.Columns))] {
			r.ratios(b, s, key)
		}
		if plots != "" {
			fmt.Fprintf(b, "\n![%s](%s/%s)\n", s.Title, plots, plotFile(s))
		}
	}
	return b.Flush()
}

func (r *Report) heading(b *bufio.Writer) {
	m, k := &r.Machine, &r.Method
	fmt.Fprintf(b, "# Benchmark of %s\n\n", r.Created.UTC().Format(time.DateTime))
	fmt.Fprintf(b, "- Machine: %d x %s, %d MB, Linux %s, %s\n", m.Processors, m.Processor, m.MemoryMB, m.Kernel, m.Go)
	fmt.Fprintf(b, "- Commit: %s\n", m.Commit)
	fmt.Fprintf(b, "- Method: %d rounds of %v after a warm-up round, interleaved, preset %s; ", k.Rounds, k.Window, k.Preset)
	if k.Lab {
		fmt.Fprintf(b, "network namespace, %s; ", k.Congestion)
	} else {
		fmt.Fprintf(b, "loopback of the host, %s; ", k.Congestion)
	}
	if k.ProxyCPU < 0 {
		b.WriteString("nothing pinned\n")
	} else {
		fmt.Fprintf(b, "proxy on CPU %d, client and backend on CPU %d\n", k.ProxyCPU, k.LoadCPU)
	}
	b.WriteString("- Figures: median (min-max). Ratios: ours / peer; **tie** when they differ by less than the rounds do, or by less than 5 %\n")
	b.WriteString("\n| peer | version |\n|---|---|\n")
	for _, p := range r.Peers {
		switch {
		case p.Missing != "":
			fmt.Fprintf(b, "| %s | MISSING: %s |\n", p.Title, cell(p.Missing))
		default:
			fmt.Fprintf(b, "| %s | %s |\n", p.Title, cell(p.Version))
		}
	}
}

// cell makes text safe inside of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
}

func (r *Report) figures(b *bufio.Writer, s *Scenario) {
	b.WriteString("| |")
	for _, key := range s.Columns {
		m, _ := metric(key)
		b.WriteString(" " + m.Name() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(s.Columns)) + "\n")
	var notes []string
	for i := range s.Cells {
		c := &s.Cells[i]
		title := r.peer(c.Peer).Title
		fmt.Fprintf(b, "| %s |", title)
		for _, key := range s.Columns {
			b.WriteString(" " + format(c.Summary(key)) + " |")
		}
		b.WriteByte('\n')
		if n := c.failures(); n > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d connections failed", title, n))
		}
		if c.Error != "" {
			notes = append(notes, title+": FAILED: "+cell(c.Error))
		}
	}
	for _, n := range notes {
		fmt.Fprintf(b, "\n%s\n", n)
	}
}

// ratios writes one row for each of ours, and nothing where there is nothing to compare.
func (r *Report) ratios(b *bufio.Writer, s *Scenario, key string) {
	var ours, others []*Cell
	for i := range s.Cells {
		c := &s.Cells[i]
		switch {
		case c.Summary(key).Rounds == 0:
		case r.peer(c.Peer).Ours:
			ours = append(ours, c)
		default:
			others = append(others, c)
		}
	}
	if len(ours) == 0 || len(others) == 0 {
		return
	}
	m, _ := metric(key)
	fmt.Fprintf(b, "\n| %s: ours / |", m.Title)
	for _, c := range others {
		b.WriteString(" " + r.peer(c.Peer).Title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(others)) + "\n")
	for _, o := range ours {
		fmt.Fprintf(b, "| %s |", r.peer(o.Peer).Title)
		for _, c := range others {
			b.WriteString(" " + compare(o.Summary(key), c.Summary(key)) + " |")
		}
		b.WriteByte('\n')
	}
}

// compare is the ratio of two medians, and whether it means anything.
func compare(ours, peer Summary) string {
	if peer.Median == 0 {
		return "-"
	}
	q := strconv.FormatFloat(ours.Median/peer.Median, 'f', 2, 64)
	if Tie(ours, peer) {
		return "tie (" + q + ")"
	}
	return q
}

func format(s Summary) string {
	switch s.Rounds {
	case 0:
		return "-"
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number shows three or four digits that mean something.
func number(v float64) string {
	digits := 3
	switch a := math.Abs(v); {
	case a >= 100:
		digits = 0
	case a >= 10:
		digits = 1
	case a >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
