package pools

import (
	"fmt"
	"slices"

	"meridian/config"
	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// narrowToMatch leaves the eligible members of the most specific match of the
// client that has any, and widens the scope accordingly:
//
//	the client's first match   on_down  then                               left                      scope
//	has an eligible member     -        -                                  those of the first        up to the first
//	has none                   fence    -                                  none: NODATA              up to the first
//	has none                   open     the first has a usable member      those, as if up           up to the first
//	has none                   open     it has none                        none: NODATA              up to the first
//	has none                   widen    the k-th has an eligible member    those of the k-th         up to the k-th
//	has none                   widen    none has                           none: NODATA              to the list's end
//	there is none              -        -                                  none: default: nodata     to the list's end
//
// The default match, if there is one, is the last of every client. Later draws
// stay in that match. Members that share it are drawn by weight; if they are of several
// regions the client's network chooses among them, because its A, AAAA and HTTPS answers must be of one region.
func (s *Scratch) narrowToMatch(v *frame) {
	if v.table == none { // the default is the only match
		if v.opens && !v.eligible.Any() {
			s.openMatch(v, 0)
		}
		if !v.eligible.Any() {
			s.record.passedAll(v)
		}
		return
	}
	s.takeMatch(v)
	s.keepRegion(v)
}

// takeMatch is narrowToMatch without its last step.
func (s *Scratch) takeMatch(v *frame) {
	t := s.tree
	table := t.geoTables[v.table]
	match, scope := table.Nearest(s.client)
	if match != geo.NoMatch && v.eligible.Meets(t.match(v.pool, match)) { // fast path: the first row
		s.scope = max(s.scope, scope)
		v.narrowTo(t.match(v.pool, match))
		s.record.matched(s, v, 0)
		return
	}
	leaf := table.Lookup(s.client)
	matches, k := table.Ranking(leaf), 0
	if !v.fence {
		for matches[k] != geo.NoMatch && !v.eligible.Meets(t.match(v.pool, matches[k])) {
			k++
		}
	}
	s.scope = max(s.scope, table.Scope(leaf, k))
	switch {
	case matches[k] == geo.NoMatch, v.fence && !(v.opens && s.openMatch(v, matches[k])):
		v.narrowToNone()
		k = -1
	default:
		v.narrowTo(t.match(v.pool, matches[k]))
	}
	s.record.matched(s, v, k)
}

// keepRegion lets the client's network choose if the members left are of several regions, and
// widens the scope to it.
func (s *Scratch) keepRegion(v *frame) {
	if !v.spans || !v.eligible.Any() || s.tree.sameGroup(v.pool, v.eligible) {
		return
	}
	v.byNetwork = true
	s.scope = max(s.scope, uint8(v.maskOf(s.client)))
}

// sameGroup reports whether all members of a set, which is not empty, are of one group.
func (t *Tree) sameGroup(p *pool, of bitset.Set) bool {
	return t.group(p, t.members[p.first+uint32(of.First())].group).Holds(of)
}

// openMatch fails open a match without an eligible member: it moves the frame
// to the first basis for which the match has one. It returns false if there is none.
func (s *Scratch) openMatch(v *frame, match uint16) bool {
	members := s.tree.match(v.pool, match)
	for _, pl := range failingOpen(v.basis) {
		for i := range v.words {
			v.eligible[i] = s.state.word(v.pool.eligible(s.family, pl) + i)
			v.canGive[i] = s.state.word(v.pool.giving(s.family, pl) + i)
		}
		if s.recordType != 0 {
			s.keepRecords(v)
		}
		v.narrowTo(members)
		if v.eligible.Any() {
			v.basis, v.slow, v.opened = pl, nil, true
			if v.depends {
				clear(v.passed)
			}
			s.opened = true
			s.record.reopened(s, v, members)
			return true
		}
	}
	return false
}

// failingOpen returns the bases to try after another one if a match
// fails open.
func failingOpen(after basis) []basis {
	switch after {
	case byVerdict:
		return basesAfterByVerdict[:]
	case remaining:
		return basesAfterByVerdict[1:]
	}
	return nil
}

var basesAfterByVerdict = [...]basis{remaining, failOpen}

// match returns the members of a match.
func (t *Tree) match(p *pool, i uint16) bitset.Set {
	return t.groups[p.matches+uint32(i)*p.words:][:p.words]
}

// narrowToNone leaves no member.
func (v *frame) narrowToNone() {
	clear(v.eligible)
	clear(v.canGive)
}

// match numbers the pool's matches, and requests the table that lists a client's.
func (c *compiler) match(from *config.Pool, p *pool) {
	numbers := map[string]uint16{}
	var matches []config.Match
	var owners []int // by match: its first member
	of := make([]uint16, len(from.Members))
	for i := range from.Members {
		m := from.Members[i].Match
		if m == nil {
			c.errorf(from, from.Members[i].Pos, fmt.Sprintf(".members[%d].match", i), "no match", "every member of a geolocation pool has one")
			continue
		}
		key := m.String()
		number, ok := numbers[key]
		if !ok {
			number = uint16(len(matches))
			numbers[key] = number
			matches, owners = append(matches, *m), append(owners, i)
		}
		of[i] = number
	}
	t := c.tree
	p.fence, p.opens = from.OnDown.Fences(), from.OnDown == config.Open
	p.fences = p.fence
	p.holdsAll = p.fence && slices.ContainsFunc(matches, func(m config.Match) bool { return m.Default })
	p.matches = uint32(len(t.groups))
	t.groups = append(t.groups, make(bitset.Set, uint32(len(matches))*p.words)...)
	for i := range of {
		if from.Members[i].Match != nil {
			t.match(p, of[i]).Add(i)
		}
	}
	p.spans = c.spansRegions(from)
	if p.spans {
		c.hashKeys(from, p)
	}
	if len(matches) == 1 && matches[0].Default {
		if p.spans {
			p.table = c.everyClient(from)
		}
		return
	}
	p.depends = true
	p.table = uint32(len(c.rankings))
	c.rankings = append(c.rankings, ranking{pool: from, matches: matches, owners: owners})
}

// spansRegions reports whether two members of one match are of different regions.
func (c *compiler) spansRegions(from *config.Pool) bool {
	regions := map[string]string{} // by match
	for i := range from.Members {
		m := &from.Members[i]
		if m.Match == nil {
			continue
		}
		region, known := regions[m.Match.String()]
		if known && region != m.Region {
			return true
		}
		regions[m.Match.String()] = m.Region
	}
	return false
}

// matched records why members are in the match that was taken or not: the
// one at index k of the client's; -1: none was.
func (r *recorder) matched(s *Scratch, v *frame, k int) {
	if r != nil {
		r.recordMatched(s, v, k)
	}
}

// recordMatched sets the reasons of the eligible members that the client's match left out:
//
//	its match is            taken         reason
//	not the client's        -             does not match the client
//	the client's, wider     another       matches less specifically, and by which match
//	the client's, wider     none (fence)  on_down: fence keeps the client from it
func (r *recorder) recordMatched(s *Scratch, v *frame, k int) {
	found := r.tree.locator.Matching(s.client, r.tree.matches[v.table])
	by := map[uint16]StepMatch{}
	for i, m := range found {
		by[uint16(m.Index)] = StepMatch{By: m.By, Place: i + 1}
	}
	v.match = ""
	if k >= 0 {
		v.match = "matches " + found[k].By + narrower(found[:k])
		if v.opened {
			v.match += ", which has none eligible; on_down: open"
		}
	} else {
		r.gaveNothing(v, v.pool.whyNoMatch(found))
	}
	for i := range r.tree.cfg.Pools[v.id].Members {
		step := &r.steps[v.step+i]
		match, ok := by[r.tree.matchOf(v.pool, i, len(r.tree.matches[v.table]))]
		if ok {
			step.Match = &match
		}
		switch {
		case !step.Eligible || v.eligible.Has(i):
		case !ok:
			step.Reason = "does not match the client"
		case k < 0:
			step.Reason = fmt.Sprintf("matches %s, but on_down: %s keeps to %s, which has none eligible", match.By, r.tree.cfg.Pools[v.id].OnDown, found[0].By)
		default:
			step.Reason = "matches less specifically, by " + match.By
		}
	}
}

// StepMatch is how a member of a geolocation pool matches the client.
type StepMatch struct {
	By    string `json:"by"`    // as in geo.Matched, such as "country DE"
	Place int    `json:"place"` // among the client's matches; 1 is the most specific
}

// whyNoMatch returns why no match was taken of those found.
func (p *pool) whyNoMatch(found []geo.Matched) string {
	switch {
	case len(found) == 0:
		return "the client matches no member, and default: nodata"
	case p.opens:
		return fmt.Sprintf("the client matches %s, which has no member that is enabled, undrained and not forced down, and on_down: open keeps to it", found[0].By)
	case p.fence:
		return fmt.Sprintf("the client matches %s, which has no eligible member, and on_down: fence keeps to it", found[0].By)
	case len(found) == 1:
		return fmt.Sprintf("the client matches %s alone, which has no eligible member", found[0].By)
	}
	return fmt.Sprintf("the client has %d matches, and none has an eligible member", len(found))
}

// matchOf returns the match of the i-th member of a pool with n matches.
func (t *Tree) matchOf(p *pool, i, n int) uint16 {
	for m := range n {
		if t.match(p, uint16(m)).Has(i) {
			return uint16(m)
		}
	}
	panic("pools: a member without a match")
}

// narrower names the matches that are more specific than the one taken.
func narrower(found []geo.Matched) string {
	text := ""
	for i, m := range found {
		if i > 0 {
			text += ", "
		}
		text += m.By
	}
	switch len(found) {
	case 0:
		return ""
	case 1:
		return "; " + text + " is more specific and has none eligible"
	}
	return "; " + text + " are more specific and have none eligible"
}

// whyMatch explains why geolocation chose m.
func (s *Scratch) whyMatch(v *frame, from bitset.Set, m int) string {
	text := v.match
	if v.table == none {
		text = "matches default"
	}
	switch {
	case v.byNetwork:
		text += "; " + s.whyHash(v, from, m)
	case from.Count() > 1:
		text += "; " + s.whyWeight(v, from, m)
	}
	return text
}
