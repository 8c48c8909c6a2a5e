package pools

import (
	"net/netip"
	"slices"

	"meridian/config"
)

// answering returns the live members of a pool that have an answer for a client, for
// geolocation those of one match, and the basis by which they are live.
func (r reference) answering(p *config.Pool, f Family, pl basis, client netip.Addr) ([]*config.Member, basis) {
	of := func(pl basis, match string) []*config.Member {
		var found []*config.Member
		for i := range p.Members {
			m := &p.Members[i]
			if r.live(m, f, pl) && (m.Pool == "" || r.hasAnswer(r.pool(m.Pool), f, pl, client)) && (match == "" || m.Match.String() == match) {
				found = append(found, m)
			}
		}
		return found
	}
	if p.Policy != config.Geolocation {
		return of(pl, ""), pl
	}
	for _, match := range r.matching(p, client) {
		planes := []basis{pl}
		if p.OnDown == config.Open {
			planes = [][]basis{byVerdict: {byVerdict, remaining, failOpen}, remaining: {remaining, failOpen}, failOpen: {failOpen}}[pl]
		}
		for _, on := range planes {
			if found := of(on, match); len(found) > 0 {
				return found, on
			}
		}
		if p.OnDown == config.Fence || p.OnDown == config.Open {
			break
		}
	}
	return nil, pl
}

func (r reference) hasAnswer(p *config.Pool, f Family, pl basis, client netip.Addr) bool {
	members, _ := r.answering(p, f, pl, client)
	return len(members) > 0
}

// holds reports whether a fence of a pool, or of one below it, holds a client.
func (r reference) holds(p *config.Pool, client netip.Addr) bool {
	in := func(match string) bool {
		return slices.ContainsFunc(p.Members, func(m config.Member) bool {
			return m.Pool != "" && m.Enabled && m.Weight > 0 && (match == "" || m.Match.String() == match) && r.holds(r.pool(m.Pool), client)
		})
	}
	if p.Policy != config.Geolocation {
		return in("")
	}
	matches := r.matching(p, client)
	if p.OnDown == config.Fence || p.OnDown == config.Open {
		return len(matches) > 0
	}
	return slices.ContainsFunc(matches, in)
}

func hasDefault(p *config.Pool) bool {
	return slices.ContainsFunc(p.Members, func(m config.Member) bool { return m.Match != nil && m.Match.Default })
}

// hasOpen reports whether some pool lets a match fail open.
func hasOpen(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool { return p.OnDown == config.Open })
}
