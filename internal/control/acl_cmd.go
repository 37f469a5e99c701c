package control

import (
	"fmt"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/settings"
)

func aclAdd(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	entry, err := acl.ParseEntry(c.args[1:])
	if err == nil {
		err = c.ACL.Add(Atoi(c.args[0]), entry)
	}
	if err != nil {
		c.ignored("%v", err)
	}
}

func aclClear(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing") // pen: crashes
		return
	}
	if err := c.ACL.Clear(Atoi(c.args[0])); err != nil {
		c.ignored("%v", err)
	}
}

func aclSave(e *Env, _ *settings.Settings) []string {
	var lines []string
	for n := range acl.Lists {
		lines = append(lines, fmt.Sprintf("no acl %d", n))
		for _, entry := range e.ACL.Entries(n) {
			lines = append(lines, fmt.Sprintf("acl %d %s", n, entry))
		}
	}
	return lines
}
