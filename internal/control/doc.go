// Package control is the language that penctl speaks: one lexer, one parser and one table of commands behind the
// options -F, -O and -o, the include command, SIGHUP and the control socket.
//
//	-O 'cmd' ────────────┐                       ┌─► settings, service, access lists, clients
//	-F file, HUP ──► RunFile ──► Run ──► command ┤
//	control socket ─► Serve ─────┘               └─► Runtime: what only the running daemon can do
//
// A line is one command. Words are separated by blanks, case matters, words too many are ignored, numbers are read
// as Atoi(3) reads them ("12abc" is 12, "abc" is 0), lines beginning with # are comments, and a line longer than
// [MaxLine] bytes is cut. The replies are those of pen, byte for byte; what is ignored without a word to the caller
// is reported, with its place, to Env.Logf.
//
// pen: commands that crashed or ended the program (source, no acl and others without argument, a listen or log that
// fails, a server number of many millions) are refused here, and the reason is logged.
package control
