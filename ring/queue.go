package ring

// entry is a completion on its way, with the socket that it settles (which is not Completion.Sock for an Accept).
type entry struct {
	owner Sock
	Completion
}

// queue holds completions in order. Its ring doubles when it is full and is never given back: it grows to the largest
// burst of one turn and then costs nothing.
type queue struct {
	ring []entry // a power of two
	head uint32  // next to pop; head and tail run freely and wrap
	tail uint32
}

func (q *queue) len() int { return int(q.tail - q.head) }

func (q *queue) push(e entry) {
	if q.len() == len(q.ring) {
		q.grow()
	}
	q.ring[q.tail&uint32(len(q.ring)-1)] = e
	q.tail++
}

func (q *queue) pop() entry {
	e := q.ring[q.head&uint32(len(q.ring)-1)]
	q.head++
	return e
}

func (q *queue) grow() {
	bigger := make([]entry, max(64, 2*len(q.ring)))
	n := q.len()
	for i := range n {
		bigger[i] = q.ring[(q.head+uint32(i))&uint32(len(q.ring)-1)]
	}
	q.ring, q.head, q.tail = bigger, 0, uint32(n)
}
