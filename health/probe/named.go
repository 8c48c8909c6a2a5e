package probe

import (
	"fmt"
	"strings"

	"meridian/config"
)

// Named returns the check with a name, if it has a probe.
func Named(cfg *config.Config, name string) (*config.Check, error) {
	var names []string
	for i := range cfg.Checks {
		c := &cfg.Checks[i]
		names = append(names, c.Name)
		if c.Name == name {
			return c, hasProbe(c)
		}
	}
	hint := "the configuration has " + strings.Join(names, ", ")
	if near, ok := config.Nearest(name, names); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) == 0 {
		hint = "the configuration has no checks"
	}
	return nil, fmt.Errorf("no check %q; %s", name, hint)
}

// hasProbe returns an error for a check with a health state from elsewhere.
func hasProbe(c *config.Check) error {
	switch {
	case c.Type == config.Push:
		return fmt.Errorf("check %q of type push has no probe: another system reports its states; meridian status shows them", c.Name)
	case c.Type.Composite():
		var parts []string
		for _, p := range c.Parts {
			parts = append(parts, p.Check.Name)
		}
		return fmt.Errorf("check %q of type %s combines other checks; probe one of %s", c.Name, c.Type, strings.Join(parts, ", "))
	}
	return nil
}
