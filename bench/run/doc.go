// Package run takes the measurements: it starts the backend, and for every round, scenario and peer a fresh proxy and
// a fresh client, and reads what the proxy cost while the client counted.
//
// Rounds are interleaved (A B C, A B C), so that a change of the weather on a shared host hits everybody. The first
// round only warms up. A proxy that fails loses its cell, with the reason, and the rest goes on.
package run
