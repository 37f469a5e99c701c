//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package ringtest

// readyCases are empty: no engine of this system has descriptors.
var readyCases []testCase
