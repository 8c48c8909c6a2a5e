package zones

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"meridian/config"
)

// access holds the clients that a zone answers. The longest network that contains a client decides.
type access struct {
	networks bart.Table[bool]
	others   bool // clients in no network
}

// newAccess compiles the clients of each zone, by ZoneID; nil: every zone answers all.
func newAccess(all []config.Zone) []*access {
	var compiled []*access
	for i := range all {
		of := &all[i].Access
		if !of.Restricts() {
			continue
		}
		if compiled == nil {
			compiled = make([]*access, len(all))
		}
		compiled[i] = &access{others: len(of.Allow) == 0}
		for _, network := range of.Allow {
			compiled[i].networks.Insert(network, true)
		}
		for _, network := range of.Deny {
			compiled[i].networks.Insert(network, false)
		}
	}
	return compiled
}

// Restricts reports whether some zone refuses some clients.
func (s *Data) Restricts() bool { return s.access != nil }

// Admits reports whether a zone answers queries from a client. It neither allocates nor locks.
func (s *Data) Admits(zone ZoneID, client netip.Addr) bool {
	if s.access == nil || s.access[zone] == nil {
		return true
	}
	a := s.access[zone]
	if admitted, ok := a.networks.Lookup(client); ok {
		return admitted
	}
	return a.others
}
