package pools

import "meridian/config"

// fairShare is the load of a pool to be shared fairly: that of its
// eligible members with a known load.
type fairShare struct {
	made   bool
	pool   ID
	load   float64
	weight float64 // of the same members
}

// fairShareIn computes the fair share of a pool with a bound, unless are holds it already.
func (d *builder) fairShareIn(id ID, are *fairShare) {
	if d.tree.cfg.Pools[id].Bound == 0 || are.made && are.pool == id {
		return
	}
	*are = fairShare{made: true, pool: id}
	p := &d.tree.pools[id]
	for m := range p.members {
		if !d.isEligible(p, int(m), IPv4) && !d.isEligible(p, int(m), IPv6) {
			continue
		}
		if now := d.usageOfMember(memberRef{uint32(id), m}); now.known {
			are.load += now.load
			are.weight += float64(d.tree.weights[p.first+m])
		}
	}
}

// applyBound computes the part of its clients that a member of a hash pool keeps,
// so that it carries at most `bound` of its fair share of the load (after Mirrokni,
// Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018):
//
//	the member, its demand over bound · weight / sum of weights · load of all  keeps
//	is not eligible                                                            what it kept
//	has none, or there is no load at all                                       a quarter more, up to all
//	at most 1                                                                  the part that settles at 1, at most a quarter more
//	above 1                                                                    the part that settles at 1
//	is not known                                                               all, see updateShedding
//
// In the paper a ball that finds a bin full goes on to the next one. Here clients are not
// counted, so the loads come from reports, and the part is found as for shed, with
// both marks at the bound. A kept part lowers the member's weight in byHash: its
// own clients, and no others, go to their next choices, and come back the same way.
func (d *builder) applyBound(unit *shedGroup, fair *fairShare) {
	m, p := unit.members[0], &d.tree.pools[unit.pool]
	if !d.isEligible(p, int(m), IPv4) && !d.isEligible(p, int(m), IPv6) {
		return
	}
	used := 0. // of the bound, if the member kept all
	if most := fair.most(float64(d.tree.cfg.Pools[unit.pool].Bound)/100, float64(d.tree.weights[p.first+m])); most > 0 {
		used = unit.demand / most
	}
	unit.within = inSteps(nextKept(unit.within, used, config.Shed{Low: 100, High: 100}), unit.within)
}

// most returns the load that a member of a weight carries at most.
func (f *fairShare) most(bound, weight float64) float64 {
	if f.weight == 0 {
		return 0
	}
	return bound * weight / f.weight * f.load
}
