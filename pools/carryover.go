package pools

// CarryOver replaces t's runtime data by that of the tree that served before: the
// overrides, the load reports, the shedding derived from them, and the ejections.
// Pools, members, checks and regions are matched by name. Call it before the first
// Apply, or known health states would count as first ones.
func (t *Tree) CarryOver(before *Tree) {
	before.writing.Lock()
	overrides := before.state.Load().overrides
	loads, memories := before.state.Load().loads, before.loadMemory()
	ejections := before.saveEjectionsLocked()
	established := before.establishedLocked()
	before.writing.Unlock()
	t.writing.Lock()
	defer t.writing.Unlock()
	t.restoreEjectionsLocked(ejections)
	t.carryOverEstablished(before, established)
	t.overrideLocked(overrides)
	t.carryOverLoads(before, loads, &memories)
}

// CarryOverSince copies the times from the tree that served before, for pools that
// have the same mode or liveness in both. Call it when t begins to answer.
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
