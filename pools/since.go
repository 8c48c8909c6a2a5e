package pools

import "time"

// since is since when a pool has been as it is for a family. It is for telling
// only: no decision looks at it.
type since struct {
	mode      Mode
	modeSince time.Time
	live      bool
	liveSince time.Time
}

// at is the tenure at a time at which the pool has a mode, and is live or not.
func (n since) at(mode Mode, live bool, now time.Time) since {
	if n.mode != mode || n.modeSince.IsZero() {
		n.mode, n.modeSince = mode, now
	}
	if n.live != live || n.liveSince.IsZero() {
		n.live, n.liveSince = live, now
	}
	return n
}

// sinces is those of a pool, by family. Writers replace it as a whole, so that readers
// need no lock.
type sinces [2]since

// sincesOf returns those of a pool; zero before the first state.
func (t *Tree) sincesOf(id ID) sinces {
	if n := t.since[id].Load(); n != nil {
		return *n
	}
	return sinces{}
}

// tenuresLocked updates the tenures of a pool by the state that was just made.
func (t *Tree) tenuresLocked(id ID, now time.Time) {
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

// sinceOf is since when a pool has the mode, and is live or not, that a state says:
// zero where the newest state says otherwise.
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

// CarryOverSince makes since when the pools of t are as they are that of the tree
// that served before, where they were so in it. It comes when t begins to answer.
func (t *Tree) CarryOverSince(before *Tree) {
	was := make(map[string]ID, len(before.pools))
	for id := range before.pools {
		was[before.cfg.Pools[id].Name] = ID(id)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	for id := range t.pools {
		old, known := was[t.cfg.Pools[id].Name]
		if !known {
			continue
		}
		then, now := before.sincesOf(old), t.sincesOf(ID(id))
		for f := range then {
			if now[f].mode == then[f].mode {
				now[f].modeSince = then[f].modeSince
			}
			if now[f].live == then[f].live {
				now[f].liveSince = then[f].liveSince
			}
		}
		t.since[id].Store(&now)
	}
}
