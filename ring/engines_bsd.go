//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package ring

// engines are those of this system, the best first.
func engines() []engine {
	return []engine{
		{"kqueue", newKqueue, try(newKqueue)},
		{"portable", newPortable, try(newPortable)},
	}
}
