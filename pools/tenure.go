package pools

import "time"

// tenure is since when a pool has been as it is for a family. It is for telling
// only: no decision looks at it.
type tenure struct {
	mode      Mode
	modeSince time.Time
	live      bool
	liveSince time.Time
}

// at is the tenure at a time at which the pool has a mode, and is live or not.
func (n tenure) at(mode Mode, live bool, now time.Time) tenure {
	if n.mode != mode || n.modeSince.IsZero() {
		n.mode, n.modeSince = mode, now
	}
	if n.live != live || n.liveSince.IsZero() {
		n.live, n.liveSince = live, now
	}
	return n
}

// tenuresLocked takes note of how a pool stands in the state that was just made.
func (t *Tree) tenuresLocked(id ID, now time.Time) {
	for _, f := range []Family{IPv4, IPv6} {
		mode, _, _ := t.next.answerer(id, f)
		t.tenures[id][f] = t.tenures[id][f].at(mode, t.next.isLive(id, f, asIs), now)
	}
}

// tenure is since when a pool has the mode, and is live or not, that a state says:
// zero where the newest state says otherwise.
func (st *state) tenure(id ID, f Family) (modeSince, liveSince time.Time) {
	mode, _, _ := st.answerer(id, f)
	st.tree.writing.Lock()
	n := st.tree.tenures[id][f]
	st.tree.writing.Unlock()
	if n.mode == mode {
		modeSince = n.modeSince
	}
	if n.live == st.isLive(id, f, asIs) {
		liveSince = n.liveSince
	}
	return modeSince, liveSince
}

// InheritTenures makes since when the pools of t are as they are that of the tree
// that served before, where they were so in it. It comes when t begins to answer.
func (t *Tree) InheritTenures(before *Tree) {
	was := map[string][2]tenure{}
	before.writing.Lock()
	for id := range before.pools {
		was[before.cfg.Pools[id].Name] = before.tenures[id]
	}
	before.writing.Unlock()
	t.writing.Lock()
	defer t.writing.Unlock()
	for id := range t.pools {
		then, known := was[t.cfg.Pools[id].Name]
		for f := range then {
			if now := &t.tenures[id][f]; known && now.mode == then[f].mode {
				now.modeSince = then[f].modeSince
			}
			if now := &t.tenures[id][f]; known && now.live == then[f].live {
				now.liveSince = then[f].liveSince
			}
		}
	}
}
