package pools

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

	"meridian/config"
	"meridian/health"
	"meridian/pools/internal/bitset"
	"meridian/pools/internal/rendezvous"
)

// byHash returns the member to which the client's network is assigned by
// weighted rendezvous hashing (Thaler and Ravishankar 1998; the weights after
// Schindelhauer and Schomaker 2005): every member has its own score for every
// network, and the eligible member with the best score is chosen.
//
//	score = -log2(u) / weight    u: hash of pool, member and network, uniform over 0..1; the lowest is best
//
//	change                         clients that move
//	a member goes down             its clients: each moves to its next best member
//	it comes back                  the same clients, back to it
//	a member is added              of every other member the share that the new one should have: to it
//	a weight grows or shrinks      the difference, to or from that member
//	the order in the file          none
//	the slot, under sticky: ttl    as with another network, see slotOf
//	the pool's or a member's name  as with another pool or member
//
// Scores depend only on names, weight and network, so every node and every
// restart agrees. A member has its share of the networks, weight / sum of the
// eligible weights, to one part in a thousand.
func (s *Scratch) byHash(v *frame, from bitset.Set) int {
	network := s.networkNow(v)
	best, cost, weight := -1, uint64(0), uint64(0)
	for i, w := range from {
		for ; w != 0; w &= w - 1 {
			m := i<<6 + bits.TrailingZeros64(w)
			c := s.tree.log2.Cost(mix(network ^ s.tree.keys[v.keys+uint32(m)]))
			of := s.reducedWeight(v, m)
			if best < 0 || rendezvous.Less(c, of, cost, weight) {
				best, cost, weight = m, c, of
			}
		}
	}
	return best
}

// lookAtNetwork widens the scope to the client's network, which has one answer as a whole,
// but not to adjacent private networks: their clients are not hashed by address.
func (s *Scratch) lookAtNetwork(v *frame) {
	_, scope := s.tree.geoTables[v.table].Nearest(s.client)
	s.scope = max(s.scope, scope, uint8(v.maskOf(s.client)))
	s.record.ranked(s, v)
}

// maskOf returns how many bits of the client's address form its network.
func (p *pool) maskOf(client netip.Addr) int {
	if client.Is4() || client.Is4In6() {
		return int(p.mask[IPv4])
	}
	return int(p.mask[IPv6])
}

// network returns a hash of the client's network.
func (p *pool) network(client netip.Addr) uint64 {
	if client.Is4() || client.Is4In6() {
		b := client.As4()
		return mix(uint64(binary.BigEndian.Uint32(b[:])>>(32-p.mask[IPv4])) + golden)
	}
	b := client.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if mask := p.mask[IPv6]; mask <= 64 {
		hi, lo = hi>>(64-mask), 0
	} else {
		lo >>= 128 - mask
	}
	return mix(mix(hi+golden) ^ lo)
}

// hash compiles the settings of a pool that chooses by the client's network. The table keeps
// the scope out of private networks.
func (c *compiler) hash(from *config.Pool, p *pool) {
	c.hashKeys(from, p)
	p.perTTL = from.StickyTTL
	p.table = c.everyClient(from)
}

// hashKeys sets the score keys of a pool's members.
func (c *compiler) hashKeys(from *config.Pool, p *pool) {
	t := c.tree
	p.mask = [2]uint8{uint8(min(max(1, from.Hash.IPv4), 32)), uint8(min(max(1, from.Hash.IPv6), 128))}
	p.keys = uint32(len(t.keys))
	for i := range from.Members {
		t.keys = append(t.keys, keyOf(from.Name, from.Members[i].Name))
	}
	if t.log2 == nil {
		t.log2 = rendezvous.NewTable()
	}
}

// everyClient returns the number of the table that only separates public from private clients.
func (c *compiler) everyClient(from *config.Pool) uint32 {
	const all = "default"
	table, ok := c.tables[all]
	if !ok {
		table = uint32(len(c.rankings))
		c.tables[all] = table
		c.rankings = append(c.rankings, ranking{pool: from, matches: []config.Match{{Default: true}}, owners: []int{0}})
	}
	return table
}

// keyOf returns the key of a member's scores: FNV-1a of its pool's name and its
// own, mixed. It must never change: clients would change members.
func keyOf(pool, member string) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	for _, b := range []byte(pool + "\x00" + member) {
		h = (h ^ uint64(b)) * prime
	}
	return mix(h)
}

// whyHash explains why a hash chose m.
func (s *Scratch) whyHash(v *frame, from bitset.Set, m int) string {
	network, err := s.client.Unmap().WithZone("").Prefix(v.maskOf(s.client))
	if err != nil {
		panic("pools: a mask longer than the client's address") // hash bounds it
	}
	if v.perTTL {
		slot := s.slotOf(v)
		return fmt.Sprintf("the hash of %s from %s to %s selects it; %s of all networks", network,
			health.FormatTime(slot.From), health.FormatTime(slot.Until), s.whyWeight(v, from, m))
	}
	return fmt.Sprintf("the hash of %s selects it; %s of all networks", network, s.whyWeight(v, from, m))
}

// choices orders the eligible members by their scores for the client's network,
// the first choice first. For explain.
func (s *Scratch) choices(v *frame) []int {
	copy(v.scratchSet, v.eligible)
	var order []int
	for v.scratchSet.Any() {
		m := s.byHash(v, v.scratchSet)
		v.scratchSet.Remove(m)
		order = append(order, m)
	}
	return order
}

// ranked records which choice of the client's network each member is.
func (r *recorder) ranked(s *Scratch, v *frame) {
	if r != nil {
		r.recordRanks(s, v)
	}
}

func (r *recorder) recordRanks(s *Scratch, v *frame) {
	for i, m := range s.choices(v) {
		r.steps[v.step+m].Rank = i + 1
		if v.perTTL {
			slot := s.slotOf(v)
			r.steps[v.step+m].Slot = &slot
		}
	}
}

// whyOtherHash returns which choice of the client's network m is.
func (s *Scratch) whyOtherHash(v *frame, m int) string {
	step := &s.record.steps[v.step+m]
	if step.Slot != nil {
		return fmt.Sprintf("%s choice of this network until %s", ordinal(step.Rank), health.FormatTime(step.Slot.Until))
	}
	return ordinal(step.Rank) + " choice of this network"
}

// ordinal returns "first" for 1, "11th" for 11.
func ordinal(n int) string {
	words := [...]string{"", "first", "second", "third", "fourth", "fifth"}
	if n < len(words) {
		return words[n]
	}
	suffix := "th"
	if tens := n / 10 % 10; tens != 1 && n%10 >= 1 && n%10 <= 3 {
		suffix = [...]string{"", "st", "nd", "rd"}[n%10]
	}
	return fmt.Sprint(n, suffix)
}
