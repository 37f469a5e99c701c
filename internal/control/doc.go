// Package control is the language that penctl speaks: one lexer, one parser and one table of commands behind the
// options -F, -O and -o, the include command, SIGHUP and the control socket.
//
//	-O 'cmd' ────────► Run ─────┐                            ┌─► settings, service, access lists, clients
//	-F file, HUP ────► RunFile ─┼─► plan ──────────► command ┤
//	control socket ──► Serve ───┘   read, check,     under   └─► Runtime: what only the running daemon can do
//	                                look up names    a lock
//
// A line is one command. Words are separated by blanks, case matters, words too many are ignored, numbers are read
// as Atoi(3) reads them ("12abc" is 12, "abc" is 0), lines beginning with # are comments, and a line longer than
// [MaxLine] bytes is cut. The replies are those of pen, byte for byte; what is ignored without a word to the caller
// is reported, with its place, to Env.Logf. The word json in front of a command asks for one JSON object instead, in
// which what is wrong is an error.
//
// Files are read more strictly: all that is wrong with one is found before anything of it happens, and then nothing
// does; see [Env.RunFile] for what is atomic when all is well. Who may name which files is a matter of [Trust].
//
// pen: commands that crashed or ended the program (source, no acl and others without argument, a listen or log that
// fails, a server number of many millions) are refused here, and the reason is logged.
package control
