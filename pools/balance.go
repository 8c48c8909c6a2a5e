package pools

import (
	"math"
	"time"
)

// balancer computes the free capacity of the members of a least-load pool. Guarded by Tree.writing.
type balancer struct {
	pool    ID
	ttl     time.Duration // how long clients hold an answer of the pool
	rounds  reportRounds
	solves  bool // two rounds of reports were seen, or restored from an earlier process
	members []balanced

	heldUntil time.Time // as shedState.heldUntil

	now []reported // by member, while free capacities are computed
}

// balanced is the state of one member of a least-load pool.
type balanced struct {
	lag       lagged  // the share of the draws that is answered with it
	demand    float64 // the load if all clients used it
	estimated bool    // demand is set
}

// reported is the current weight and reported load of a member of a least-load pool.
type reported struct {
	usage
	weight float64
	counts bool // it is eligible
}

// newBalancer returns the balancer of a least-load pool.
func (t *Tree) newBalancer(id ID) balancer {
	p := &t.pools[id]
	b := balancer{pool: id, ttl: unboundTTL, members: make([]balanced, p.members)}
	if t.ttls != nil {
		b.ttl = t.ttls[id]
	}
	for m := range p.members {
		b.rounds.interval = max(b.rounds.interval, t.longest(memberRef{uint32(id), m}, interval))
	}
	return b
}

// updateFreeCapacity computes the free capacities of all least-load pools.
func (d *builder) updateFreeCapacity() {
	for i := range d.tree.balancers {
		b := &d.tree.balancers[i]
		d.readReports(b)
		b.estimate()
		d.setRooms(b)
	}
}

// setRooms computes the free capacities of a pool from the reports that were read.
func (d *builder) setRooms(b *balancer) {
	p := &d.tree.pools[b.pool]
	for m, room := range b.rooms() {
		if at, word := d.tree.withFreeCapacity+p.room+uint32(m), math.Float64bits(room); d.word(at) != word {
			d.setBit(at, word)
		}
	}
	b.now = nil
}

// readReports reads the reports of the members.
func (d *builder) readReports(b *balancer) {
	p := &d.tree.pools[b.pool]
	b.now = make([]reported, len(b.members))
	for i := range b.now {
		m := &b.now[i]
		m.usage = d.usageOfMember(memberRef{uint32(b.pool), uint32(i)})
		m.weight = float64(d.tree.weights[p.first+uint32(i)])
		m.counts = d.isEligible(p, i, IPv4) || d.isEligible(p, i, IPv6)
		b.members[i].estimated = b.members[i].estimated && (m.known || !b.heldUntil.IsZero())
	}
}

// estimate updates the demands after a complete round of reports, and the demand of members
// with a first report since.
func (b *balancer) estimate() {
	var all usage
	for i := range b.now {
		if m := &b.now[i]; m.weight > 0 {
			all.add(m.usage)
		}
	}
	far, before := 0., b.rounds.stepped
	if all.known && b.rounds.complete(&all) {
		b.solves = b.solves || !b.rounds.stepped.IsZero()
		far = b.rounds.step(all.at, b.ttl)
		b.heldUntil = time.Time{}
	}
	for i := range b.members {
		m, now := &b.members[i], &b.now[i]
		if !now.known || !now.counts { // a member that no client is answered with gives no information
			continue
		}
		demand := now.load / max(m.lag.at(now.at, b.ttl), leastKept)
		switch {
		case !m.estimated:
			m.demand, m.estimated = demand, true
		case m.lag.isReturning(now.at, b.ttl):
		case now.at.After(before):
			m.demand += far * (demand - m.demand)
		}
	}
}

// leastFree is the part of all capacity that counts as free if less is free.
const leastFree = 0.05

// rooms returns the free capacity of each member: its weight times the capacity that is free
// once each member's share of the clients is in proportion to its free capacity. With
// a share p, room is weight * (capacity - demand * p); with p = room * level it is
//
//	room = weight * capacity / (1 + level * weight * demand)
//
// The level is the one at which the shares add up to 1. Using the capacity that is free now
// instead is a controller with a gain of used / free, which oscillates
// from half the capacity on. If less than leastFree of all capacity would be left, all
// capacities are scaled by one factor, so that all members are used to about the same part.
func (b *balancer) rooms() []float64 {
	capacities := b.capacities()
	if !b.solves {
		return b.freeNow(capacities)
	}
	solved := leveling{balancer: b, capacities: capacities, scale: 1, among: b.among()}
	if most := solved.shares(math.Inf(1)); most*(1-leastFree) < 1 {
		solved.scale = 1 / (most * (1 - leastFree))
	}
	return solved.rooms(solved.level())
}

// capacities returns the capacities of the members; a member without one gets the mean.
func (b *balancer) capacities() []float64 {
	var known mean
	for i := range b.now {
		if m := &b.now[i]; m.capacity > 0 && m.weight > 0 {
			known.add(m.capacity)
		}
	}
	all := make([]float64, len(b.members))
	for i := range b.members {
		if all[i] = b.now[i].capacity; all[i] == 0 {
			all[i] = known.or(1)
		}
	}
	return all
}

// freeNow returns the capacities that are free now. It is used for the first reports, while the
// share of the clients that caused these loads is not known.
func (b *balancer) freeNow(capacities []float64) []float64 {
	var free mean
	for i := range b.members {
		if m := &b.now[i]; m.known && m.weight > 0 {
			free.add(max(0, 1-m.load/m.capacity))
		}
	}
	rooms := make([]float64, len(b.members))
	for i := range b.members {
		m := &b.now[i]
		part := free.or(1)
		if m.known {
			part = max(0, 1-m.load/m.capacity)
		}
		rooms[i] = m.weight * capacities[i] * part
	}
	return rooms
}

// among returns the members that the clients are divided among: the eligible ones, or all if
// none is eligible.
func (b *balancer) among() []bool {
	all, some := make([]bool, len(b.members)), false
	for i := range b.members {
		all[i] = b.now[i].counts
		some = some || all[i]
	}
	for i := range all {
		all[i] = all[i] || !some
	}
	return all
}

// leveling finds the level at which the shares of a balancer's members add up to 1.
type leveling struct {
	*balancer
	capacities []float64
	scale      float64 // of the capacities
	among      []bool
}

// level searches for the level; the shares grow with it.
func (l *leveling) level() float64 {
	sum := 0.
	for i := range l.members {
		if l.among[i] {
			sum += l.now[i].weight * l.capacities[i] * l.scale
		}
	}
	if sum == 0 {
		return 0
	}
	low, high := 0., 1/sum
	for range 200 { // enough for a demand of 2^200 capacities
		if l.shares(high) >= 1 {
			break
		}
		low, high = high, 2*high
	}
	for range 60 {
		if middle := (low + high) / 2; l.shares(middle) < 1 {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// shares returns the sum of the shares at a level, which may be infinite.
func (l *leveling) shares(level float64) (sum float64) {
	free, unknown := mean{}, 0.
	for i := range l.members {
		m, weight := &l.members[i], l.now[i].weight
		switch {
		case !l.among[i] || weight == 0:
		case !m.estimated:
			unknown += weight * l.capacities[i] * l.scale
		case math.IsInf(level, 1):
			sum += l.capacities[i] * l.scale / m.demand
			free.add(1 / (weight * m.demand)) // times the level
		default:
			part := 1 / (1 + level*weight*m.demand)
			sum += level * weight * l.capacities[i] * l.scale * part
			free.add(level * part)
		}
	}
	switch {
	case unknown == 0:
		return sum
	case free.n == 0:
		return sum + level*unknown
	}
	return sum + unknown*free.or(1)
}

// rooms returns the free capacities at a level. A member without a known load gets the mean
// free part of the others. A member that is full without any share has no free capacity.
func (l *leveling) rooms(level float64) []float64 {
	var free mean
	for i := range l.members {
		if m, weight := &l.members[i], l.now[i].weight; l.among[i] && weight > 0 && m.estimated {
			free.add(1 / (1 + level*weight*m.demand))
		}
	}
	rooms := make([]float64, len(l.members))
	for i := range l.members {
		m, now := &l.members[i], &l.now[i]
		rooms[i] = now.weight * l.capacities[i] * l.scale
		switch {
		case !m.estimated:
			rooms[i] *= free.or(1)
		case now.load >= l.capacities[i]*l.scale && m.lag.at(now.at, l.ttl) < leastKept:
			rooms[i] = 0
		default:
			rooms[i] /= 1 + level*now.weight*m.demand
		}
	}
	return rooms
}

// followShares records the share of the draws that each member has from now on.
func (b *balancer) followShares(st *state) {
	t, p := st.tree, &st.tree.pools[b.pool]
	rooms, sum := make([]float64, len(b.members)), 0.
	for i := range rooms {
		if st.isEligible(p, i, IPv4) || st.isEligible(p, i, IPv6) {
			room := math.Float64frombits(st.word(t.withFreeCapacity + p.room + uint32(i)))
			rooms[i] = room * float64(fractionOf(st.slow, p.first+uint32(i))) / full
		}
		sum += rooms[i]
	}
	for i := range rooms {
		b.members[i].lag.set(rooms[i]/max(sum, math.SmallestNonzeroFloat64), t.reportClock, b.ttl)
	}
}

// mean is the mean of added numbers.
type mean struct{ sum, n float64 }

func (m *mean) add(x float64) { m.sum, m.n = m.sum+x, m.n+1 }

// or returns the mean, or other if no number was added.
func (m *mean) or(other float64) float64 {
	if m.n == 0 {
		return other
	}
	return m.sum / m.n
}
