//go:build !linux

package tproxy

// Wrong is what stands in the way of p here: the scripts are those of Linux.
func (*Plan) Wrong() []string {
	return []string{"these rules are for Linux; here it takes pf(4), or ipfw(8) with fwd, to bring answers to pen"}
}

// SixHere reports whether this machine has IPv6.
func SixHere() bool { return true }
