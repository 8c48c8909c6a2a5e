package plan

import (
	"net/netip"

	"meridian/pools"
)

// delta holds the effect of the change on the queries of one class of clients for one pair of
// pools. Shares are parts of those queries, by region number.
type delta struct {
	before, after []float64
	moved         float64
	flows         map[route]float64
	members       map[string]Change // by pool/member
	nested        map[string]Change // members that are pools; members below them get parts of it
	modes         [2]pools.Mode     // answer mode before and after
}

func newDelta(regions int) *delta {
	return &delta{
		before:  make([]float64, regions),
		after:   make([]float64, regions),
		flows:   make(map[route]float64),
		members: make(map[string]Change),
		nested:  make(map[string]Change),
	}
}

// shareSlice is the share of a client's queries at a destination on one side, and the part
// of it that the destination does not have on the other side.
type shareSlice struct {
	region      int
	share, only float64
}

// add adds a part of the class with these probabilities. The losses of destinations go to
// those that gain, in proportion to their gains.
func (d *delta) add(before, after []pools.Probability, part float64, number func(pools.Probability) int) {
	losing, gaining := shareSlices(before, part, number), shareSlices(after, part, number)
	for to, lost := range losing {
		gained := gaining[to]
		kept := min(lost.share, gained.share)
		lost.only, gained.only = lost.share-kept, gained.share-kept
		losing[to] = lost
		if gained.share > 0 {
			gaining[to] = gained
		}
		d.before[lost.region] += lost.share
		d.moved += lost.only
	}
	sum := 0.0
	for _, g := range gaining {
		d.after[g.region] += g.share
		sum += g.only
	}
	for _, lost := range losing {
		for _, g := range gaining {
			if lost.only > 0 && g.only > 0 {
				d.flows[route{lost.region, g.region}] += lost.only * g.only / sum
			}
		}
	}
	d.count(before, after, part)
}

// destination is the address or CNAME of an answer, or the member with its records; the zero value is no answer.
type destination struct {
	addr   netip.Addr
	cname  string
	member string
}

// destinationOf returns where a share leads.
func destinationOf(s pools.Probability) destination {
	to := destination{addr: s.Addr, cname: s.CName}
	if to == (destination{}) && s.Member != "" {
		to.member = s.Pool + "/" + s.Member
	}
	return to
}

// shareSlices returns the share of a client at each destination.
func shareSlices(odds []pools.Probability, part float64, number func(pools.Probability) int) map[destination]shareSlice {
	all := make(map[destination]shareSlice, len(odds))
	for _, s := range odds {
		to := destinationOf(s)
		at := all[to]
		at.share += part * s.P
		at.only, at.region = at.share, number(s)
		all[to] = at
	}
	return all
}

// epsilon is the tolerance for rounding errors: smaller probabilities count as 0.
const epsilon = 1e-9

// count adds the shares of members.
func (d *delta) count(before, after []pools.Probability, part float64) {
	for _, s := range before {
		d.member(s, Change{Before: part * s.P})
	}
	for _, s := range after {
		d.member(s, Change{After: part * s.P})
	}
}

func (d *delta) member(s pools.Probability, more Change) {
	if s.Member == "" {
		return
	}
	name := s.Pool + "/" + s.Member
	m := d.members[name]
	d.members[name] = Change{m.Before + more.Before, m.After + more.After}
}

// pass adds the shares of members that are pools, before (side 0) or after (side 1).
func (d *delta) pass(side int, through []pools.Nested) {
	for _, n := range through {
		name := n.Pool + "/" + n.Member
		change := d.nested[name]
		if side == 0 {
			change.Before += n.P
		} else {
			change.After += n.P
		}
		d.nested[name] = change
	}
}
