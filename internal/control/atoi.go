package control

// Atoi reads a number as every command does: the way of atoi(3). The command line of pen reads its numbers likewise.
func Atoi(s string) int { return atoi(s) }
