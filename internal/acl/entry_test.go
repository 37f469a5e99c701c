package acl

import (
	"strings"
	"testing"
)

func TestParseEntry(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"permit 10.1.2.3", "permit 10.1.2.3 255.255.255.255"},
		{"deny 10.0.0.0 255.0.0.0", "deny 10.0.0.0 255.0.0.0"},
		{"permit 10.0.0.5 255.255.255.0", "permit 10.0.0.5 255.255.255.0"},
		{"permit 10.0.0.1 255.0.0.255 and more", "permit 10.0.0.1 255.0.0.255"},
		{"permit 10.0.0.0/8", "permit 10.0.0.0 255.0.0.0"},
		{"permit 10.0.0.5/24", "permit 10.0.0.0 255.255.255.0"},
		{"permit 0.0.0.0/0", "permit 0.0.0.0 0.0.0.0"},
		{"permit 1.2.3.4/32", "permit 1.2.3.4 255.255.255.255"},
		{"permit ::1", "permit ::1/128"},
		{"deny 2001:db8::/32", "deny 2001:db8::/32"},
		{"deny 2001:db8::1/32 255.0.0.0", "deny 2001:db8::/32"},
		{"permit ::/0", "permit ::/0"},
		{"permit ::ffff:10.0.0.0/104", "permit ::ffff:10.0.0.0/104"},
		{"permit country SE", "permit country SE"},
		{"deny country no", "deny country NO"},
	} {
		e, err := ParseEntry(strings.Fields(tc.in))
		if err != nil || e.String() != tc.want {
			t.Errorf("%q is %q, %v; want %q", tc.in, e, err, tc.want)
			continue
		}
		if again, err := ParseEntry(strings.Fields(e.String())); err != nil || again != e {
			t.Errorf("%q reads back as %+v, %v; want %+v", e, again, err, e)
		}
	}
}

func TestParseEntryErrors(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", "permit or deny is missing"},
		{"maybe 127.0.0.1", `"maybe" is neither permit nor deny`},
		{"permit", "an address or a country is missing after permit"},
		{"permit 300.1.1.1", `"300.1.1.1" is not an IP address`},
		{"permit host.example", `"host.example" is not an IP address`},
		{"permit 1.2.3.4 nomask", `"nomask" is not a mask such as 255.255.255.0`},
		{"permit 1.2.3.4 ::1", `"::1" is not a mask such as 255.255.255.0`},
		{"permit 1.2.3.4/33", `"1.2.3.4/33": the length after / is not a number from 0 to 32`},
		{"permit ::/129", `"::/129": the length after / is not a number from 0 to 128`},
		{"permit ::/-1", `"::/-1": the length after / is not a number from 0 to 128`},
		{"permit ::/", `"::/": the length after / is not a number from 0 to 128`},
		{"permit 10.0.0.0/8 255.0.0.0", `"10.0.0.0/8": both a length and the mask "255.0.0.0"`},
		{"permit fe80::1%eth0", `"fe80::1%eth0": an access list cannot tell zones apart`},
		{"permit country", "a code of two letters is missing after country"},
		{"permit country SWE", `"SWE" is not a country code of two letters`},
		{"permit country 1A", `"1A" is not a country code of two letters`},
	} {
		if e, err := ParseEntry(strings.Fields(tc.in)); err == nil || err.Error() != tc.want {
			t.Errorf("%q: %v, %v; want %s", tc.in, e, err, tc.want)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"permit 10.0.0.0 255.0.0.0", "deny ::1/64", "permit country SE", "permit 1.2.3.4/5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEntry(strings.Fields(s))
		if err != nil {
			return
		}
		if again, err := ParseEntry(strings.Fields(e.String())); err != nil || again != e {
			t.Errorf("%q reads back as %+v, %v; want %+v", e, again, err, e)
		}
		var tb Table
		if err := tb.Add(0, e); err != nil {
			t.Fatal(err)
		}
		if e.Addr.IsValid() {
			tb.Permits(0, e.Addr)
		}
	})
}
