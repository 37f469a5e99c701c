package tlsterm

import (
	"crypto/tls"
	"encoding/base64"
	"testing"
	"time"
)

func TestTicketKeys(t *testing.T) {
	t.Parallel()
	long := base64.StdEncoding.EncodeToString(make([]byte, 48))
	for in, want := range map[string]int{
		long: 1, long + "\n# x\n\n " + long + " \n": 2, "": 0, "short": 0, "QUJD": 0, "#\n": 0,
	} {
		keys, err := parseTicketKeys([]byte(in))
		if len(keys) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d keys, %v", in, len(keys), err)
		}
	}
	var tk tickets
	c, now := new(tls.Config), time.Now()
	if err := tk.set(file{}, c, now); err != nil {
		t.Fatal(err)
	}
	first := tk.keys[0]
	for i := range 5 {
		if err := tk.check(c, now.Add(time.Duration(i)*rotation)); err != nil {
			t.Fatal(err)
		}
		if want := min(i+1, keptKeys); len(tk.keys) != want {
			t.Errorf("after %d turns: %d keys", i, len(tk.keys))
		}
		if tk.keys[min(i, keptKeys-1)] == first != (i < keptKeys) {
			t.Errorf("after %d turns the first key is in the wrong place", i)
		}
	}
}
