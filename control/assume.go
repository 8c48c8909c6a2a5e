package control

import (
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
		if err := t.validate(at.Snapshot.Config); err != nil {
			return nil, err
		}
	}
	after, err := at.recompile()
	if err != nil {
		return nil, err
	}
	tree := after.Pools
	tree.CarryOver(at.Snapshot.Pools)
	tree.Apply(presentStates(at.Snapshot.Pools, time.Now()))
	left := at.overrides
	for _, t := range a.Targets {
		left = left.without(t)
	}
	list := left.forTree()
	for _, t := range a.Targets {
		if a.Kind != 0 {
			list = append(list, pools.Override{Pool: t.Pool, Member: t.Member, Region: t.Region, Kind: a.Kind})
		}
	}
	tree.SetOverrides(list)
	return after, nil
}

// presentStates returns the health states of a tree as state changes of another one with the same
// targets.
func presentStates(tree *pools.Tree, now time.Time) []health.Transition {
	targets := tree.Targets()
	seen := make([]bool, len(targets))
	var all []health.Transition
	add := func(list []pools.AddressStatus) {
		for _, a := range list {
			if a.Target < 0 || seen[a.Target] || a.Verdict == health.Unknown {
				continue
			}
			seen[a.Target] = true
			all = append(all, health.Transition{
				Index: a.Target, Target: targets[a.Target], To: a.Verdict, Effective: effectiveOf(a.Verdict), At: now,
			})
		}
	}
	for p := range tree.Status() {
		for i := range p.Members {
			add(p.Members[i].Addresses)
		}
	}
	regions := tree.Regions()
	for i := range regions {
		add(regions[i].Addresses)
	}
	return all
}

// effectiveOf returns the state that answers use: an uncertain one counts as up in a forecast.
func effectiveOf(v health.Verdict) health.Verdict {
	if v == health.Down {
		return health.Down
	}
	return health.Up
}
