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
