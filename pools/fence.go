package pools

import (
	"math/bits"

	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// source returns which pool answers the client for a pool that a name is bound to.
// Clients that a fence holds do not get the fallback:
//
//	selectSource   a fence holds the client  answered by
//	the fallback   yes                       the pool: it fails open, or NODATA
//	the fallback   no                        the fallback
//	anything else  -                         the same
//
// A pool that fails open keeps to the client's match by itself, see narrowToMatch.
func (s *Scratch) source(id ID) (Mode, ID, basis) {
	mode, by, pl := s.state.selectSource(id, s.family)
	if mode == FallenBack && s.tree.pools[id].fences && s.fenced(id) {
		return s.state.failedOpen(id, s.family)
	}
	return mode, by, pl
}

// modeOf returns the mode of a decision for a pool in this mode: a match that
// failed open counts as the pool failing open.
func (s *Scratch) modeOf(mode Mode) Mode {
	if s.opened {
		return FailedOpen
	}
	return mode
}

// fenced reports whether a fence of the pool, or of a pool below it, holds the
// client, and widens the scope accordingly. It depends neither on health states nor on
// overrides:
//
//	the pool is geolocation    the client has a match  held
//	with on_down fence, open   yes                     yes
//	with on_down fence, open   no                      no
//	with on_down widen         yes                     if a member of its matches holds it
//	with on_down widen         no                      no
//	not                        -                       if a member holds it
func (s *Scratch) fenced(id ID) bool {
	p := &s.tree.pools[id]
	switch {
	case !p.fences:
		return false
	case p.policy != geolocation || p.table == none && !p.fence:
		return s.fencedIn(p, nil)
	case p.table == none: // the default is the only match
		return true
	}
	table := s.tree.geoTables[p.table]
	leaf := table.Lookup(s.client)
	for k, match := range table.Ranking(leaf) {
		s.scope = max(s.scope, table.Scope(leaf, k))
		if match == geo.NoMatch {
			break
		}
		if p.fence || s.fencedIn(p, s.tree.match(p, match)) {
			return true
		}
	}
	return false
}

// fencedIn reports whether a member of a pool with weight holds the client;
// members, unless nil, limits it to those.
func (s *Scratch) fencedIn(p *pool, members bitset.Set) bool {
	for i := range p.words {
		w := ^uint64(0)
		if members != nil {
			w = members[i]
		}
		for ; w != 0; w &= w - 1 {
			m := i<<6 + uint32(bits.TrailingZeros64(w))
			if m >= p.members {
				break
			}
			child := s.tree.members[p.first+m].child
			if child != none && s.tree.weights[p.first+m] > 0 && s.fenced(ID(child)) {
				return true
			}
		}
	}
	return false
}
