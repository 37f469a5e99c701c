//go:build !unix

package daemon

// There is no background here: pen stays in the foreground, and a service manager keeps it.

func wantsBackground([]string) bool { return false }

func background(Env) error { panic("daemon: no background on this system") }

func ready(*logger) error { return nil }
