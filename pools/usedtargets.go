package pools

// UsedTargets returns the targets that decide the answers of pools, by their index in Targets, in order: those of the
// members of the pools, of their nested pools, of their fallbacks, and of the regions of all these members.
func (t *Tree) UsedTargets(asked []ID) []int {
	u := usedTargets{tree: t, pools: make([]bool, len(t.pools)), targets: make([]bool, len(t.targets))}
	for _, id := range asked {
		u.addPool(uint32(id))
		if p := &t.pools[id]; p.fallback != none && t.bound[id] {
			u.addPool(p.fallback)
		}
	}
	var all []int
	for target, used := range u.targets {
		if used {
			all = append(all, target)
		}
	}
	return all
}

// usedTargets collects pools and targets.
type usedTargets struct {
	tree    *Tree
	pools   []bool
	targets []bool
}

// addPool adds a pool with its nested pools.
func (u *usedTargets) addPool(id uint32) {
	if u.pools[id] {
		return
	}
	u.pools[id] = true
	t, p := u.tree, &u.tree.pools[id]
	for i := range p.members {
		m := &t.members[p.first+i]
		u.addRegion(memberRef{id, i})
		if m.child != none {
			u.addPool(m.child)
			continue
		}
		t.eachTarget(memberRef{id, i}, m, func(target uint32, _ memberRef) { u.targets[target] = true })
	}
}

// addRegion adds the targets of the region of a member.
func (u *usedTargets) addRegion(m memberRef) {
	t := u.tree
	if len(t.checked) == 0 {
		return
	}
	if number, ok := t.checkOf[t.cfg.Pools[m.pool].Members[m.member].Region]; ok {
		for _, ref := range t.checked[number].refs {
			u.targets[ref.target] = true
		}
	}
}
