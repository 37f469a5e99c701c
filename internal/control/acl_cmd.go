package control

import (
	"fmt"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/settings"
)

// listNumber is the first argument as the number of an access list.
func (c *call) listNumber() (n int, ok bool) {
	if len(c.args) == 0 {
		c.ignored("argument missing") // pen: `no acl` crashes
		return 0, false
	}
	n = atoi(c.args[0])
	if n < 0 || n >= lists {
		c.ignored("%d outside (0,%d)", n, lists)
		return 0, false
	}
	return n, true
}

func aclAdd(c *call) {
	n, ok := c.listNumber()
	if !ok {
		return
	}
	entry, err := acl.ParseEntry(c.args[1:])
	if err == nil {
		err = c.ACL.Add(n, entry)
	}
	if err != nil {
		c.ignored("%v", err)
	}
}

func aclClear(c *call) {
	if n, ok := c.listNumber(); ok {
		c.ACL.Clear(n)
	}
}

func aclSave(e *Env, _ *settings.Settings) []string {
	var lines []string
	for n := range lists {
		lines = append(lines, fmt.Sprintf("no acl %d", n))
		for _, entry := range e.ACL.Entries(n) {
			lines = append(lines, fmt.Sprintf("acl %d %s", n, entry))
		}
	}
	return lines
}
