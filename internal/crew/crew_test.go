package crew

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/ring"
)

// start runs a crew of n, who are their own indexes.
func start(t *testing.T, n int) (c *Crew[int], stop func()) {
	t.Helper()
	c = &Crew[int]{}
	ended := make(chan error, n)
	for i := range n {
		l, err := ring.Open("portable", ring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Add(l, i); got != i {
			t.Errorf("worker %d has index %d", i, got)
		}
		go func() { ended <- l.Run() }()
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		for _, l := range c.loops {
			l.Stop()
		}
		for range n {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return c, stop
}

func TestCrew(t *testing.T) {
	c, stop := start(t, 3)
	if c.Len() != 3 || !slices.Equal(c.All(), []int{0, 1, 2}) {
		t.Errorf("workers %v", c.All())
	}
	got := Gather(c, func(i int) []int { return []int{i, 10 * i} })
	slices.Sort(got)
	if d := cmp.Diff([]int{0, 0, 1, 2, 10, 20}, got); d != "" {
		t.Errorf("gathered (-want +got):\n%s", d)
	}
	on := -1
	c.On(2, func(i int) { on = i })
	if on != 2 {
		t.Errorf("ran on %d", on)
	}
	posted := make(chan int, 3)
	c.Post(func(i int) { posted <- i })
	if sum := <-posted + <-posted + <-posted; sum != 3 {
		t.Errorf("posted to workers whose indexes sum up to %d", sum)
	}
	stop()
	c.Each(func(int) { t.Error("ran on a loop that has stopped") })
	c.On(1, func(int) { t.Error("ran on a loop that has stopped") })
}

func TestShow(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  settings.Settings
		want []string
	}{
		{"not asked for", settings.Settings{Debug: 2}, nil},
		{"hexadecimal", settings.Settings{Debug: 3}, []string{"3: 61 0a ff \n"}},
		{"text", settings.Settings{Debug: 4, ASCII: true}, []string{"3: a\n.\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			c := Config{Dump: func(b []byte) { got = append(got, string(b)) }}
			c.Show(&tt.set, []byte("a\n\xff"))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
