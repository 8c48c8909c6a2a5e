package pools

import (
	"iter"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/health"
)

// PoolStatus is the status of a pool at one moment.
type PoolStatus struct {
	Pool      string
	Policy    string
	DualStack string  // independent or together
	Mode      [2]Mode // by family: how it answers a name, even if none is bound to it
	Live      [2]bool // by family: as its parents see it
	Eligible  [2]int  // by family: how many of its members are eligible
	Need      int     // how many eligible members make it live
	Members   []MemberStatus
	Lost      []LostRegion // the regions with spread clients; usually empty

	ModeSince [2]time.Time // by family: since when it has this mode
	LiveSince [2]time.Time // by family: since when it is live, or not
}

// MemberStatus is the status of a member. Its State is disabled, drained, forced up,
// forced down or ejection deferred; otherwise of an endpoint up, unknown, uncertain, down or unresolved, of a
// pool live, or not live and why.
type MemberStatus struct {
	Member    string
	Region    string        // empty: none
	Nested    string        // the nested pool; empty: an endpoint
	Target    config.Target // the name that its addresses come from; empty: none
	CName     dnsname.Name  // the name that is answered; empty: none
	Enabled   bool
	Weight    int
	State     string    // see above
	Override  *Override // the one that applies; nil: none
	Eligible  [2]bool   // by family
	Load      *StepLoad // nil: it is never reported
	Addresses []AddressStatus

	// Of a nested pool only: how many of its members are eligible, of how many that
	// can be eligible, how many must be, and since when it is live, or not.
	Up, Of, Need int
	LiveSince    time.Time
}

// RegionStatus is the status of a region with a check.
type RegionStatus struct {
	Region    string
	Down      bool // and with it all its members
	Addresses []AddressStatus
}

// AddressStatus is the status of an address of an endpoint or region.
type AddressStatus struct {
	Addr    netip.Addr
	Target  int            // index in Targets; -1: no check
	Verdict health.Verdict // an address without a check is up
	Up      bool           // answers treat it as up
}

// Status yields the status of every pool, in the order of the configuration, all of
// one moment. It is safe for concurrent use.
func (t *Tree) Status() iter.Seq[PoolStatus] {
	st := t.state.Load()
	return func(yield func(PoolStatus) bool) {
		for id := range t.pools {
			if !yield(st.poolStatus(ID(id))) {
				return
			}
		}
	}
}

func (st *state) poolStatus(id ID) PoolStatus {
	p := &st.tree.cfg.Pools[id]
	s := PoolStatus{Pool: p.Name, Policy: string(p.Policy), DualStack: string(p.DualStack), Need: st.need(id), Members: make([]MemberStatus, len(p.Members))}
	for _, f := range []Family{IPv4, IPv6} {
		s.Mode[f], _, _ = st.selectSource(id, f)
		s.Live[f] = st.isLive(id, f, byVerdict)
		s.Eligible[f] = st.countEligible(id, f, byVerdict)
		s.ModeSince[f], s.LiveSince[f] = st.sinceOf(id, f)
	}
	if st.tree.pools[id].scores != none {
		s.Lost = st.lostRegionsOf(id)
	}
	for i := range p.Members {
		s.Members[i] = st.memberStatus(id, i)
	}
	return s
}

func (st *state) memberStatus(id ID, i int) MemberStatus {
	p, from := &st.tree.pools[id], &st.tree.cfg.Pools[id].Members[i]
	m := &st.tree.members[p.first+uint32(i)]
	s := MemberStatus{
		Member: from.Name, Region: from.Region, Nested: from.Pool, Target: from.Target, CName: from.CName, Enabled: from.Enabled, Weight: from.Weight,
		Eligible: [2]bool{st.isEligible(p, i, IPv4), st.isEligible(p, i, IPv6)},
	}
	if h := st.memberOverride(p.first + uint32(i)); h != nil {
		s.Override = &st.overrides[h.order]
	}
	s.Load = st.stepLoad(memberRef{uint32(id), uint32(i)})
	if m.child == none {
		s.Addresses = st.addressStatus(m)
	}
	f := IPv4
	if m.child == none && m.n4 == 0 || m.child != none && !st.tree.pools[m.child].has[IPv4] {
		f = IPv6
	}
	s.State = st.verdictText(id, i, f)
	if m.child != none {
		s.Up, s.Of, s.Need = st.countEligible(ID(m.child), f, byVerdict), st.candidates(ID(m.child)), st.need(ID(m.child))
		_, s.LiveSince = st.sinceOf(ID(m.child), f)
	}
	return s
}

func (st *state) isEligible(p *pool, i int, f Family) bool {
	return st.word(p.eligible(f, byVerdict)+uint32(i)/64)>>(uint(i)%64)&1 != 0
}

func (st *state) addressStatus(m *member) []AddressStatus {
	var addresses []AddressStatus
	for _, f := range []Family{IPv4, IPv6} {
		for _, r := range st.tree.addrs(m, f) {
			if r.addr&aliasBit != 0 {
				continue
			}
			a := AddressStatus{Addr: st.tree.addr(f, r.addr), Target: -1, Verdict: health.Up, Up: true}
			if r.target != none {
				a = st.targetStatus(r.target, a.Addr)
			}
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// targetStatus returns the status of a target at its address.
func (st *state) targetStatus(target uint32, addr netip.Addr) AddressStatus {
	return AddressStatus{addr, int(target), st.verdict(target), !st.isDown(target)}
}

// provisional returns Step.Provisional of a member.
func (r *recorder) provisional(u memberRef) []AddressStatus {
	var refs []addrRef
	if m := &r.tree.members[r.tree.pools[u.pool].first+u.member]; m.child == none {
		refs = append(refs, r.tree.verdictAddrs(m, r.family)...)
	}
	if region := r.state.regionDown(u); region != nil {
		refs = append(refs, region.refs...)
	}
	var found []AddressStatus
	for _, ref := range refs {
		if ref.target != none && r.state.isProvisional(ref.target) {
			found = append(found, r.state.targetStatus(ref.target, r.tree.targets[ref.target].Addr))
		}
	}
	return found
}

// isProvisional reports whether a target is not known to be up, or is in slow start.
func (st *state) isProvisional(target uint32) bool {
	v := st.verdict(target)
	return v != health.Up || fractionOf(st.starting, target) != full
}

// Regions returns the status of the regions with a check, in the order of the
// configuration.
func (t *Tree) Regions() []RegionStatus {
	st := t.state.Load()
	regions := make([]RegionStatus, len(t.checked))
	for i := range t.checked {
		r, s := &t.checked[i], &regions[i]
		s.Region, s.Down = r.config.Name, st.isRegionDown(uint32(i))
		for j, ref := range r.refs {
			s.Addresses = append(s.Addresses, st.targetStatus(ref.target, r.config.Addresses[j]))
		}
	}
	return regions
}

// EjectionDeferred is the State of a member that is down but treated as up.
const EjectionDeferred = "ejection deferred"

// verdictText returns a member's state for a family, the first row that applies:
//
//	enabled  override     state
//	no       -            disabled
//	yes      drained      drained
//	yes      forced up    forced up
//	yes      forced down  forced down
//	yes      none         ejection deferred, if max_ejection has it treated as up
//	yes      none         unresolved, of a target without an address
//	yes      none         that of a pool, or the health state of an endpoint's addresses
func (st *state) verdictText(id ID, i int, f Family) string {
	p := &st.tree.pools[id]
	m := &st.tree.members[p.first+uint32(i)]
	kind := st.kind(p.first + uint32(i))
	switch {
	case !st.tree.cfg.Pools[id].Members[i].Enabled:
		return "disabled"
	case kind != 0:
		return kind.String()
	case st.isDeferred(p.first+uint32(i), f):
		return EjectionDeferred
	case m.child != none:
		return st.nestedVerdict(p, ID(m.child), f)
	case m.addresses() == 0:
		return "unresolved"
	case p.together:
		return st.togetherVerdict(m).String()
	}
	return st.endpointVerdict(m, f).String()
}

// endpointVerdict returns the best health state of the addresses that count for a family:
//
//	an address is   the endpoint is
//	up              up
//	unknown         unknown, because that counts as up
//	uncertain       uncertain
//	down            down
func (st *state) endpointVerdict(m *member, f Family) health.Verdict {
	found := health.Down
	for _, ref := range st.tree.verdictAddrs(m, f) {
		switch v := st.refVerdict(ref); {
		case v == health.Up:
			return health.Up
		case v == health.Unknown, v == health.Uncertain && found == health.Down:
			found = v
		}
	}
	return found
}

// refVerdict returns the health state of one address; without a check it is up.
func (st *state) refVerdict(a addrRef) health.Verdict {
	if a.target == none {
		return health.Up
	}
	return st.verdict(a.target)
}
