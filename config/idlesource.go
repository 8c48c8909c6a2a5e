package config

import (
	"cmp"
	"fmt"
	"net/netip"
)

// checkSource is a source address of a check for the probes of all its members.
type checkSource struct {
	check  string
	source netip.Addr
	at     nodeKey
}

// idleSources warns of source addresses of a family in which the check probes no address.
func (d *decoder) idleSources(cfg *Config) {
	if len(d.checkSources) == 0 {
		return
	}
	u := newSourceUse(cfg)
	for i := range d.checkSources {
		if s := &d.checkSources[i]; u.used[s.check] && !u.families[s.check][family(s.source)] {
			d.warnAt(s.at, fmt.Sprintf("no member with this check has an address of the family of %s: nothing is probed from it", s.source),
				"write an address of this machine of the family of the members' addresses, or leave it out")
		}
	}
}

// sourceUse holds the address families that each check probes from its own sources.
type sourceUse struct {
	checks   map[string]*Check
	used     map[string]bool
	families map[string][2]bool
}

func newSourceUse(cfg *Config) *sourceUse {
	u := &sourceUse{make(map[string]*Check), make(map[string]bool), make(map[string][2]bool)}
	for i := range cfg.Checks {
		u.checks[cfg.Checks[i].Name] = &cfg.Checks[i]
	}
	for i := range cfg.Regions {
		u.note(u.checks[cfg.Regions[i].Check], familiesAmong(cfg.Regions[i].Addresses))
	}
	for i := range cfg.Pools {
		for j := range cfg.Pools[i].Members {
			m := &cfg.Pools[i].Members[j]
			families := familiesAmong(m.Addresses)
			if m.hasNamedAddresses() {
				families = [2]bool{true, true} // the addresses of the name are not known here
			}
			u.note(u.checks[m.Check], families)
		}
	}
	return u
}

// note records that a check probes addresses of families. A member's own settings may have other sources than the
// check.
func (u *sourceUse) note(c *Check, families [2]bool) {
	if c == nil {
		return
	}
	name := cmp.Or(c.Base, c.Name)
	u.used[name] = true
	if base := u.checks[name]; base == nil || sameAddrs(c.Sources, base.Sources) {
		known := u.families[name]
		u.families[name] = [2]bool{known[0] || families[0], known[1] || families[1]}
	}
	for _, part := range c.Parts {
		of := families
		if part.Address.IsValid() {
			of = familiesAmong([]netip.Addr{part.Address})
		}
		u.note(part.Check, of)
	}
}

// familiesAmong returns the address families in addrs.
func familiesAmong(addrs []netip.Addr) (found [2]bool) {
	for _, a := range addrs {
		found[family(a)] = true
	}
	return found
}
