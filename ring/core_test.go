package ring

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestWheel compares the wheel with a plain list of timers.
func TestWheel(t *testing.T) {
	type entry struct {
		tick int64
		name Timer
	}
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		w.init()
		now := rapid.Int64Range(0, 1<<50).Draw(t, "start")
		w.advanceTo(now)
		model := make(map[Token]entry)
		var stopped []Timer
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				at := now + rapid.Int64Range(0, 1<<rapid.IntRange(1, 61).Draw(t, "bits")).Draw(t, "delay")
				tok := Token(i)
				tick := max((at+1<<tickBits-1)>>tickBits, w.cur+1)
				model[tok] = entry{tick, w.add(at, tok)}
			case 2:
				for tok, e := range model {
					w.stop(e.name)
					stopped = append(stopped, e.name)
					delete(model, tok)
					break
				}
				for _, name := range stopped {
					w.stop(name) // harmless, also when its entry is in use again
				}
			case 3:
				if next, ok := w.next(); ok && rapid.Bool().Draw(t, "to the next") {
					now = max(now, next)
				} else {
					now += rapid.Int64Range(0, 1<<rapid.IntRange(1, 55).Draw(t, "bits")).Draw(t, "pass")
				}
				last := int64(0)
				for {
					tok, ok := w.pop(now)
					if !ok {
						break
					}
					e, known := model[tok]
					if !known || e.tick > now>>tickBits || e.tick < last {
						t.Fatalf("popped %d (known: %v, tick %d) at tick %d after %d", tok, known, e.tick, now>>tickBits, last)
					}
					last = e.tick
					delete(model, tok)
				}
				for tok, e := range model {
					if e.tick <= now>>tickBits {
						t.Fatalf("timer %d of tick %d is late at %d", tok, e.tick, now>>tickBits)
					}
				}
			}
			if w.used != len(model) {
				t.Fatalf("%d timers, want %d", w.used, len(model))
			}
			next, ok := w.next()
			if ok != (len(model) > 0) {
				t.Fatalf("next: %v with %d timers", ok, len(model))
			}
			for tok, e := range model {
				if next > e.tick<<tickBits {
					t.Fatalf("next is %d, timer %d is due at %d", next, tok, e.tick<<tickBits)
				}
			}
		}
	})
}

func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var model []int
		for i := range rapid.IntRange(1, 500).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				q.push(entry{Completion: Completion{N: i}})
				model = append(model, i)
			} else if len(model) > 0 {
				if e := q.pop(); e.N != model[0] {
					t.Fatalf("popped %d, want %d", e.N, model[0])
				}
				model = model[1:]
			}
			if q.len() != len(model) {
				t.Fatalf("len = %d, want %d", q.len(), len(model))
			}
		}
	})
}

func TestSlots(t *testing.T) {
	var tab slots
	tab.init()
	var names []Sock
	for range 3 * chunkSlots {
		so := tab.alloc()
		so.state = stateOpen
		if so.name == 0 || slices.Contains(names, so.name) {
			t.Fatalf("name %#x", so.name)
		}
		names = append(names, so.name)
	}
	old := names[chunkSlots]
	tab.release(tab.get(old))
	if tab.get(old) != nil {
		t.Error("a closed socket is found")
	}
	so := tab.alloc()
	so.state = stateOpen
	if so.name == old || so.name.slot() != old.slot() || tab.get(old) != nil || tab.get(so.name) != so {
		t.Errorf("socket %#x after %#x", so.name, old)
	}
	for _, s := range []Sock{0, 0xffffffff, Sock(len(tab.chunks) * chunkSlots)} {
		if tab.get(s) != nil {
			t.Errorf("socket %#x is found", s)
		}
	}
	n := 0
	tab.each(func(*socket) { n++ })
	if n != tab.used || n != 3*chunkSlots {
		t.Errorf("%d sockets, %d used", n, tab.used)
	}
}

func TestPoolKeepsFew(t *testing.T) {
	p := pool{size: 16, keep: keepBufs}
	var lent []Buf
	for range 3 * keepBufs {
		lent = append(lent, p.alloc())
	}
	for _, b := range lent {
		p.release(b)
	}
	mem := 0
	for i := range p.bufs {
		if p.bufs[i].mem != nil {
			mem++
		}
	}
	if mem != keepBufs || p.lent != 0 {
		t.Errorf("%d buffers kept, %d lent", mem, p.lent)
	}
	hot := p.alloc()
	p.bytes(hot)[0] = 42
	p.release(hot)
	if b := p.alloc(); b == hot || p.bytes(b)[0] != 42 {
		t.Error("the last one released is not the first one lent, under a new name")
	}
}

func TestOpenNamesWhatIsThere(t *testing.T) {
	_, err := Open("abacus", Options{})
	if err == nil {
		t.Fatal("no error")
	}
	t.Log(err)
	for _, a := range Probe() {
		if a.OK != (a.Reason == "") {
			t.Errorf("%+v", a)
		}
	}
	l, err := Open("", Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Stop()
	if err := l.Run(); err != nil {
		t.Error(err)
	}
}
