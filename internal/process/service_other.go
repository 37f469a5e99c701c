//go:build !windows

package process

// HasServices tells whether a program can install itself as a service.
const HasServices = false

// Service returns false: here no service manager needs to be talked to.
func Service(*Logger, func(stop <-chan struct{}, ready func()) int) (status int, ok bool) {
	return 0, false
}

// InstallService panics: see HasServices.
func InstallService(string, []string) error { panic("process: no services on this system") }

// RemoveService panics: see HasServices.
func RemoveService(string) error { panic("process: no services on this system") }
