package accesslog

import "testing"

func TestParseDest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want Dest
		ok   bool
	}{
		{"pen.log", Dest{Path: "pen.log"}, true},
		{"/var/log/pen:80", Dest{Path: "/var/log/pen:80"}, true},
		{`C:\pen.log`, Dest{Path: `C:\pen.log`}, true},
		{`c:/log/pen.log`, Dest{Path: `c:/log/pen.log`}, true},
		{"c:514", Dest{Host: "c", Port: "514"}, true},
		{"loghost:10000", Dest{Host: "loghost", Port: "10000"}, true},
		{"loghost:syslog", Dest{Host: "loghost", Port: "syslog"}, true},
		{"::1:514", Dest{Host: "::1", Port: "514"}, true},
		{"[::1]:514", Dest{Host: "::1", Port: "514"}, true},
		{"loghost:", Dest{}, false},
		{"", Dest{}, false},
	}
	for _, tt := range tests {
		got, err := ParseDest(tt.in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseDest(%q) = %+v, %v", tt.in, got, err)
		}
		if tt.ok && got.IsFile() != (got.Format() == File) {
			t.Errorf("%q: format %d", tt.in, got.Format())
		}
	}
}
