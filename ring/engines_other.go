//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package ring

// engines are those of this system, the best first.
func engines() []engine {
	return []engine{
		{"portable", newPortable, try(newPortable)},
	}
}
