package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestInTurn(t *testing.T) {
	for _, tt := range []struct {
		names string
		ok    bool
	}{
		{"www1 www2 www1 www2", true},
		{"www2 www1 www2 www1", true},
		{"www1 www1 www2 www2", false},
		{"www1 other www1 other", false},
	} {
		if err := inTurn(strings.Fields(tt.names)); (err == nil) != tt.ok {
			t.Errorf("inTurn(%s) = %v", tt.names, err)
		}
	}
}

func TestBothServed(t *testing.T) {
	backends := []*backend{{name: "www1", addr: "127.0.0.1:81"}, {name: "www2", addr: "127.0.0.1:82"}}
	const first = "0 addr 127.0.0.1 port 81 conn 0 max 0 hard 0 weight 0 prio 0 sx 1 rx 2\n"
	for _, tt := range []struct {
		name, reply string
		ok          bool
	}{
		{"both", first + "1 addr 127.0.0.1 port 82 conn 0 max 0 hard 0 weight 0 prio 0 sx 3 rx 4\n", true},
		{"idle", first + "1 addr 127.0.0.1 port 82 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 4\n", false},
		{"other port", first + "1 addr 127.0.0.1 port 83 conn 0 max 0 hard 0 weight 0 prio 0 sx 3 rx 4\n", false},
		{"cut", first + "1 addr 127.0.0.1 port\n", false},
		{"blank", first + "\n", false},
		{"one", first, false},
		{"empty", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := bothServed(backends)(tt.reply); (err == nil) != tt.ok {
				t.Errorf("bothServed(%q) = %v", tt.reply, err)
			}
		})
	}
}

// TestNoPen checks that the demo ends with a reason, and leaves nothing behind, when there is no pen to show.
func TestNoPen(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out, complaints bytes.Buffer
	if status := run(&out, &complaints, "no-such-folder/pen", nil); status != 1 {
		t.Errorf("status %d", status)
	}
	if !strings.Contains(complaints.String(), "no-such-folder/pen") {
		t.Errorf("complaints: %q", complaints.String())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
