package match

import (
	"bufio"
	"errors"
	"io"
)

// maxLine bounds a line. Web servers write shorter ones; longer ones are skipped.
const maxLine = 1 << 20

// lines reads a log line by line, in constant memory.
type lines struct {
	r    *bufio.Reader
	long []byte // a line that did not fit into r
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next is the next line without its newline, valid until the next call. A line that is too long is nil. At the end
// err is io.EOF.
func (l *lines) next() (line []byte, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.nextLong(line)
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last line has no newline; the end comes again
	}
	if err != nil {
		return nil, err
	}
	return trim(line), nil
}

// nextLong reads the rest of a line of which start is all that fits into the buffer.
func (l *lines) nextLong(start []byte) (line []byte, err error) {
	l.long = append(l.long[:0], start...)
	tooLong := false
	for {
		line, err = l.r.ReadSlice('\n')
		if tooLong = tooLong || len(l.long)+len(line) > maxLine; !tooLong {
			l.long = append(l.long, line...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case tooLong:
			return []byte{'\n'}, err
		default:
			return l.long, err
		}
	}
}
