package pools

import "time"

// since holds since when a pool has its mode and liveness for a family. It is for
// status only: no decision uses it.
type since struct {
	mode      Mode
	modeSince time.Time
	live      bool
	liveSince time.Time
}

// at returns n updated to a mode and liveness at a time.
func (n since) at(mode Mode, live bool, now time.Time) since {
	if n.mode != mode || n.modeSince.IsZero() {
		n.mode, n.modeSince = mode, now
	}
	if n.live != live || n.liveSince.IsZero() {
		n.live, n.liveSince = live, now
	}
	return n
}

// sinces holds the since of a pool, by family. Writers replace it as a whole, so that readers
// need no lock.
type sinces [2]since

// sincesOf returns the sinces of a pool; zero before the first state.
func (t *Tree) sincesOf(id ID) sinces {
	if n := t.since[id].Load(); n != nil {
		return *n
	}
	return sinces{}
}

// updateSinceLocked updates the sinces of a pool from the newest state.
func (t *Tree) updateSinceLocked(id ID, now time.Time) {
	before := t.sincesOf(id)
	next := before
	for _, f := range []Family{IPv4, IPv6} {
		mode, _, _ := t.next.selectSource(id, f)
		next[f] = next[f].at(mode, t.next.isLive(id, f, byVerdict), now)
	}
	if next != before {
		t.since[id].Store(&next)
	}
}

// sinceOf returns since when a pool has its mode and liveness in a state:
// zero if the newest state differs.
func (st *state) sinceOf(id ID, f Family) (modeSince, liveSince time.Time) {
	mode, _, _ := st.selectSource(id, f)
	n := st.tree.sincesOf(id)[f]
	if n.mode == mode {
		modeSince = n.modeSince
	}
	if n.live == st.isLive(id, f, byVerdict) {
		liveSince = n.liveSince
	}
	return modeSince, liveSince
}
