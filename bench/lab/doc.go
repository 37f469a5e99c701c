// Package lab gives a benchmark a network of its own: a network namespace in which only the loopback exists.
//
// The namespace has no name. It belongs to the processes inside and vanishes with the last of them, so nothing is left
// behind however the benchmark ends. Inside:
//
//   - cubic on the loopback routes. Where bbr is the default its pacing doubles the cost of bulk and the noise, and
//     tcp_congestion_control of a namespace cannot be changed from within, so the routes carry the choice.
//   - local ports from 10000 on for clients, and listeners below that, so that they never collide.
//   - few TIME-WAIT sockets, and those reusable, or the scenario of short connections would measure the search for
//     free ports.
//
// The lab is a session of its own too, which the scheduler prefers to the other work of the machine. All peers get the
// same; without it the noise of a shared machine is several times larger.
package lab
