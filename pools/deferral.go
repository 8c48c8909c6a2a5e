package pools

import (
	"cmp"
	"slices"
	"time"

	"meridian/config"
	"meridian/pools/internal/bitset"
)

// Deferral is a member with a deferred ejection, or the end of a deferral: the pool
// treats the member as up although its checks say down, because of max_ejection.
type Deferral struct {
	Pool, Member string
	Since        time.Time // when it was deferred
	Reason       string    // why the member is down
	End          DeferralEnd
}

// DeferralEnd is how a Deferral ended.
type DeferralEnd uint8

// DeferralEnd values.
const (
	Ongoing   DeferralEnd = iota // it has not ended
	Ejected                      // the pool now treats the member as down
	Recovered                    // the member is up
	Removed                      // by a reload: the member or its bound is gone
)

func (e DeferralEnd) String() string {
	return [...]string{"deferred", "ejected", "recovered", "removed"}[e]
}

// TakeDeferrals returns the deferrals that began or ended since the last call.
func (t *Tree) TakeDeferrals() []Deferral {
	t.writing.Lock()
	defer t.writing.Unlock()
	pending := t.ejections.news
	t.ejections.news = nil
	return pending
}

// Deferrals lists the current deferrals, in the order of pools and members.
func (t *Tree) Deferrals() []Deferral {
	var all []Deferral
	for _, m := range t.Ejections() {
		if m.Deferred {
			all = append(all, Deferral{Pool: m.Pool, Member: m.Member, Since: m.Since, Reason: m.Reason})
		}
	}
	return all
}

// Ejection is how max_ejection handles a member that is down.
type Ejection struct {
	Pool, Member string
	Deferred     bool      // the pool treats it as up; otherwise as down
	Since        time.Time // when it was deferred or ejected
	Late         bool      // it was deferred before it was ejected
	Damped       bool      // only flap damping holds it down
	Reason       string
	Bound        config.MaxEjection
	Fits         time.Time // of a deferred one: when it may be ejected, if nothing else goes down and nothing recovers; zero: not known
}

// Ejections lists the down members of pools with max_ejection, in the order of
// pools and members.
func (t *Tree) Ejections() []Ejection {
	t.writing.Lock()
	defer t.writing.Unlock()
	var all []Ejection
	for _, m := range t.sortedEjections() {
		if m.unseen || m.down|m.deferred == 0 {
			continue
		}
		u := t.memberRefOf(m.member)
		p := &t.cfg.Pools[u.pool]
		e := Ejection{Pool: p.Name, Member: p.Members[u.member].Name, Since: m.at, Late: m.late, Damped: m.damped, Reason: m.reason, Bound: p.MaxEjection}
		if e.Deferred = m.deferred != 0; e.Deferred {
			e.Since, e.Fits = m.since, t.ejections.pools[u.pool].fitsAt(m)
		}
		all = append(all, e)
	}
	return all
}

func (t *Tree) sortedEjections() []*ejection {
	all := make([]*ejection, 0, len(t.ejections.members))
	for _, m := range t.ejections.members {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *ejection) int { return cmp.Compare(a.member, b.member) })
	return all
}

// fitsAt returns when enough of the recent ejections have left the window for a member
// to be ejected. It ignores members that were deferred before it.
func (e *ejections) fitsAt(m *ejection) time.Time {
	if m.damped {
		return time.Time{}
	}
	left := e.ejected
	for _, r := range e.recent {
		if left == 0 || left+m.weight <= e.limit() {
			break
		}
		if r.counted {
			left -= r.weight
			if left == 0 || left+m.weight <= e.limit() {
				return r.at.Add(e.bound.Window)
			}
		}
	}
	return time.Time{}
}

// noteDeferral records a change of a member's deferral; before: its ejection was deferred.
func (d *builder) noteDeferral(m *ejection, before bool) {
	d.setDeferred(m)
	end := Ongoing
	switch now := m.deferred != 0; {
	case now == before:
		return
	case before && m.down != 0:
		end = Ejected
	case before:
		end = Recovered
	}
	u := d.tree.memberRefOf(m.member)
	p := &d.tree.cfg.Pools[u.pool]
	news := &d.tree.ejections.news
	*news = append(*news, Deferral{p.Name, p.Members[u.member].Name, m.since, m.reason, end})
}

// isDeferred reports whether the ejection of a member is deferred for a family.
func (st *state) isDeferred(member uint32, f Family) bool {
	if len(st.tree.ejections.pools) == 0 { // fast path
		return false
	}
	return st.word(st.tree.deferralAt(member, f))>>(member%64)&1 != 0
}

// deferralAt returns where in a state the bit of a member is.
func (t *Tree) deferralAt(member uint32, f Family) uint32 {
	return t.deferrals + uint32(f)*uint32(bitset.WordsFor(len(t.members))) + member/64
}

// setDeferred stores in the state for which families a member's ejection is deferred.
func (d *builder) setDeferred(m *ejection) {
	for _, f := range []Family{IPv4, IPv6} {
		d.setWord(d.tree.deferralAt(m.member, f), 1<<(m.member%64), m.deferred.has(f))
	}
}
