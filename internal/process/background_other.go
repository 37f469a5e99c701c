//go:build !unix

package process

// CanDetach tells whether there is a background on this system. Here a service manager keeps a program that stays in
// the foreground.
const CanDetach = false

// IsBackground reports whether this is the second process; here there is only one.
func IsBackground() bool { return false }

// Detach panics: see CanDetach.
func Detach([]string) (status int, err error) { panic("process: no background on this system") }

// Background is nil here.
type Background struct{}

// OpenBackground returns nil here.
func OpenBackground(*Logger) (*Background, error) { return nil, nil }

// Ready does nothing here.
func (*Background) Ready(...int) error { return nil }
