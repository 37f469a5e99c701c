package control

import (
	"slices"

	"github.com/penlb/pen/internal/settings"
)

// tlsMin is the command of the lowest version of TLS.
func tlsMin() command {
	words := []string{"1.0", "1.1", "1.2", "1.3"}
	c := text("tls_min", "1.0|1.1|1.2|1.3", "lowest version of TLS", false,
		func(s *settings.Settings) *string { return &s.TLSMin })
	set := c.run
	c.check = oneOf(words...)
	c.run = func(c *call) {
		if len(c.args) > 0 && !slices.Contains(words, c.args[0]) {
			c.ignored("'%s' is no version of TLS: want one of %q", c.args[0], words)
			return
		}
		set(c)
	}
	return forgotten(c)
}
