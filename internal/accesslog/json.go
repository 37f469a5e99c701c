package accesslog

import (
	"strconv"
	"time"
)

// AppendJSON appends l as one JSON object, with all that is known at the end of a connection. Like a file it has '.'
// for each byte of the request that is not plain, so that it is always ASCII.
func AppendJSON(dst []byte, l *Line) []byte {
	var text [maxPath]byte // a string before it is quoted; addresses and causes are shorter
	dst = append(dst, `{"time":"`...)
	dst = time.Unix(0, l.Time).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `","client":`...)
	dst = appendQuoted(dst, appendAddr(text[:0], l.Client, ""))
	dst = append(dst, `,"server":`...)
	dst = appendQuoted(dst, appendAddr(text[:0], l.Server, l.Path))
	dst = append(dst, `,"up":`...)
	dst = strconv.AppendUint(dst, l.Up, 10)
	dst = append(dst, `,"down":`...)
	dst = strconv.AppendUint(dst, l.Down, 10)
	dst = append(dst, `,"seconds":`...)
	dst = strconv.AppendFloat(dst, l.Duration.Seconds(), 'f', 3, 64)
	dst = append(dst, `,"cause":`...)
	dst = appendQuoted(dst, append(text[:0], l.Cause[:min(len(l.Cause), maxCause)]...))
	dst = append(dst, `,"request":`...)
	dst = appendQuoted(dst, cut(l.Request, maxRequest))
	return append(dst, "}\n"...)
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '.')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
