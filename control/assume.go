package control

import (
	"iter"
	"net/netip"
	"time"

	"meridian/health"
	"meridian/pools"
	"meridian/snapshot"
)

// Assumption is a change of overrides to forecast. The zero value changes nothing.
type Assumption struct {
	Targets []Selector
	Kind    pools.Kind // AssumedDown: the targets fail; 0: their overrides are removed
	Value   string     // of ReducedWeight: a percentage
}

// Sides are the running server before and after a change, for a forecast. Neither answers queries
// of the forecast: Before is the served snapshot itself, unless it is the healthy one.
type Sides struct {
	Before, After *snapshot.Snapshot
	Release       func() // call it when neither is read any more
}

// Assume returns the present state before and after a change.
func (c *Control) Assume(a Assumption) (*Sides, error) {
	at := c.hold()
	after, err := at.assume(a)
	if err != nil {
		at.Release()
		return nil, err
	}
	return &Sides{at.Snapshot, after, at.Release}, nil
}

// Healthy returns the state in which every member is healthy and has no override, before, and the
// present state, after.
func (c *Control) Healthy() (*Sides, error) {
	at := c.hold()
	tree, err := at.Snapshot.Pools.ResolveAs(at.Snapshot.Pools)
	if err != nil {
		at.Release()
		return nil, err
	}
	healthy := *at.Snapshot
	healthy.Pools = tree
	return &Sides{&healthy, at.Snapshot, at.Release}, nil
}

// assume returns a copy of the present state with a change.
func (at *view) assume(a Assumption) (*snapshot.Snapshot, error) {
	left := at.overrides
	percent, err := parsePercent(a.Value)
	if a.Kind == pools.ReducedWeight && err != nil {
		return nil, err
	}
	for _, t := range a.Targets {
		if err := findTarget(t, at.Snapshot.Config); err != nil {
			return nil, err
		}
		left = left.without(t, true).without(t, false)
	}
	list := left.forTree()
	for _, t := range a.Targets {
		if a.Kind != 0 {
			o := forPools(t, a.Kind)
			o.Percent = percent
			list = append(list, o)
		}
	}
	return at.copyOf(at.Snapshot, list)
}

// copyOf returns a snapshot with a copy of its pools in the present state, but with these overrides. Nothing that
// serves is compiled again, so any number of requests may copy at once.
func (at *view) copyOf(of *snapshot.Snapshot, list []pools.Override) (*snapshot.Snapshot, error) {
	tree, err := of.Pools.ResolveAs(at.Snapshot.Pools)
	if err != nil {
		return nil, err
	}
	tree.CarryOver(at.Snapshot.Pools)
	tree.Apply(presentStates(at.Snapshot.Pools, tree, time.Now()))
	tree.SetOverrides(list)
	next := *of
	next.Pools = tree
	return &next, nil
}

// presentStates returns the health states of a tree as state changes of another one.
func presentStates(from, to *pools.Tree, now time.Time) []health.Transition {
	type probed struct {
		check string
		addr  netip.Addr
	}
	type present struct{ verdict, effective health.Verdict }
	states := map[probed]present{}
	targets := from.Targets()
	for list := range addressesOf(from) {
		for _, a := range list {
			if a.Target >= 0 && a.Verdict != health.Unknown {
				states[probed{targets[a.Target].Check.Name, a.Addr}] = present{a.Verdict, effectiveOf(a)}
			}
		}
	}
	var all []health.Transition
	for i, target := range to.Targets() {
		if v, known := states[probed{target.Check.Name, target.Addr}]; known {
			all = append(all, health.Transition{Index: i, Target: target, To: v.verdict, Effective: v.effective, At: now})
		}
	}
	return all
}

// addressesOf yields the addresses of each member and region.
func addressesOf(tree *pools.Tree) iter.Seq[[]pools.AddressStatus] {
	return func(yield func([]pools.AddressStatus) bool) {
		for p := range tree.Status() {
			for i := range p.Members {
				if !yield(p.Members[i].Addresses) {
					return
				}
			}
		}
		regions := tree.Regions()
		for i := range regions {
			if !yield(regions[i].Addresses) {
				return
			}
		}
	}
}

// effectiveOf returns the state that answers use, which differs from the health state if that is uncertain.
func effectiveOf(a pools.AddressStatus) health.Verdict {
	if a.Up {
		return health.Up
	}
	return health.Down
}
