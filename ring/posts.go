package ring

import "errors"

// ErrStopped is the outcome of Run on a loop that has run already.
var ErrStopped = errors.New("loop has stopped")

// Post implements Loop.
func (c *core) Post(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return false
	}
	c.posts = append(c.posts, f)
	c.rouse()
	return true
}

// Stop implements Loop.
func (c *core) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.rouse()
}

// rouse ends the wait of a loop that may sleep, once. mu is held, so that wake never meets a loop that is gone.
func (c *core) rouse() {
	if c.sleeping && !c.retired {
		c.sleeping = false
		c.wake()
	}
}

// start claims the loop for the one Run that it has.
func (c *core) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running || c.retired {
		return ErrStopped
	}
	c.running = true
	return nil
}

// stopping reports whether Stop was called.
func (c *core) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// takePosts yields the posts so far, for runPosts. The slice is valid until the next takePosts.
func (c *core) takePosts() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.posts) == 0 {
		return nil
	}
	got := c.posts
	c.posts, c.spare = c.spare[:0], got
	return got
}

// runPosts runs what takePosts yielded.
func (c *core) runPosts(posts []func()) {
	for i, f := range posts {
		posts[i] = nil
		c.nposts++
		f()
	}
}

// sleep announces a wait that blocks. It reports false if the loop must not sleep: something was posted meanwhile.
func (c *core) sleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sleeping = len(c.posts) == 0 && !c.stopped
	return c.sleeping
}

// awake ends what sleep began: until the next sleep nobody needs to wake the loop.
func (c *core) awake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sleeping = false
}

// drain runs the posts that were accepted before Stop: somebody may wait for them.
func (c *core) drain() {
	for {
		posts := c.takePosts()
		if posts == nil {
			return
		}
		c.runPosts(posts)
	}
}

// retire ends the use of wake: the engine frees what it needs for that.
func (c *core) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
}
