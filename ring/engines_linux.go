package ring

// engines are those of this system, the best first.
func engines() []engine {
	return []engine{
		{"uring", newURing, try(newURing)},
		{"epoll", newEpoll, try(newEpoll)},
		{"portable", newPortable, try(newPortable)},
	}
}
