package pools

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"meridian/config"
	"meridian/health"
)

// fraction is the part, in 256ths, of what it would get that a target or member
// gets while it starts slowly, or sheds. One that sheds may get none. What is not in a list of shares gets all.
type fraction struct {
	of   uint32 // in Tree.targets or Tree.members
	part uint16 // 0..255; in a list of changes also whole: no longer in the list
	key  uint64 // of the hash that says which clients or draws are in the part, made from names; 0 where only the part counts
}

// full is all that one would get, in 256ths.
const full = 256

func reducedBy(a fraction, of uint32) int { return cmp.Compare(a.of, of) }

// fractionOf returns a part by a list of shares in order.
func fractionOf(shares []fraction, of uint32) uint64 { return uint64(shareOf(shares, of).part) }

// shareOf returns a share by a list of shares in order.
func shareOf(shares []fraction, of uint32) fraction {
	if i, ok := slices.BinarySearchFunc(shares, of, reducedBy); ok {
		return shares[i]
	}
	return fraction{of: of, part: full}
}

// shareKey returns the key of the share of a member, or region, of a pool. It must not change:
// clients would change members.
func shareKey(pool, of string) uint64 { return keyOf(pool+".share", of) }

// memberKey returns the key of a member's share.
func (t *Tree) memberKey(u memberRef) uint64 {
	p := &t.cfg.Pools[u.pool]
	return shareKey(p.Name, p.Members[u.member].Name)
}

// groupKey returns the key of what a group of a pool that ranks regions takes.
func (t *Tree) groupKey(p *pool, group uint32) uint64 { return t.keys[p.keys+group] }

// groupKeys makes the keys of the groups of a pool that ranks regions, from the names of the pool and
// the regions.
func (c *compiler) groupKeys(from *config.Pool, p *pool) {
	t := c.tree
	p.keys = uint32(len(t.keys))
	for _, region := range c.mine {
		name := "" // of no region
		if int(region) < len(c.cfg.Regions) {
			name = c.cfg.Regions[region].Name
		}
		t.keys = append(t.keys, shareKey(from.Name, name))
	}
}

// merged is shares after changes, of which the last about somebody counts.
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

// slowMembers is the shares of a pool's members.
func (st *state) slowMembers(p *pool) []fraction {
	from, _ := slices.BinarySearchFunc(st.slow, p.first, reducedBy)
	to, _ := slices.BinarySearchFunc(st.slow, p.first+p.members, reducedBy)
	return st.slow[from:to]
}

// queueFraction takes the share of a turn over, which merge then makes part of the state.
func (d *builder) queueFraction(target uint32, turn *health.Transition) {
	part := uint16(turn.SlowStartWeight)
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

// applyFractions makes the noted shares of targets those of the state.
func (d *builder) applyFractions() {
	if len(d.restarted) > 0 {
		d.copyOnWrite()
		d.starting = merged(d.starting, d.restarted)
		d.restarted = d.restarted[:0]
	}
}

// markFractionsDirty notes that members' shares may have changed.
func (d *builder) markFractionsDirty(members []memberRef) {
	if len(d.slow) == 0 && len(d.from.slow) == 0 && len(d.starting) == 0 && len(d.shedding) == 0 && len(d.bounded) == 0 {
		return
	}
	for _, u := range members {
		d.stale = append(d.stale, d.tree.pools[u.pool].first+u.member)
	}
}

// recomputeFractions works out anew the shares of the members that are noted as stale.
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

// memberFraction works out a member's part: all where it is forced up, else the lesser of
// what it gets while it starts slowly, what it keeps while it sheds, and what it keeps
// within its bound. A slow start withholds no more than max_ejection lets it.
func (d *builder) memberFraction(u memberRef, bound slowBound) uint64 {
	member := d.tree.pools[u.pool].first + u.member
	if d.kind(member) == ForcedUp {
		return full
	}
	return min(bound.of(d.slowStartFraction(u)), d.loadFraction(member))
}

// loadFraction is what a member keeps by its load.
func (st *state) loadFraction(member uint32) uint64 {
	return min(fractionOf(st.shedding, member), fractionOf(st.bounded, member))
}

// slowStartFraction works out what a member gets while it, or what is in it, starts slowly:
//
//	a member that                                         gets
//	is an endpoint with an up address that has all        all
//	is an endpoint whose up addresses all start slowly    the largest part of those
//	is a pool with an eligible member that has all        all
//	is a pool whose eligible members all start slowly     their mean part, by weight
//
// An endpoint's part is the same for both families, and so is a pool's: else
// the A and the AAAA of a client would lead to different places.
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
	if part == 0 { // not up, which settles it
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
		eligible := bitset{d.word(p.eligible(IPv4, byVerdict)+word) | d.word(p.eligible(IPv6, byVerdict)+word)}
		for m := range eligible.all() {
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

// The length of a client's network, which is what a share is taken of where a
// policy places clients: whoever shares a resolver or a site stays together.
const (
	networkV4 = 24
	networkV6 = 48
)

// admits reports whether a part of the clients includes this one, by a hash of
// its network with a key that is made from names: the order of pools and members, which edits of
// other pools change, does not matter. A client that is in a part is in every larger one. The answer's
// scope includes the network.
func (s *Scratch) admits(key, part uint64) bool {
	network, bits := networkOf(s.client)
	s.scope = max(s.scope, bits)
	return below(mix(network^key), full) < part
}

// networkOf is a hash of a client's network, and its length.
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

// fraction is that of a member of the pool being visited.
func (v *frame) fraction(m int) uint64 { return fractionOf(v.slow, v.first+uint32(m)) }

// admit leaves out members that start slowly and whose part this question is
// not in, unless that leaves nobody:
//
//	policy                       a part is
//	failover                     of the clients, see admitInOrder
//	round-robin, all             of the draws
//	proximity, latency           of the clients of a region, see admitsTo
//	those that draw by weight    of the weight, see byShare; hash: of the networks
func (s *Scratch) admit(v *frame) {
	switch v.policy {
	case failover:
		s.admitInOrder(v)
	case roundRobin, all:
		s.admitByDraw(v)
	}
}

// admitInOrder asks the members before the first that has all. Those after it
// are in an answer only beside it.
func (s *Scratch) admitInOrder(v *frame) {
	if v.eligible.count() == 1 {
		return
	}
	copy(v.scratchSet, v.eligible)
	for m := v.eligible.first(); ; m = v.eligible.after(m) {
		slow := shareOf(v.slow, v.first+uint32(m))
		if slow.part == full {
			break
		}
		if !s.admits(slow.key, uint64(slow.part)) {
			v.scratchSet.remove(m)
		}
		if v.eligible.after(m) <= m {
			break
		}
	}
	s.keepAdmitted(v)
}

func (s *Scratch) admitByDraw(v *frame) {
	copy(v.scratchSet, v.eligible)
	for _, slow := range v.slow {
		m := int(slow.of - v.first)
		if v.eligible.has(m) && !v.seed.admits(slow) {
			v.scratchSet.remove(m)
		}
	}
	s.keepAdmitted(v)
}

// admits reports whether a draw is in a part of the draws.
func (s seed) admits(to fraction) bool {
	return below(mix(^uint64(s)^to.key), full) < uint64(to.part)
}

// keepAdmitted narrows to v.spare, unless nobody is there.
func (s *Scratch) keepAdmitted(v *frame) {
	if v.scratchSet.any() {
		s.record.notAdmitted(v)
		v.narrowTo(v.scratchSet)
	}
}

// regionAdmits reports whether the eligible members of a group take this client
// (the group is a region, under proximity and latency):
//
//	among them               takes
//	one that has all         all clients; between them, weights count by their parts
//	only some starting slow  the mean of their parts, by weight, of the clients
//
// So each gets its part of what it would get otherwise, and members of the region that serve already
// take the rest before a farther region does.
func (s *Scratch) regionAdmits(v *frame, group uint32) bool {
	part := s.regionFraction(v, s.tree.group(v.pool, group))
	return part == full || s.admits(s.tree.groupKey(v.pool, group), part)
}

// regionFraction is the part of its clients that a group takes, which has an eligible member.
func (s *Scratch) regionFraction(v *frame, g bitset) uint64 {
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

// narrowSlowly is narrowByRanking where members start slowly:
//
//	first in the client's ranking that has an eligible member and takes it   left
//	the k-th region                                                          those of the k-th
//	none, though the k-th is the first that has an eligible member           those of the k-th
//	none has an eligible member                                              those of no region
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
		if !v.eligible.meets(g) {
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

// byReducedWeight is byWeight where members start slowly: each weight counts by its part.
func (s *Scratch) byReducedWeight(v *frame, from bitset, r uint64) int {
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

func (s *Scratch) sumOfReducedWeights(v *frame, of bitset) uint64 {
	sum := uint64(0)
	for i, w := range of {
		for ; w != 0; w &= w - 1 {
			sum += s.reducedWeight(v, i<<6+bits.TrailingZeros64(w))
		}
	}
	return sum
}

// fullWeight is what weightByShare makes of a weight of 1 of a member that has all.
const fullWeight = full << 12

// reducedWeight is a member's weight by its part, in units so small that one that
// gets none, which is drawn only where nobody gets any, can have a single one.
func (s *Scratch) reducedWeight(v *frame, m int) uint64 {
	return uint64(s.tree.weights[v.first+uint32(m)]) * max(1, v.fraction(m)*(fullWeight/full))
}

// addressAdmitted reports whether an address that is up is in this draw, as far as it starts slowly.
func (st *state) addressAdmitted(r addrRef, draw uint64) bool {
	if len(st.starting) == 0 || r.target == none {
		return true
	}
	slow := shareOf(st.starting, r.target)
	return slow.part == full || seed(draw).admits(slow)
}
