package pools

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"meridian/config"
	"meridian/health"
	"meridian/pools/internal/bitset"
)

// fraction is the reduced part, in 256ths, of the clients of a target or member in
// slow start or while it sheds. Shedding may reduce it to none. A list of fractions omits full ones.
type fraction struct {
	of   uint32 // in Tree.targets or Tree.members
	part uint16 // 0..255; in a list of changes also full: remove it from the list
	key  uint64 // of the hash that selects the clients or draws in the part, made from names; 0 if only the part counts
}

// full is the whole part, in 256ths.
const full = 256

func reducedBy(a fraction, of uint32) int { return cmp.Compare(a.of, of) }

// fractionOf returns the part of a target or member from an ordered list.
func fractionOf(shares []fraction, of uint32) uint64 { return uint64(shareOf(shares, of).part) }

// shareOf returns the fraction of a target or member from an ordered list.
func shareOf(shares []fraction, of uint32) fraction {
	if i, ok := slices.BinarySearchFunc(shares, of, reducedBy); ok {
		return shares[i]
	}
	return fraction{of: of, part: full}
}

// shareKey returns the hash key of the fraction of a member, or region, of a pool. It must not change:
// clients would change members.
func shareKey(pool, of string) uint64 { return keyOf(pool+".share", of) }

// memberKey returns the hash key of a member's fraction.
func (t *Tree) memberKey(u memberRef) uint64 {
	p := &t.cfg.Pools[u.pool]
	return shareKey(p.Name, p.Members[u.member].Name)
}

// groupKey returns the hash key of a group of a pool that ranks regions.
func (t *Tree) groupKey(p *pool, group uint32) uint64 { return t.keys[p.keys+group] }

// groupKeys makes the keys of the groups of a pool that ranks regions, from the names of the pool and
// the regions.
func (c *compiler) groupKeys(from *config.Pool, p *pool) {
	t := c.tree
	p.keys = uint32(len(t.keys))
	for _, region := range c.mine {
		name := "" // without a region
		if int(region) < len(c.cfg.Regions) {
			name = c.cfg.Regions[region].Name
		}
		t.keys = append(t.keys, shareKey(from.Name, name))
	}
}

// merged returns shares after changes; the last change of a target or member counts.
// It sorts changes.
func merged(shares, changes []fraction) []fraction {
	slices.SortStableFunc(changes, func(a, b fraction) int { return cmp.Compare(a.of, b.of) })
	next := make([]fraction, 0, len(shares)+len(changes))
	for i, c := range changes {
		if i+1 < len(changes) && changes[i+1].of == c.of {
			continue
		}
		before, found := slices.BinarySearchFunc(shares, c.of, reducedBy)
		next = append(next, shares[:before]...)
		if shares = shares[before:]; found {
			shares = shares[1:]
		}
		if c.part != full {
			next = append(next, c)
		}
	}
	return append(next, shares...)
}

// slowMembers returns the fractions of a pool's members.
func (st *state) slowMembers(p *pool) []fraction {
	from, _ := slices.BinarySearchFunc(st.slow, p.first, reducedBy)
	to, _ := slices.BinarySearchFunc(st.slow, p.first+p.members, reducedBy)
	return st.slow[from:to]
}

// queueFraction queues the slow-start fraction of a change, for applyFractions.
func (d *builder) queueFraction(target uint32, transition *health.Transition) {
	part := uint16(transition.SlowStartWeight)
	if part == 0 || d.isDown(target) {
		part = full
	}
	if len(d.starting) == 0 && len(d.restarted) == 0 && part == full {
		return
	}
	of := &d.tree.targets[target]
	d.restarted = append(d.restarted, fraction{target, part, keyOf(of.Check.Name, of.Addr.String())})
	for _, u := range d.tree.membersByTarget.of(target) {
		d.stale = append(d.stale, d.tree.pools[u.pool].first+u.member)
	}
}

// applyFractions applies the queued fractions of targets to the state.
func (d *builder) applyFractions() {
	if len(d.restarted) > 0 {
		d.copyOnWrite()
		d.starting = merged(d.starting, d.restarted)
		d.restarted = d.restarted[:0]
	}
}

// markFractionsDirty records that members' fractions may have changed.
func (d *builder) markFractionsDirty(members []memberRef) {
	if len(d.slow) == 0 && len(d.from.slow) == 0 && len(d.starting) == 0 && len(d.shedding) == 0 && len(d.bounded) == 0 {
		return
	}
	for _, u := range members {
		d.stale = append(d.stale, d.tree.pools[u.pool].first+u.member)
	}
}

// recomputeFractions recomputes the fractions of the stale members.
func (d *builder) recomputeFractions() {
	d.addSlowPools()
	if len(d.stale) == 0 {
		return
	}
	slices.Sort(d.stale)
	var changes []fraction
	for stale := slices.Compact(d.stale); len(stale) > 0; {
		id := d.tree.memberRefOf(stale[0]).pool
		p := &d.tree.pools[id]
		n, _ := slices.BinarySearch(stale, p.first+p.members)
		bound := d.boundSlow(ID(id), stale[:n])
		for _, member := range stale[:n] {
			part := d.memberFraction(memberRef{id, member - p.first}, bound)
			if part != fractionOf(d.slow, member) {
				changes = append(changes, fraction{member, uint16(part), d.tree.memberKey(memberRef{id, member - p.first})})
				d.markDirty(ID(id))
			}
		}
		stale = stale[n:]
	}
	d.stale = d.stale[:0]
	if len(changes) > 0 {
		d.copyOnWrite()
		d.slow = merged(d.slow, changes)
	}
}

// memberFraction computes a member's fraction: full if it is forced up, otherwise the minimum of
// its slow start, of what it keeps while it sheds, and of what it keeps
// within its bound, times what an operator left it. max_ejection limits what slow start may withhold.
func (d *builder) memberFraction(u memberRef, bound slowBound) uint64 {
	member := d.tree.pools[u.pool].first + u.member
	if d.kind(member) == ForcedUp {
		return full
	}
	part := min(bound.of(d.slowStartFraction(u)), d.loadFraction(member))
	operator := d.operatorFraction(member)
	if operator == full || part == 0 {
		return part
	}
	return max(1, part*operator/full)
}

// loadFraction returns what a member keeps by its load.
func (st *state) loadFraction(member uint32) uint64 {
	return min(fractionOf(st.shedding, member), fractionOf(st.bounded, member))
}

// slowStartFraction computes the fraction of a member while it, or its nested pool, is in slow start:
//
//	a member that                                         gets
//	is an endpoint with an up address at full             all
//	is an endpoint with all up addresses in slow start    the largest part of those
//	is a pool with an eligible member at full             all
//	is a pool with all eligible members in slow start     their mean part, by weight
//
// The part of an endpoint or pool is the same for both families: otherwise
// the A and the AAAA of a client would return different members.
func (d *builder) slowStartFraction(u memberRef) uint64 {
	m := &d.tree.members[d.tree.pools[u.pool].first+u.member]
	if m.child != none {
		return d.poolFraction(ID(m.child))
	}
	part := uint64(0)
	for _, r := range d.tree.refs[m.first:][:int(m.n4)+int(m.n6)] {
		switch {
		case !d.isUp(r):
		case r.target == none:
			return full
		default:
			part = max(part, fractionOf(d.starting, r.target))
		}
	}
	if part == 0 { // not up, which decides it
		return full
	}
	return part
}

func (d *builder) poolFraction(id ID) uint64 {
	p := &d.tree.pools[id]
	slow := d.slowMembers(p)
	if len(slow) == 0 {
		return full
	}
	var parts, weights uint64
	for word := range p.words {
		eligible := bitset.Set{d.word(p.eligible(IPv4, byVerdict)+word) | d.word(p.eligible(IPv6, byVerdict)+word)}
		for m := range eligible.All() {
			member := p.first + word*64 + uint32(m)
			part := fractionOf(slow, member)
			if part == full {
				return full
			}
			weight := uint64(d.tree.weights[member])
			parts, weights = parts+part*weight, weights+weight
		}
	}
	if weights == 0 {
		return full
	}
	return parts / weights
}

// Prefix length of a client's network, the unit in which policies that place clients
// admit them: clients that share a resolver or a site stay together.
const (
	networkV4 = 24
	networkV6 = 48
)

// admits reports whether a part of the clients includes this one, by a hash of
// its network with a key made from names, so that the order of pools and members, which edits
// of other pools change, does not matter. Raising the part never removes a client. The answer's
// scope includes the network.
func (s *Scratch) admits(key, part uint64) bool {
	network, bits := networkOf(s.client)
	s.scope = max(s.scope, bits)
	return below(mix(network^key), full) < part
}

// networkOf returns a hash of a client's network, and its prefix length.
func networkOf(client netip.Addr) (hash uint64, bits uint8) {
	if client = client.Unmap(); client.Is4() {
		a := client.As4()
		return mix(uint64(a[0])<<16 | uint64(a[1])<<8 | uint64(a[2])), networkV4
	}
	a, network := client.As16(), uint64(0)
	for _, b := range a[:networkV6/8] {
		network = network<<8 | uint64(b)
	}
	return mix(network | 1<<63), networkV6
}

// fraction returns the fraction of a member of the pool being visited.
func (v *frame) fraction(m int) uint64 { return fractionOf(v.slow, v.first+uint32(m)) }

// admit removes members in slow start with a part that does not include this request,
// unless that leaves no member:
//
//	policy                       a part is
//	failover                     of the clients, see admitInOrder
//	round-robin, all             of the draws
//	proximity, latency           of the clients of a region, see regionAdmits
//	those that draw by weight    of the weight, see byReducedWeight; hash: of the networks
func (s *Scratch) admit(v *frame) {
	switch v.policy {
	case failover:
		s.admitInOrder(v)
	case roundRobin, all:
		s.admitByDraw(v)
	}
}

// admitInOrder checks the members before the first full one. Later members
// are in an answer only in addition to it.
func (s *Scratch) admitInOrder(v *frame) {
	if v.eligible.Count() == 1 {
		return
	}
	copy(v.scratchSet, v.eligible)
	for m := v.eligible.First(); ; m = v.eligible.After(m) {
		slow := shareOf(v.slow, v.first+uint32(m))
		if slow.part == full {
			break
		}
		if !s.admits(slow.key, uint64(slow.part)) {
			v.scratchSet.Remove(m)
		}
		if v.eligible.After(m) <= m {
			break
		}
	}
	s.keepAdmitted(v)
}

func (s *Scratch) admitByDraw(v *frame) {
	copy(v.scratchSet, v.eligible)
	for _, slow := range v.slow {
		m := int(slow.of - v.first)
		if v.eligible.Has(m) && !v.seed.admits(slow) {
			v.scratchSet.Remove(m)
		}
	}
	s.keepAdmitted(v)
}

// admits reports whether a draw is in a part of the draws.
func (s seed) admits(to fraction) bool {
	return below(mix(^uint64(s)^to.key), full) < uint64(to.part)
}

// keepAdmitted narrows to v.scratchSet, unless it is empty.
func (s *Scratch) keepAdmitted(v *frame) {
	if v.scratchSet.Any() {
		s.record.notAdmitted(v)
		v.narrowTo(v.scratchSet)
	}
}

// regionAdmits reports whether the eligible members of a group take this client
// (the group is a region, for proximity and latency):
//
//	among them               takes
//	one at full              all clients; weights are multiplied by the parts
//	only some in slow start  the mean of their parts, by weight, of the clients
//
// So each gets its part of its clients, and members of the region that serve already
// take the rest before a farther region does.
func (s *Scratch) regionAdmits(v *frame, group uint32) bool {
	part := s.regionFraction(v, s.tree.group(v.pool, group))
	return part == full || s.admits(s.tree.groupKey(v.pool, group), part)
}

// regionFraction returns the part of its clients that a group with an eligible member takes.
func (s *Scratch) regionFraction(v *frame, g bitset.Set) uint64 {
	var parts, weights uint64
	for i, w := range g {
		for w &= v.eligible[i]; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			part := v.fraction(m)
			if part == full {
				return full
			}
			weight := uint64(s.tree.weights[v.first+uint32(m)])
			parts, weights = parts+part*weight, weights+weight
		}
	}
	return parts / weights
}

// narrowSlowly is narrowByRanking with members in slow start:
//
//	first in the client's ranking that has an eligible member and takes it   left
//	the k-th region                                                          those of the k-th
//	none, though the k-th is the first that has an eligible member           those of the k-th
//	none has an eligible member                                              those without a region
func (s *Scratch) narrowSlowly(v *frame) {
	t := s.tree
	table := t.geoTables[v.table]
	leaf := table.Lookup(s.client)
	if s.narrowLost(v, table, leaf) {
		return
	}
	nearest, ranking := -1, table.Ranking(leaf)
	for k, region := range ranking {
		g := t.group(v.pool, uint32(region))
		if !v.eligible.Meets(g) {
			continue
		}
		s.scope = max(s.scope, table.Scope(leaf, k))
		if s.regionAdmits(v, uint32(region)) {
			v.narrowTo(g)
			s.record.narrowed(s, v, k)
			return
		}
		if nearest < 0 {
			nearest = k
		}
	}
	if nearest >= 0 {
		v.narrowTo(t.group(v.pool, uint32(ranking[nearest])))
	} else {
		v.narrowTo(t.group(v.pool, v.ngroups-1))
	}
	s.record.narrowed(s, v, nearest)
}

// byReducedWeight is byWeight with members in slow start: each weight is multiplied by its part.
func (s *Scratch) byReducedWeight(v *frame, from bitset.Set, r uint64) int {
	at := below(r, s.sumOfReducedWeights(v, from))
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			weight := s.reducedWeight(v, m)
			if at < weight {
				return m
			}
			at -= weight
		}
	}
	panic("pools: a draw beyond the sum of the shares")
}

func (s *Scratch) sumOfReducedWeights(v *frame, of bitset.Set) uint64 {
	sum := uint64(0)
	for i, w := range of {
		for ; w != 0; w &= w - 1 {
			sum += s.reducedWeight(v, i<<6+bits.TrailingZeros64(w))
		}
	}
	return sum
}

// fullWeight is the reducedWeight of a full member of weight 1.
const fullWeight = full << 12

// reducedWeight returns a member's weight times its part, in units so small that a member with
// part 0, which is drawn only if all have 0, has a single unit.
func (s *Scratch) reducedWeight(v *frame, m int) uint64 {
	return uint64(s.tree.weights[v.first+uint32(m)]) * max(1, v.fraction(m)*(fullWeight/full))
}

// addressAdmitted reports whether slow start admits an up address to this draw.
func (st *state) addressAdmitted(r addrRef, draw uint64) bool {
	if len(st.starting) == 0 || r.target == none {
		return true
	}
	slow := shareOf(st.starting, r.target)
	return slow.part == full || seed(draw).admits(slow)
}
