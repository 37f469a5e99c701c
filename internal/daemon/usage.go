package daemon

// usage is what pen prints on stdout when the command line makes no sense. Wrappers look for "usage:".
const usage = `usage:
  pen [options] [host:]port | /path  server ...

  A server is host[:port[:max[:hard[:weight[:prio]]]]], [v6]:port:..., or /path.
  Options may stand anywhere; flags may be joined (-frs), arguments attached (-x500).

Selection
  -r          take servers in turn, do not remember clients
  -h          choose the server by a hash of the client's address
  -N          as -hr: hash, do not remember clients
  -W          choose servers by weight
  -s          stubborn: no other server when the chosen one fails
  -T sec      remember clients for this long, 0 for ever [0]
  -b sec      leave a failed server alone for this long [30]
  -c N        size of the client table [2048]
  -e host[:port]  emergency server, when no other is left
  -B host[:port]  abuse server, for clients that client_acl denies

Connections
  -t sec      time for a server to accept a connection [3]
  -x N        connections at the same time [500, and more as descriptors allow]
  -m N        connections accepted in one turn [100]
  -q N        queue of connections not yet accepted [500]
  -H          add X-Forwarded-For to HTTP requests
  -U          UDP

Process
  -f          stay in the foreground
  -F file     configuration in the language of penctl; read again on HUP
  -O command  run a command of penctl; repeat it for more
  -o command  the same
  -C addr     control socket: port, host:port or /path
  -X          allow the control command exit
  -u user     run as this user; on Windows: remove the service of this name
  -i name     install pen as a service with the other options (Windows)
  -j dir      run in this directory (chroot)
  -p file     write the process number to file
  -l file     log requests to file or host:port
  -w file     status page, in HTML
  -d          debug; repeat for more
  -a          show data as text when debugging
  -P          use poll: chooses the nearest engine

TLS
  -E file     certificate, in PEM; switches TLS on
  -K file     its key [in the same file]
  -G file     certificates of the CAs that sign clients'
  -A dir      the same, as a directory
  -R          want a certificate from clients
  -L version  ssl23, ssl2, ssl3 or tls1
  -Z          compatibility mode

Example
  pen 80 www1 www2:8080 www3
`

// optstring is pen's, with the options of every platform.
const optstring = "B:C:F:O:S:T:b:c:e:i:j:l:m:o:p:q:t:u:w:x:DHNPQWXUadfhnrsE:K:G:A:ZRL:"
