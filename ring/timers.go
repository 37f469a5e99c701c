package ring

import (
	"math"
	"math/bits"
)

// wheel is a hierarchical timing wheel (Varghese and Lauck, 1987): adding and stopping are O(1), and the next expiry is
// found by one scan of a bitmap per level. A timer lies on the level of the highest digit, base 64, in which its tick
// differs from the current one; it moves down when that digit is reached.
type wheel struct {
	cur   int64 // the tick up to which all is expired
	lists [wheelLevels*wheelSlots + 1]timerList
	full  [wheelLevels]uint64 // which lists of a level are not empty
	slab  []timer             // slab[0] is unused
	free  int32               // first free entry of the slab, linked by next; 0: none
	used  int
}

const (
	tickBits    = 20 // a tick is 2^20 ns, about a millisecond
	levelBits   = 6
	wheelSlots  = 1 << levelBits
	wheelLevels = 8                        // 48 bits: all ticks of an int64 of nanoseconds
	dueList     = wheelLevels * wheelSlots // expired, to be popped
)

type timerList struct{ head, tail int32 }

type timer struct {
	tick       int64
	tok        Token
	prev, next int32
	list       int32 // -1: free
	gen        uint32
}

func (w *wheel) init() { w.slab = make([]timer, 1, 64) }

// advanceTo sets the start. Only for an empty wheel.
func (w *wheel) advanceTo(now int64) { w.cur = now >> tickBits }

// add starts a timer that is due at the time given in nanoseconds; a sum that overflowed means never.
func (w *wheel) add(at int64, tok Token) Timer {
	const never = math.MaxInt64 - 1<<tickBits // leaves room for rounding up
	if at < 0 || at > never {
		at = never
	}
	i := w.free
	if i == 0 {
		i = int32(len(w.slab))
		w.slab = append(w.slab, timer{})
	} else {
		w.free = w.slab[i].next
	}
	t := &w.slab[i]
	t.tick = max(w.cur+1, (at+1<<tickBits-1)>>tickBits) // rounded up: never early
	t.tok = tok
	t.gen++
	w.used++
	w.place(i)
	return Timer(uint64(t.gen)<<32 | uint64(i))
}

// stop ends t if it is running.
func (w *wheel) stop(t Timer) {
	i := int32(uint32(t))
	if i <= 0 || int(i) >= len(w.slab) {
		return
	}
	if e := &w.slab[i]; e.list >= 0 && e.gen == uint32(t>>32) {
		w.unlink(i)
		w.put(i)
	}
}

// pop ends the next timer that is due at now and yields its token.
func (w *wheel) pop(now int64) (Token, bool) {
	target := now >> tickBits
	for w.lists[dueList].head == 0 {
		level, slot, start, ok := w.first()
		if !ok || start > target {
			w.cur = max(w.cur, target)
			return 0, false
		}
		w.cur = start
		l := &w.lists[level*wheelSlots+slot]
		i := l.head
		*l = timerList{}
		w.full[level] &^= 1 << slot
		for i != 0 {
			next := w.slab[i].next
			w.place(i)
			i = next
		}
	}
	i := w.lists[dueList].head
	tok := w.slab[i].tok
	w.unlink(i)
	w.put(i)
	return tok, true
}

// next is the time of the next expiry, in nanoseconds, or a little before it: when its timer moves down a level.
func (w *wheel) next() (int64, bool) {
	if w.lists[dueList].head != 0 {
		return 0, true
	}
	_, _, start, ok := w.first()
	return start << tickBits, ok
}

// first finds the list that is reached next and its first tick. Lower levels come first: they lie inside the current
// list of the level above.
func (w *wheel) first() (level, slot int, start int64, ok bool) {
	for level = range wheelLevels {
		if w.full[level] == 0 {
			continue
		}
		slot = bits.TrailingZeros64(w.full[level])
		shift := level * levelBits
		above := w.cur >> (shift + levelBits) << (shift + levelBits)
		return level, slot, above | int64(slot)<<shift, true
	}
	return 0, 0, 0, false
}

// place puts entry i where its tick belongs.
func (w *wheel) place(i int32) {
	t := &w.slab[i]
	diff := uint64(t.tick ^ w.cur)
	list := int32(dueList)
	if diff != 0 {
		level := (bits.Len64(diff) - 1) / levelBits
		slot := int(t.tick>>(level*levelBits)) & (wheelSlots - 1)
		w.full[level] |= 1 << slot
		list = int32(level*wheelSlots + slot)
	}
	l := &w.lists[list]
	t.list, t.prev, t.next = list, l.tail, 0
	if l.tail == 0 {
		l.head = i
	} else {
		w.slab[l.tail].next = i
	}
	l.tail = i
}

func (w *wheel) unlink(i int32) {
	t := &w.slab[i]
	l := &w.lists[t.list]
	if t.prev == 0 {
		l.head = t.next
	} else {
		w.slab[t.prev].next = t.next
	}
	if t.next == 0 {
		l.tail = t.prev
	} else {
		w.slab[t.next].prev = t.prev
	}
	if l.head == 0 && t.list != dueList {
		w.full[t.list/wheelSlots] &^= 1 << (t.list % wheelSlots)
	}
}

func (w *wheel) put(i int32) {
	t := &w.slab[i]
	t.list, t.next = -1, w.free
	w.free = i
	w.used--
}
