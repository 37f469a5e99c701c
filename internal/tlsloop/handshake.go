package tlsloop

// Slots bound how many handshakes use a processor at a time.
type Slots chan struct{}

// NewSlots returns n slots, for all loops together.
func NewSlots(n int) Slots { return make(Slots, n) }

func (s Slots) take() { s <- struct{}{} }
func (s Slots) give() { <-s }

// greet takes the input of a handshake, and begins it when the greeting is complete.
func (k *conn) greet(b []byte) {
	if !k.wire.feed(b) {
		k.pause()
	}
	if !k.begun && helloIsHere(k.wire.in) {
		k.begin()
	}
}

func (k *conn) begin() {
	k.begun = true
	k.loop.shaking.Go(func() {
		k.loop.slots.take()
		err := k.tls.Handshake()
		k.loop.slots.give()
		k.loop.Post(func() { k.shaken(err) })
	})
}

// fetch sends what the handshake has to say.
func (k *conn) fetch() {
	if b := k.wire.take(); len(b) > 0 && !k.closing {
		k.queue(b)
		k.flush()
	}
}

// resume reads on once the handshake has taken what there was.
func (k *conn) resume() {
	if !k.closing && !k.reading && !k.wire.live {
		k.read()
	}
}

// shaken takes over from the goroutine.
func (k *conn) shaken(err error) {
	if k.closing {
		return
	}
	k.fetch()
	k.wire.live = true
	k.failed = err != nil
	k.loop.done(k.token, err)
}
