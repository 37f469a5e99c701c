package scenario

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/report"
)

func TestAllAreSound(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	for _, m := range report.Metrics() {
		if keys[m.Key] {
			t.Errorf("metric %s twice", m.Key)
		}
		keys[m.Key] = true
	}
	names := map[string]bool{}
	for _, s := range All() {
		if names[s.Name] {
			t.Errorf("scenario %s twice", s.Name)
		}
		names[s.Name] = true
		spec := load.Spec{Target: netip.MustParseAddrPort("127.0.0.1:1"), Groups: s.Groups, Measure: time.Second}
		if err := spec.Check(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if s.Title == "" || len(s.Columns) == 0 {
			t.Errorf("%s: no title or columns", s.Name)
		}
		for _, c := range s.Columns {
			if !keys[c] {
				t.Errorf("%s: unknown metric %s", s.Name, c)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		patterns string
		want     []string // nil: an error
	}{
		{"short", []string{"short"}},
		{"short, rr64-c1", []string{"rr64-c1", "short"}}, // the order of the list
		{"down-*", []string{"down-s1", "down-s8", "down-s64"}},
		{"rr64-c50,rr64-c5*", []string{"rr64-c50", "rr64-c500", "rr64-c5000"}},
		{"nothing", nil},
		{"short,nothing", nil},
		{"[", nil},
		{"", nil},
	}
	for _, tt := range tests {
		list, err := Select(tt.patterns)
		if (err == nil) != (tt.want != nil) {
			t.Errorf("%q: error %v", tt.patterns, err)
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Name)
		}
		if err == nil && !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.patterns, got, tt.want)
		}
	}
}
