package ring

// engines are those of this system, the best first.
func engines() []engine {
	return []engine{
		{"uring", newURing, uringAvailable},
		{"epoll", newEpoll, try(newEpoll)},
		{"portable", newPortable, try(newPortable)},
	}
}
