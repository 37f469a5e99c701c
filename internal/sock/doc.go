// Package sock is the lowest floor: addresses, listeners and socket options, per operating system. It knows no loop
// and no policy. Together with ring, splice, dsr and tproxy it is the only place that imports golang.org/x/sys/unix.
package sock
