// Package tlsterm decides how pen speaks TLS with its clients: which certificate, version, cipher, and which sessions
// are resumed; and with its servers: whom to trust, by which name, and which sessions are resumed ([Servers]). Package
// tlsloop moves the bytes.
//
// A [Terminator] is one configuration for all loops. crypto/tls asks it, by GetConfigForClient, for what fits the
// ClientHello, on the goroutine of that handshake; so it may read files. Once a second at most it looks whether those
// of the certificate in use have changed. What it cannot read or make sense of leaves the old certificate in place,
// with a line in the log for each change. Directories are opened at start and kept, so that changes are seen even in a
// jail; files in them are opened with the rights that the process then has.
//
// A name that a client sends is compared with a grammar before it becomes a part of a file name.
//
// crypto/tls ignores the order of Config.CipherSuites; where order matters we choose the cipher ourselves and answer
// with a configuration that has only that one.
package tlsterm
