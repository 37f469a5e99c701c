package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServiceArgs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		args, want []string
	}{
		{"alone", []string{"-i", "pen"}, []string{"--"}},
		{"first", []string{"-i", "pen", "-rx500", "-l", "", "80", "a"}, []string{"-r", "-x", "500", "-l", "", "--", "80", "a"}},
		{"removal", []string{"-i", "pen", "-u", "pen", "-r"}, []string{"-r", "--"}},
		{"last", []string{"80", "a", "-ripen"}, []string{"-r", "--", "80", "a"}},
		{"operands like options", []string{"-i", "pen", "--", "80", "-r"}, []string{"--", "80", "-r"}},
		{"unknown", []string{"-y", "-i", "pen", "-x"}, []string{"--"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, serviceArgs(tt.args)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
