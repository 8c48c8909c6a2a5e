package pools

// CarryOver makes what outlives the tree that served before that of t, in place of
// what t had: the overrides, the load reports, what is shed by them,
// and what max_ejection goes by. Pools, members, checks
// and regions are known by their names. It comes before the first Apply, or the
// verdicts known already would count as first ones.
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
	t.inheritEstablished(before, established)
	t.overrideLocked(overrides)
	t.carryOverLoads(before, loads, &memories)
}
