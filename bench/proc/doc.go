// Package proc starts the programs under test on a processor of their own and reads what they cost: processor time of
// a process and all its descendants, resident memory, and how busy a processor was.
//
// Processor time is the process CPU clock, in nanoseconds and over all threads, kernel workers of io_uring included;
// the ticks of /proc/PID/stat are a hundred times too coarse for a round of a second. Work that the kernel does outside
// of any process (softirq, ksoftirqd) only shows in the busy time of the processor. Linux only.
package proc
