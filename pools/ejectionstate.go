package pools

import (
	"slices"
	"time"
)

// SavedEjection is a member of a pool with max_ejection that is down. The JSON form
// outlives the process: fields may be added, but must not change their meaning.
type SavedEjection struct {
	Pool     string    `json:"pool"`
	Member   string    `json:"member"`
	Down     [2]bool   `json:"down"`                      // by family, IPv4 first: treated as down
	Deferred [2]bool   `json:"deferred"`                  // the same: treated as up
	At       time.Time `json:"ejected_at,omitzero"`       // when it was ejected
	Since    time.Time `json:"deferred_since,omitzero"`   // when the ejection was deferred
	Counted  bool      `json:"counted,omitempty"`         // part of the weight that went down within the window
	Held     bool      `json:"held,omitempty"`            // part of the weight that flap damping holds down
	Late     bool      `json:"deferred_before,omitempty"` // its ejection was deferred first
	Reason   string    `json:"reason,omitempty"`
}

// SaveEjections returns what another process is to restore.
func (t *Tree) SaveEjections() []SavedEjection {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.saveEjectionsLocked()
}

func (t *Tree) saveEjectionsLocked() []SavedEjection {
	var all []SavedEjection
	for _, m := range t.sortedEjections() {
		u := t.memberRefOf(m.member)
		p := &t.cfg.Pools[u.pool]
		all = append(all, SavedEjection{
			Pool: p.Name, Member: p.Members[u.member].Name,
			Down: m.down.byFamily(), Deferred: m.deferred.byFamily(), At: m.at, Since: m.since,
			Counted: m.counted, Held: m.held, Late: m.late, Reason: m.reason,
		})
	}
	return all
}

func (f familySet) byFamily() [2]bool { return [2]bool{f.has(IPv4), f.has(IPv6)} }

func familiesOf(by [2]bool) (f familySet) {
	for i, in := range by {
		if in {
			f |= 1 << i
		}
	}
	return f
}

// RestoreEjections restores what another process saved. A time after now means that the
// clock was set back; now replaces it. Call it before the first Apply.
func (t *Tree) RestoreEjections(saved []SavedEjection, now time.Time) {
	saved = slices.Clone(saved)
	for i := range saved {
		s := &saved[i]
		s.At, s.Since = earlier(s.At, now), earlier(s.Since, now)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	t.restoreEjectionsLocked(saved)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// restoreEjectionsLocked replaces the ejections of t by saved ones. They are unseen until
// changes of health state confirm them, or EndFirstRound ends them.
func (t *Tree) restoreEjectionsLocked(saved []SavedEjection) {
	clear(t.ejections.members)
	t.ejections.unseen = nil
	for i := range t.ejections.pools {
		e := &t.ejections.pools[i]
		*e = ejections{bound: e.bound, total: e.total}
	}
	if len(saved) == 0 || len(t.ejections.pools) == 0 {
		return
	}
	type name struct{ pool, member string }
	members := make(map[name]*SavedEjection, len(saved))
	for i := range saved {
		members[name{saved[i].Pool, saved[i].Member}] = &saved[i]
	}
	t.eachMember(func(u memberRef, _ *member) {
		p := &t.cfg.Pools[u.pool]
		if s := members[name{p.Name, p.Members[u.member].Name}]; s != nil {
			t.restoreEjection(u, s)
		}
	})
	for i := range t.ejections.pools {
		e := &t.ejections.pools[i]
		slices.SortStableFunc(e.recent, func(a, b *ejection) int { return a.at.Compare(b.at) })
		slices.SortStableFunc(e.waiting, func(a, b deferred) int { return a.since.Compare(b.since) })
	}
}

func (t *Tree) restoreEjection(u memberRef, s *SavedEjection) {
	e, member := t.ejections.of(u.pool), t.pools[u.pool].first+u.member
	if e == nil || t.weights[member] == 0 {
		return
	}
	m := &ejection{
		member: member, weight: uint64(t.weights[member]), at: s.At, since: s.Since, reason: s.Reason,
		down: familiesOf(s.Down), deferred: familiesOf(s.Deferred), late: s.Late, unseen: true,
	}
	t.ejections.members[member] = m
	t.ejections.unseen = append(t.ejections.unseen, m)
	if s.Counted {
		m.counted = true
		e.ejected += m.weight
		e.recent = append(e.recent, m)
	}
	if s.Held {
		m.damped, m.held = true, true
		e.held += m.weight
		e.holding = append(e.holding, m)
	}
	if m.isOut() {
		e.out += m.weight
	}
	if m.deferred != 0 {
		t.ejections.established.Add(int(member)) // otherwise it would not have been deferred
		e.wait(m)
	}
}

// establishedLocked returns the members and regions that have been up. They are empty if no
// pool has max_ejection.
func (t *Tree) establishedLocked() poolEjections {
	return poolEjections{established: slices.Clone(t.ejections.established), regions: slices.Clone(t.ejections.regions)}
}

// carryOverEstablished takes over from the previous tree which members and regions
// have been up.
func (t *Tree) carryOverEstablished(before *Tree, known poolEjections) {
	if len(t.ejections.pools) == 0 || known.established == nil {
		return
	}
	pools := make(map[string]int, len(before.pools))
	for id := range before.pools {
		pools[before.cfg.Pools[id].Name] = id
	}
	for id := range t.pools {
		from, ok := pools[t.cfg.Pools[id].Name]
		if !ok || t.ejections.of(uint32(id)) == nil {
			continue
		}
		t.carryOverEstablishedOf(id, before, from, known)
	}
	for i := range t.checked {
		name := t.checked[i].config.Name
		number, checked := before.checkOf[name]
		t.ejections.regions[i] = checked && known.regions[number] || !checked && before.hasRegion(name)
	}
}

// carryOverEstablishedOf takes over which members of a pool have been up. The pool is number from in the previous tree.
func (t *Tree) carryOverEstablishedOf(id int, before *Tree, from int, known poolEjections) {
	members := map[string]bool{}
	for i := range before.cfg.Pools[from].Members {
		members[before.cfg.Pools[from].Members[i].Name] = known.established.Has(int(before.pools[from].first) + i)
	}
	for i := range t.cfg.Pools[id].Members {
		if members[t.cfg.Pools[id].Members[i].Name] {
			t.ejections.established.Add(int(t.pools[id].first) + i)
		}
	}
}

// hasRegion reports whether a region of that name exists.
func (t *Tree) hasRegion(name string) bool {
	for i := range t.cfg.Regions {
		if t.cfg.Regions[i].Name == name {
			return true
		}
	}
	return false
}
