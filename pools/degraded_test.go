package pools

import (
	"testing"

	"meridian/health"
)

// A pool is degraded while a member that could be answered is down, drained or uncertain.
func TestPoolIsDegraded(t *testing.T) {
	const pair = "pool web failover\n  one 192.0.2.1 2001:db8::1\n  two 192.0.2.2\n  off weight=0 192.0.2.3\n  never disabled 192.0.2.4\nbind web\n"
	const nested = "pool web weighted\n  one pool=in\n  two pool=in2\npool in weighted min_up=1\n  a 192.0.2.1\n  b 192.0.2.2\npool in2 all\n  c 192.0.2.3\nbind web\n"
	const back = "pool web weighted fallback=other\n  one 192.0.2.1\npool other weighted\n  a 192.0.2.2\nbind web\n"
	for _, c := range []struct {
		behaviour, world, down, uncertain string
		override                          Override
		want                              [2]bool // by family
	}{
		{"all are up", pair, "", "", Override{}, [2]bool{}},
		{"a member is down for both families without IPv6 addresses", pair, "192.0.2.2", "", Override{}, [2]bool{true, true}},
		{"one family is down", pair, "2001:db8::1", "", Override{}, [2]bool{false, true}},
		{"a member of weight 0 is never answered", pair, "192.0.2.3", "", Override{}, [2]bool{}},
		{"nor is a disabled one", pair, "192.0.2.4", "", Override{}, [2]bool{}},
		{"uncertain, counts as up", pair, "", "192.0.2.2", Override{}, [2]bool{true, true}},
		{"drained", pair, "", "", Override{Pool: "web", Member: "one", Kind: Drained}, [2]bool{true, true}},
		{"forced down", pair, "", "", Override{Pool: "web", Member: "one", Kind: ForcedDown}, [2]bool{true, true}},
		{"forced up", pair, "192.0.2.2", "", Override{Pool: "web", Member: "two", Kind: ForcedUp}, [2]bool{}},
		{"of fewer clients", pair, "", "", Override{Pool: "web", Member: "one", Kind: ReducedWeight, Percent: 20}, [2]bool{}},
		{"a drained member of weight 0", pair, "", "", Override{Pool: "web", Member: "off", Kind: Drained}, [2]bool{}},
		{"a member of a nested pool that is live", nested, "192.0.2.2", "", Override{}, [2]bool{true, true}},
		{"a nested pool that is not live", nested, "192.0.2.3", "", Override{}, [2]bool{true, true}},
		{"a member of the fallback while that does not answer", back, "192.0.2.2", "", Override{}, [2]bool{}},
		{"the fallback answers", back, "192.0.2.1", "", Override{}, [2]bool{true, true}},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			cfg := world(t, c.world)
			cfg.Zones[0].Names[0].DegradedTTL = 1
			tree := compile(t, cfg)
			of := func() [2]bool { return [2]bool{tree.Degraded(0, IPv4), tree.Degraded(0, IPv6)} }
			expect(t, "at first", of(), [2]bool{})
			setAddressVerdicts(t, tree, health.Up, c.down+" "+c.uncertain)
			setAddressVerdicts(t, tree, health.Down, c.down)
			applyUncertain(t, tree, c.uncertain)
			if c.override.Kind != 0 {
				tree.SetOverrides([]Override{c.override})
			}
			expect(t, "degraded", of(), c.want)
			tree.SetOverrides(nil)
			setAddressVerdicts(t, tree, health.Up, c.down+" "+c.uncertain)
			expect(t, "afterwards", of(), [2]bool{})
		})
	}
}

// applyUncertain makes the target at an address uncertain, counting as up.
func applyUncertain(t *testing.T, tree *Tree, address string) {
	t.Helper()
	for i, target := range tree.Targets() {
		if target.Addr.String() == address {
			tree.Apply([]health.Transition{{Index: i, Target: target, To: health.Uncertain, Effective: health.Up}})
		}
	}
}

// Pools of names without such a TTL are not watched.
func TestOnlyWatchedPoolsAreDegraded(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  one 192.0.2.1\n  two 192.0.2.2\nbind web\n"))
	setVerdicts(t, tree, health.Down, "web/one")
	expect(t, "degraded", tree.Degraded(0, IPv4), false)
}
