package match

import (
	"bytes"
	"time"
)

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// timestamp finds the time in a line in common log format, [09/Jan/2002:00:28:50 +0100], as seconds since 1970, and
// what stands before and after it. A time without zone is that of a clock which is offset seconds ahead of UTC.
//
// pen: looked at the zone, but also at one of its own and at an uninitialised flag for daylight saving.
func timestamp(line []byte, offset int64) (unix int64, before, after []byte, ok bool) {
	open := bytes.IndexByte(line, '[')
	if open < 0 {
		return 0, nil, nil, false
	}
	size := bytes.IndexByte(line[open:], ']')
	if size < 0 {
		return 0, nil, nil, false
	}
	unix, ok = parseTime(line[open+1:open+size], offset)
	return unix, line[:open], line[open+size+1:], ok
}

func parseTime(b []byte, offset int64) (unix int64, ok bool) {
	if len(b) < len("02/Jan/2006:15:04:05") || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' {
		return 0, false
	}
	month := bytes.Index([]byte(months), b[3:6])
	day, year := digits(b[0:2]), digits(b[7:11])
	hour, minute, second := digits(b[12:14]), digits(b[15:17]), digits(b[18:20])
	if month < 0 || month%3 != 0 || day < 1 || day > 31 || year < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
		second < 0 || second > 60 {
		return 0, false
	}
	if zone := b[20:]; len(zone) > 0 {
		if len(zone) != len(" +0100") || zone[0] != ' ' || zone[1] != '+' && zone[1] != '-' {
			return 0, false
		}
		h, m := digits(zone[2:4]), digits(zone[4:6])
		if h < 0 || m < 0 {
			return 0, false
		}
		offset = int64(h*3600 + m*60)
		if zone[1] == '-' {
			offset = -offset
		}
	}
	return time.Date(year, time.Month(month/3+1), day, hour, minute, second, 0, time.UTC).Unix() - offset, true
}

// digits is the value of b, or -1 if there is anything but digits in it.
func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// appendTime appends the time in common log format, in UTC.
func appendTime(dst []byte, unix int64) []byte {
	return time.Unix(unix, 0).UTC().AppendFormat(dst, "[02/Jan/2006:15:04:05 -0700]")
}
