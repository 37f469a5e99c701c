//go:build unix

package daemon

import "bytes"

// report answers USR1: the page if there is a file for it, else the text.
func (d *Daemon) report() {
	file := d.store.Get().WebStats
	if file == "" {
		d.Snapshot().WriteText(printer{d})
		return
	}
	if _, err := d.Status(file); err != nil {
		d.Logf("status page: %v", err)
	}
}

// printer makes a message of the log of each Write.
type printer struct{ d *Daemon }

func (p printer) Write(b []byte) (int, error) {
	p.d.Logf("%s", bytes.TrimSuffix(b, []byte("\n")))
	return len(b), nil
}
