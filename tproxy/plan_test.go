package tproxy

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the scripts as they are now to testdata")

// TestScripts compares with scripts that have been read, and have been run.
func TestScripts(t *testing.T) {
	servers := []netip.AddrPort{netip.MustParseAddrPort("10.8.2.2:80"), netip.MustParseAddrPort("[fd08:2::2]:8080")}
	for name, p := range map[string]*Plan{
		"socket": {At: "10.8.1.1:80", Servers: servers, Six: true},
		"four":   {At: "10.8.1.1:81", Servers: servers[:1]},
		"coarse": {At: "10.8.1.1:82", Servers: servers, Six: true, Coarse: true},
	} {
		file := filepath.Join("testdata", name+".sh")
		got := "# up\n" + p.Up() + "# down\n" + p.Down()
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
