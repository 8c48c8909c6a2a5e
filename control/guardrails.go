package control

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
	"meridian/plan"
	"meridian/pools"
	"meridian/snapshot"
)

// sides are the present state and the state after a change. Neither answers queries of a check.
type sides struct{ before, after *snapshot.Snapshot }

// under returns the present state, and the same under other overrides.
func (at *view) under(next overrides) (*sides, error) {
	after, err := at.copyOf(at.Snapshot, next.forTree())
	return &sides{at.Snapshot, after}, err
}

// replacedBy returns the present state, and what another configuration would serve now.
func (at *view) replacedBy(loaded *snapshot.Snapshot) (*sides, error) {
	after, err := at.copyOf(loaded, at.overrides.forTree())
	return &sides{at.Snapshot, after}, err
}

// CheckFrozen returns an error if the guardrails freeze the configuration, unless there is a reason to change it.
func (c *Control) CheckFrozen(reason string) error {
	if at := c.currentView(); at.Snapshot.Config.Guardrails.Freeze && reason == "" {
		return broken("freeze: true", "a reload is a change")
	}
	return nil
}

// CheckReload returns an error if serving another configuration breaks a guardrail, unless there is a reason to
// serve it all the same.
func (c *Control) CheckReload(loaded *snapshot.Snapshot, reason string) error {
	at := c.hold()
	defer at.Release()
	return at.guard("the new configuration", reason, func() (*sides, error) { return at.replacedBy(loaded) })
}

// guard returns an error if a change breaks a guardrail of the served configuration, unless there is a
// reason to make it all the same. It computes the sides only if a guardrail needs them.
//
//	guardrail         broken if
//	freeze            anything changes
//	min_live_regions  a pool with names has fewer regions with an eligible member than that, and than before
//	max_moved         the forecast moves more of the clients
func (at *view) guard(doing, reason string, sides func() (*sides, error)) error {
	g := at.Snapshot.Config.Guardrails
	switch {
	case reason != "" || g == (config.Guardrails{}):
		return nil
	case g.Freeze:
		return broken("freeze: true", doing+" is a change")
	}
	s, err := sides()
	if err != nil {
		return err
	}
	if err := checkRegions(g.MinLiveRegions, doing, s); err != nil || g.MaxMoved == 0 {
		return err
	}
	moved, err := s.moved()
	if err == nil && moved > float64(g.MaxMoved)/100 {
		err = broken(fmt.Sprintf("max_moved: %d%%", g.MaxMoved), fmt.Sprintf("%s would move %.1f %% of the clients", doing, 100*moved))
	}
	return err
}

// broken returns the error of a change that breaks a guardrail.
func broken(guardrail, what string) error {
	return &RequestError{
		Guardrail: guardrail,
		What:      fmt.Sprintf("guardrail %s: %s", guardrail, what),
		Hint:      `--override-guardrail REASON makes the change all the same; in the API: "override_guardrail": "REASON"`,
	}
}

// moved returns the part of the clients that get another address after the change, by the forecast.
func (s *sides) moved() (float64, error) {
	f, err := plan.Compare(s.before, s.after, plan.AllIPv4(s.after.Geo))
	if err != nil {
		return 0, fmt.Errorf("the forecast for max_moved failed: %w", err)
	}
	return f.Moved, nil
}

// checkRegions returns an error if a pool that a name is bound to has fewer live regions than least, and
// fewer than before.
func checkRegions(least int, doing string, s *sides) error {
	if least == 0 {
		return nil
	}
	before, after := liveRegions(s.before.Pools), liveRegions(s.after.Pools)
	for _, pool := range boundPools(s.after.Config) {
		if n := len(after[pool]); n < least && n < len(before[pool]) {
			return broken(fmt.Sprintf("min_live_regions: %d", least),
				fmt.Sprintf("%s would leave pool %q with %s", doing, pool, regionList(after[pool])))
		}
	}
	return nil
}

func regionList(regions []string) string {
	if len(regions) == 0 {
		return "no live region"
	}
	return fmt.Sprintf("live regions %s only", strings.Join(regions, ", "))
}

// boundPools returns the pools that names are bound to, in the order of the configuration.
func boundPools(cfg *config.Config) (bound []string) {
	named := map[string]bool{}
	for i := range cfg.Zones {
		for b := range cfg.Zones[i].Bindings() {
			named[b.Pool] = true
		}
	}
	for i := range cfg.Pools {
		if named[cfg.Pools[i].Name] {
			bound = append(bound, cfg.Pools[i].Name)
		}
	}
	return bound
}

// liveRegions returns the regions with an eligible member of each pool. A nested pool has the region of its
// member, or without one those of its own members.
func liveRegions(tree *pools.Tree) map[string][]string {
	status := map[string]pools.PoolStatus{}
	for p := range tree.Status() {
		status[p.Pool] = p
	}
	found := make(map[string][]string, len(status))
	var regionsOf func(pool string) []string
	regionsOf = func(pool string) []string {
		if known, ok := found[pool]; ok {
			return known
		}
		var all []string
		members := status[pool].Members
		for i := range members {
			switch m := &members[i]; {
			case !m.Eligible[pools.IPv4] && !m.Eligible[pools.IPv6]:
			case m.Region != "":
				all = append(all, m.Region)
			case m.Nested != "":
				all = append(all, regionsOf(m.Nested)...)
			}
		}
		slices.Sort(all)
		found[pool] = slices.Compact(all)
		return found[pool]
	}
	for pool := range status {
		regionsOf(pool)
	}
	return found
}
