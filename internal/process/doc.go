// Package process does what a program that serves does to its own process: go to the background or run as a service,
// say what it has to say, enter a jail, give up root.
//
//	first process ── Detach ──► second process: OpenBackground ─► sockets ─► DropPrivileges ─► serve ─► Ready
//	      ▲                                                                                              │
//	      └── its exit status: 0 once the second one serves, else that of the second one ────────────────┘
//
// Going to the background takes two processes. The first starts the second with the same arguments in a session of
// its own, and waits until that one is ready or ends; so whoever started the program sees its exit status and its
// complaints. Go cannot fork, and pen's way, to fork before anything could fail, hid every error.
//
// What is needed to let go of the terminal is opened before a jail puts it out of reach: the null device, and the
// system's log.
//
// Windows has neither background nor jail. There a service manager starts the program, and its messages go to the
// event log: see Service.
package process
