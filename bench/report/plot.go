package report

import (
	"fmt"
	"image/color"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Sizes of a picture.
const (
	barWidth   = 22 // points
	plotHeight = 9 * vg.Centimeter
	columnRoom = 2.6 * vg.Centimeter
	axisRoom   = 3 * vg.Centimeter
)

func plotFile(s *Scenario) string { return s.Name + ".png" }

// Plots draws one picture per scenario into dir: the metric that counts, per peer, with the range of the rounds.
func (r *Report) Plots(dir string) error {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if err := r.plot(s, filepath.Join(dir, plotFile(s))); err != nil {
			return fmt.Errorf("plot %s: %w", s.Name, err)
		}
	}
	return nil
}

// bars are the heights and ranges to draw; it implements plotter.XYer and plotter.YErrorer.
type bars []Summary

func (b bars) Len() int                      { return len(b) }
func (b bars) XY(i int) (x, y float64)       { return float64(i), b[i].Median }
func (b bars) YError(i int) (lo, hi float64) { return b[i].Median - b[i].Min, b[i].Max - b[i].Median }

func (r *Report) plot(s *Scenario, file string) error {
	if len(s.Columns) == 0 {
		return nil
	}
	m, ok := metric(s.Columns[0])
	if !ok {
		return fmt.Errorf("unknown metric %q", s.Columns[0])
	}
	var names []string
	var all bars
	// Two charts of one length, each zero where the other one draws, so that ours have another colour.
	var ours, others plotter.Values
	for i := range s.Cells {
		sum := s.Cells[i].Summary(m.Key)
		if sum.Rounds == 0 {
			continue
		}
		p := r.peer(s.Cells[i].Peer)
		names = append(names, strings.Replace(p.Title, ", ", "\n", 1))
		all = append(all, sum)
		if p.Ours {
			ours, others = append(ours, sum.Median), append(others, 0)
		} else {
			ours, others = append(ours, 0), append(others, sum.Median)
		}
	}
	p := plot.New()
	p.Title.Text = s.Title
	p.Y.Label.Text = m.Name() + " (less is better)"
	p.Y.Min = 0
	if len(names) > 0 {
		if err := addBars(p, ours, color.RGBA{R: 0x1b, G: 0x7f, B: 0x5c, A: 0xff}); err != nil {
			return err
		}
		if err := addBars(p, others, color.RGBA{R: 0x9a, G: 0xa5, B: 0xb1, A: 0xff}); err != nil {
			return err
		}
		ranges, err := plotter.NewYErrorBars(all)
		if err != nil {
			return err
		}
		p.Add(ranges)
		p.NominalX(names...)
	}
	p.Y.Min = 0
	return p.Save(axisRoom+columnRoom*vg.Length(max(len(names), 3)), plotHeight, file)
}

func addBars(p *plot.Plot, v plotter.Values, fill color.Color) error {
	chart, err := plotter.NewBarChart(v, vg.Points(barWidth))
	if err != nil {
		return err
	}
	chart.Color = fill
	chart.LineStyle.Width = 0
	p.Add(chart)
	return nil
}
