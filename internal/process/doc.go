// Package process does what a program that serves does to its own process: go to the background, enter a jail, give
// up root. Systems that are not Unix have none of it: there Detach and DropPrivileges say so.
//
// Going to the background takes two processes. The first starts the second with the same arguments in a session of
// its own, and waits until that one is ready or ends; so whoever started the program sees its exit status and its
// complaints. Go cannot fork, and pen's way, to fork before anything could fail, hid every error.
package process
