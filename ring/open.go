package ring

import (
	"fmt"
	"strings"
)

// Options prepare a loop. The zero value means the defaults.
type Options struct {
	MultiAccept int // connections accepted from one listener in one turn; 0: 64
	BufSize     int // size of the buffers in bytes; 0: the engine's own choice
}

const defaultMultiAccept = 64

// engine is one implementation of Loop that is compiled in.
type engine struct {
	name string
	open func(Options) (Loop, error)
	// probe tells why the engine cannot be used on this machine, having tried it; nil if it can.
	probe func() error
}

// Availability is what became of the probe of one engine.
type Availability struct {
	Name   string
	OK     bool
	Reason string // why not; empty if OK
}

// Probe tries all engines that are compiled in, the best first.
func Probe() []Availability {
	var as []Availability
	for _, e := range engines() {
		a := Availability{Name: e.name, OK: true}
		if err := e.probe(); err != nil {
			a.OK, a.Reason = false, err.Error()
		}
		as = append(as, a)
	}
	return as
}

// Open makes a loop of the named engine; "" takes the best that works here. The caller has to Run it, if only after
// Stop, for that is what frees it. An error says which engines could be used instead.
func Open(name string, o Options) (Loop, error) {
	var failed []string
	for _, e := range engines() {
		if name != "" && name != e.name {
			continue
		}
		l, err := e.open(o)
		if err == nil {
			return l, nil
		}
		if name != "" {
			return nil, fmt.Errorf("engine %s: %w (available: %s)", name, err, available())
		}
		failed = append(failed, e.name+": "+err.Error())
	}
	if name != "" {
		return nil, fmt.Errorf("engine %s: not in this build (available: %s)", name, available())
	}
	return nil, fmt.Errorf("no engine works: %s", strings.Join(failed, "; "))
}

func available() string {
	var names []string
	for _, a := range Probe() {
		if a.OK {
			names = append(names, a.Name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// try is the probe of an engine whose opening is a real operation: open a loop, and free it.
func try(open func(Options) (Loop, error)) func() error {
	return func() error {
		l, err := open(Options{})
		if err != nil {
			return err
		}
		l.Stop()
		return l.Run()
	}
}
