package pools

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Kind is the effect of an operator's override on a member.
type Kind uint8

// Kind values.
const (
	Drained       Kind = iota + 1 // never answered, even when failing open, and not counted by a min_up in percent
	ForcedUp                      // its health state counts as up; a pool as a member: as live while one of its members is
	ForcedDown                    // its health state counts as down: never answered, even when failing open
	AssumedDown                   // for forecasts: its addresses count as down, and failing open may answer them
	ReducedWeight                 // it gets Percent of the clients that it would get; 0: as Drained
)

func (k Kind) String() string {
	return [...]string{"", "drained", "forced up", "forced down", "down", "weight"}[k]
}

// Override is an operator's override of some members, selected by one of
//
//	Pool and Member   that member
//	Address           every endpoint with the address, in all pools
//	Pool alone        every member of the pool
//	Region alone      every member in the region, in all pools
//
// A star in Pool, Member and Region stands for any characters. For a member with several overrides
// the first of these rows applies; within a row a name before one with a star, then the later one
// in the list. A pool as a member is a member like any other.
type Override struct {
	Pool, Member, Region string
	Address              netip.Addr
	Kind                 Kind
	Percent              float64   // of ReducedWeight: 0 to 100
	Reason               string    // the operator's; may be empty
	Since                time.Time // when it was set
	Until                time.Time // the first Tick from then on removes it; zero: it stays
}

// memberOverride is an override as applied to one member.
type memberOverride struct {
	member uint32 // in Tree.members
	order  uint32 // in state.overrides
	kind   Kind   // 0: a reduced weight, which changes no eligibility
	part   uint16 // of the clients, in 256ths; full unless the weight is reduced
}

// SetOverrides replaces the overrides of the tree, all at once: a decision
// sees the old ones or the new ones. Overrides that name nothing
// in this tree are returned as unknown; they are kept, because a later tree may have
// their target. The changes are as those of Apply.
func (t *Tree) SetOverrides(overrides []Override) (changes []Change, unknown []Override) {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.overrideLocked(slices.Clone(overrides))
}

// Overrides returns the overrides last set, except expired ones. Do not change them.
func (t *Tree) Overrides() []Override { return t.state.Load().overrides }

func (t *Tree) overrideLocked(overrides []Override) (changes []Change, unknown []Override) {
	d, from := &t.next, t.state.Load()
	d.begin(from)
	d.copyOnWrite()
	d.overrides = overrides
	d.memberOverrides, unknown = t.resolveOverrides(overrides)
	members := changedMembers(from.memberOverrides, d.memberOverrides)
	d.cause.free, d.cause.reason = false, ""
	d.stale = append(d.stale, members...)
	for i, member := range members {
		u := t.memberRefOf(member)
		if i == 0 || members[i-1] < t.pools[u.pool].first {
			d.weigh(ID(u.pool))
		}
		d.recomputeMember(u)
		d.recomputeFailOpen(u)
		d.recomputeMinUp(ID(u.pool))
	}
	d.cause.free = true // if an operator removes members from a pool, its parents lose them
	if len(members) > 0 {
		d.updateFreeCapacity() // drained members have no free capacity, and add none to their pool
	}
	d.propagate(failOpen)
	d.propagate(byVerdict) // with dual_stack: together this reads the fail-open sets
	return t.publishLocked(), unknown
}

// changedMembers returns the members with overrides of different effects.
func changedMembers(before, after []memberOverride) []uint32 {
	var members []uint32
	for i, j := 0, 0; i < len(before) || j < len(after); {
		switch {
		case j == len(after) || i < len(before) && before[i].member < after[j].member:
			members = append(members, before[i].member)
			i++
		case i == len(before) || after[j].member < before[i].member:
			members = append(members, after[j].member)
			j++
		default:
			if before[i].kind != after[j].kind || before[i].part != after[j].part {
				members = append(members, after[j].member)
			}
			i, j = i+1, j+1
		}
	}
	return members
}

// memberRefOf returns the pool and index of a member, given its number among all members.
func (t *Tree) memberRefOf(member uint32) memberRef {
	after, _ := slices.BinarySearchFunc(t.pools, member, func(p pool, member uint32) int {
		if p.first <= member {
			return -1
		}
		return 1
	})
	id := after - 1 // the last pool that begins at member or before; each has a member
	return memberRef{uint32(id), member - t.pools[id].first}
}

// memberOverride returns the override of a member; nil: none.
func (st *state) memberOverride(member uint32) *memberOverride {
	i, ok := slices.BinarySearchFunc(st.memberOverrides, member, func(h memberOverride, member uint32) int { return cmp.Compare(h.member, member) })
	if !ok {
		return nil
	}
	return &st.memberOverrides[i]
}

// kind returns the kind of a member's override; 0: it has none, or a reduced weight.
func (st *state) kind(member uint32) Kind {
	if len(st.memberOverrides) == 0 { // fast path, small enough to be inlined
		return 0
	}
	return st.kindOfMember(member)
}

//go:noinline
func (st *state) kindOfMember(member uint32) Kind { // apart, so that kind can be inlined
	if h := st.memberOverride(member); h != nil {
		return h.kind
	}
	return 0
}

// operatorFraction returns the part of its clients, in 256ths, that a member's override leaves it.
func (st *state) operatorFraction(member uint32) uint64 {
	if h := st.memberOverride(member); h != nil {
		return uint64(h.part)
	}
	return full
}

// overridesIn returns the overrides of a pool's members.
func (st *state) overridesIn(p *pool) []memberOverride {
	from, _ := slices.BinarySearchFunc(st.memberOverrides, p.first, func(h memberOverride, first uint32) int { return cmp.Compare(h.member, first) })
	to, _ := slices.BinarySearchFunc(st.memberOverrides, p.first+p.members, func(h memberOverride, end uint32) int { return cmp.Compare(h.member, end) })
	return st.memberOverrides[from:to]
}

// candidates counts the members of a pool that can be eligible: enabled,
// not drained, and with weight.
func (st *state) candidates(id ID) int {
	p := &st.tree.pools[id]
	n := int(p.weighing)
	for _, h := range st.overridesIn(p) {
		if h.kind == Drained && st.tree.weights[h.member] > 0 {
			n--
		}
	}
	return n
}

// Tick applies changes that depend on time: it removes expired overrides, drops state
// from RestoreLoads that no report has confirmed in time, and ejects the deferred
// members that fit by now. A server calls it about once a second. The changes are as
// those of Apply.
func (t *Tree) Tick(now time.Time) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	ended := func(o Override) bool { return !o.Until.IsZero() && !o.Until.After(now) }
	var changes []Change
	if overrides := t.state.Load().overrides; slices.ContainsFunc(overrides, ended) {
		changes, _ = t.overrideLocked(slices.DeleteFunc(slices.Clone(overrides), ended))
	}
	t.expireRestored(now)
	if !t.ejections.hasPending() {
		return changes
	}
	d := &t.next
	d.begin(t.state.Load())
	d.ejectDeferred(now)
	return append(changes, t.settleChangesLocked()...)
}

// EndFirstRound ends the ejections of CarryOver and RestoreEjections that no health state has confirmed. Call it once, when
// the first round of health checks has ended. Tick ejects no deferred member of them before.
func (t *Tree) EndFirstRound(now time.Time) []Change {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(t.ejections.unseen) == 0 {
		return nil
	}
	d := &t.next
	d.begin(t.state.Load())
	d.endUnconfirmed(now)
	d.ejectDeferred(now)
	return t.settleChangesLocked()
}
