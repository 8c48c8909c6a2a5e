package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/pools"
)

// Unasked is a pool of names that no client queries: the forecast says nothing of it.
type Unasked struct {
	Pool string `json:"pool"`
	Type string `json:"type,omitempty"` // A or AAAA: the only type that it answers, and no client queries it; absent: its views have no clients
}

// unasked returns the pools that no client queries, by name.
func (f *forecaster) unasked() []Unasked {
	asked, families := make(map[string]bool), make(map[string][2]bool)
	for _, p := range f.pairs {
		for i, s := range f.sides {
			name := s.Config.Pools[p.pools[i]].Name
			asked[name] = asked[name] || p.sum.weight > 0
			of := families[name]
			for clients := range p.names {
				of[clients.family] = true
			}
			families[name] = of
		}
	}
	var all []Unasked
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !asked[name] {
			all = append(all, Unasked{name, f.unaskedType(families[name])})
		}
	}
	return all
}

// unaskedType returns the type of a pool that answers clients of one family only, if there are no such clients.
func (f *forecaster) unaskedType(families [2]bool) string {
	var clients [2]bool
	for _, addr := range f.classes.kindOf {
		clients[familyOf(addr)] = true
	}
	switch {
	case !families[pools.IPv6] && !clients[pools.IPv4]:
		return "A"
	case !families[pools.IPv4] && !clients[pools.IPv6]:
		return "AAAA"
	}
	return ""
}

// Gaps returns a sentence for each reason for which no client queries a pool: its pools, the reason, and what to do.
func (f *Forecast) Gaps() []string {
	var all []string
	for _, gap := range [...]struct{ typ, reason string }{
		{"A", "A only and all clients are IPv6; add IPv4 networks"},
		{"AAAA", "AAAA only and all clients are IPv4; add IPv6 networks"},
		{"", "views without any of the clients; add their networks"},
	} {
		var names []string
		for _, u := range f.Unasked {
			if u.Type == gap.typ {
				names = append(names, u.Pool)
			}
		}
		switch {
		case len(names) == 1:
			all = append(all, fmt.Sprintf("pool %s gets no query: it answers %s with meridian plan --clients FILE", names[0], gap.reason))
		case len(names) > 1:
			all = append(all, fmt.Sprintf("%d pools get no query: they answer %s with meridian plan --clients FILE: %s",
				len(names), gap.reason, abbreviate(names)))
		}
	}
	return all
}

// abbreviate lists the first few names.
func abbreviate(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
