// Package daemon builds pen from its command line: it reads options and configuration, opens the sockets, gives up
// privileges, starts the loops, and answers signals and the control socket until it is told to end. It is the only
// package that knows all the others.
//
//	options ─► -F file ─► control socket ─► listener ─► servers ─► chroot, user ─► pid file ─► loops
//
// The order is pen's, since command lines depend on it: options act from left to right, -O as they are met; the
// servers of the command line overwrite those of the file; log and pid file are opened by the new user in the jail.
//
// In the background the program starts itself once more with the same arguments. The first process waits until the
// second one serves, and leaves with its exit status if it cannot, so that whoever started pen sees the error.
package daemon
