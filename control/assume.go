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
	healthy, err := at.recompile()
	if err != nil {
		at.Release()
		return nil, err
	}
	return &Sides{healthy, at.Snapshot, at.Release}, nil
}

// recompile returns the snapshot with new pools, without health states and overrides.
func (at *view) recompile() (*snapshot.Snapshot, error) {
	return at.Snapshot.Measure(at.Snapshot.Pools.RoundTrips())
}

// assume returns a copy of the present state with a change.
func (at *view) assume(a Assumption) (*snapshot.Snapshot, error) {
	for _, t := range a.Targets {
		if err := findTarget(t, at.Snapshot.Config); err != nil {
			return nil, err
		}
	}
	after, err := at.recompile()
	if err != nil {
		return nil, err
	}
	tree := after.Pools
	tree.CarryOver(at.Snapshot.Pools)
	tree.Apply(presentStates(at.Snapshot.Pools, tree, time.Now()))
	left := at.overrides
	for _, t := range a.Targets {
		left = left.without(t)
	}
	list := left.forTree()
	for _, t := range a.Targets {
		if a.Kind != 0 {
			list = append(list, forPools(t, a.Kind))
		}
	}
	tree.SetOverrides(list)
	return after, nil
}

// presentStates returns the health states of a tree as state changes of another one.
func presentStates(from, to *pools.Tree, now time.Time) []health.Transition {
	type probed struct {
		check string
		addr  netip.Addr
	}
	states := map[probed]health.Verdict{}
	targets := from.Targets()
	for list := range addressesOf(from) {
		for _, a := range list {
			if a.Target >= 0 && a.Verdict != health.Unknown {
				states[probed{targets[a.Target].Check.Name, a.Addr}] = a.Verdict
			}
		}
	}
	var all []health.Transition
	for i, target := range to.Targets() {
		if v, known := states[probed{target.Check.Name, target.Addr}]; known {
			all = append(all, health.Transition{Index: i, Target: target, To: v, Effective: effectiveOf(v), At: now})
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

// effectiveOf returns the state that answers use: an uncertain one counts as up in a forecast.
func effectiveOf(v health.Verdict) health.Verdict {
	if v == health.Down {
		return health.Down
	}
	return health.Up
}
