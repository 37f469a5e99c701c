// Package sink brings the lines of the access log to a file or a log host without ever making a loop wait.
//
//	loop 0 ── Add ──► Producer ─┐
//	loop 1 ── Add ──► Producer ─┼─ swapped out by ──► writer ── write(2), sendto(2) ──► file or log host
//	loop n ── Add ──► Producer ─┘   one goroutine
//
// Each loop has a Producer with two buffers: lines are formatted into one while the writer empties the other, and the
// lock between them is held for the time of copying one line. What a full buffer, a full disk or a dead log host
// costs is lines, never time: they are counted, and reported at most once a minute.
//
// Beside a file or host, or alone, there may be the log of the system, which takes lines one at a time.
//
// Lines for a log host leave at once, since penlogd wants them before those of the web server. Lines for a file
// leave within half a second, or as soon as a buffer is half full. pen: only when 4096 bytes had gathered.
package sink
