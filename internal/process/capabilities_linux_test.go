package process

import (
	"os"
	"os/exec"
	"testing"
)

func TestKeepCapabilities(t *testing.T) {
	t.Parallel()
	needNobody(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command(exe, "keep").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	want := "0000000000000400\n" // 1 << CAP_NET_BIND_SERVICE
	if withC {
		want = "0000000000000000\n" // threads that C has made cannot be changed: all is given up
	}
	if string(got) != want {
		t.Errorf("capabilities %swant %s", got, want)
	}
}
