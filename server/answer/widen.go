package answer

import (
	"meridian/config"
	"meridian/pools"
	"meridian/zones"
)

// widening returns which zones have family: widen, or nil if none has.
func widening(cfg *config.Config) []bool {
	widens, any := make([]bool, len(cfg.Zones)), false
	for i := range cfg.Zones {
		widens[i] = cfg.Zones[i].Family == config.WidenFamily
		any = any || widens[i]
	}
	if !any {
		return nil
	}
	return widens
}

// widened decides again if a pool of a zone with family: widen has no answer of the family for a client: from all
// members that have one. The first decision is used if there is none.
func (s *activeSnapshot) widened(first pools.Decision, asked pools.Request, id zones.ZoneID, qtype uint16, scratch *pools.Scratch) pools.Decision {
	if s.widens == nil || !s.widens[id] || !isAddress(qtype) || len(scratch.Addrs) > 0 || scratch.CName != nil {
		return first
	}
	scratch.Widen = true
	again := s.snapshot.Pools.Decide(asked, scratch)
	scratch.Widen = false
	again.Scope = max(again.Scope, first.Scope)
	return again
}
