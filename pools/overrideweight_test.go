package pools

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

func reweigh(target string, percent float64) Override {
	o := overrideFor(target)
	o.Kind, o.Percent = ReducedWeight, percent
	return o
}

// overrideFor returns an override of a target without a kind.
func overrideFor(target string) Override {
	if region, ok := strings.CutPrefix(target, "region:"); ok {
		return Override{Region: region}
	}
	if addr, ok := strings.CutPrefix(target, "address:"); ok {
		return Override{Address: netip.MustParseAddr(addr)}
	}
	pool, member, _ := strings.Cut(target, "/")
	return Override{Pool: pool, Member: member}
}

func TestReducedWeightLeavesAPartOfTheClients(t *testing.T) {
	const n = 4_000
	for _, c := range []struct {
		behaviour, world string
		overrides        []Override
		want             map[string]float64 // of all answers
	}{
		{
			"weighted: its weight counts by its part", "pool web weighted\n  a weight=2 192.0.2.1\n  b weight=2 192.0.2.2\n",
			[]Override{reweigh("web/a", 25)},
			map[string]float64{"192.0.2.1": 0.2, "192.0.2.2": 0.8},
		},
		{
			"proximity: a region passes the rest to the next", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			[]Override{reweigh("region:near", 25)},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"failover: the next takes the rest", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n",
			[]Override{reweigh("web/a", 25)},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"a nested pool", "pool web failover\n  in pool=inner\n  b 192.0.2.2\npool inner weighted\n  a 192.0.2.1\n",
			[]Override{reweigh("inner", 25)},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"0 % is a drain", "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n",
			[]Override{reweigh("web/a", 0)},
			map[string]float64{"192.0.2.2": 1},
		},
		{
			"100 % changes nothing", "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n",
			[]Override{reweigh("web/a", 100)},
			map[string]float64{"192.0.2.1": 0.5, "192.0.2.2": 0.5},
		},
		{
			"all members of a weighted pool keep their proportions", "pool web weighted\n  a weight=3 192.0.2.1\n  b 192.0.2.2\n",
			[]Override{reweigh("web", 25)},
			map[string]float64{"192.0.2.1": 0.75, "192.0.2.2": 0.25},
		},
		{
			"the member's before the region's", "pool web weighted\n  a region=near 192.0.2.1\n  b 192.0.2.2\n",
			[]Override{reweigh("web/a", 100), reweigh("region:near", 1)},
			map[string]float64{"192.0.2.1": 0.5, "192.0.2.2": 0.5},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world+"bind web\n"))
			before := clients(t, tree, "web", n)
			tree.SetOverrides(c.overrides)
			expectParts(t, clients(t, tree, "web", n), c.want, n)
			tree.SetOverrides(nil)
			expect(t, "after its removal", clients(t, tree, "web", n), before)
		})
	}
}

func expectParts(t *testing.T, got map[string]int, want map[string]float64, n int) {
	t.Helper()
	for addr, part := range want {
		if is := float64(got[addr]) / float64(n); math.Abs(is-part) > 0.03 {
			t.Errorf("%s got %.3f of the clients, want %.3f", addr, is, part)
		}
	}
	if len(got) != len(want) {
		t.Errorf("answers %v, want those of %v", got, want)
	}
}

// TestReducedWeightMultipliesSlowStart checks the order too: each may begin and end first.
func TestReducedWeightMultipliesSlowStart(t *testing.T) {
	const n = 4_000
	tree := compile(t, world(t, nearAndFar+"pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\nbind web\n"))
	part := func(want float64) {
		t.Helper()
		expectParts(t, clients(t, tree, "web", n), map[string]float64{"192.0.2.1": want, "192.0.2.2": 1 - want}, n)
	}
	start(t, tree, 128, "web/a")
	tree.SetOverrides([]Override{reweigh("web/a", 50)})
	part(0.25)
	start(t, tree, 0, "web/a")
	part(0.5)
	start(t, tree, 128, "web/a")
	tree.SetOverrides(nil)
	part(0.5)
	setVerdicts(t, tree, health.Down, "web/a")
	tree.SetOverrides([]Override{reweigh("web/a", 50)})
	setVerdicts(t, tree, health.Up, "web/a")
	part(0.5)
}

// TestReducedWeightIsExplained compares the forecast's probabilities with the answers, and checks the
// texts.
func TestReducedWeightIsExplained(t *testing.T) {
	tree := compile(t, world(t, nearAndFar+"pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\nbind web\n"))
	o := reweigh("web/a", 20)
	o.Reason = "canary"
	tree.SetOverrides([]Override{o})
	q := ask(t, tree, "web", IPv4, "192.0.2.200")
	_, all := tree.Probabilities(q, tree.Scratch())
	for _, p := range all {
		if want := map[string]float64{"a": 51. / 307, "b": 256. / 307}[p.Member]; math.Abs(p.P-want) > 1e-9 {
			t.Errorf("%s has probability %v, want %v", p.Member, p.P, want)
		}
	}
	_, steps := tree.Explain(q, tree.Scratch())
	if text := steps[0].Reason; !strings.Contains(text, "weight 20 %: canary") {
		t.Errorf("reason %q", text)
	}
	for p := range tree.Status() {
		if m := p.Members[0]; m.State != "unknown" || m.Override == nil || m.Override.Percent != 20 {
			t.Errorf("status %+v", m)
		}
	}
}

func TestOverridesSelectAddressesAndPatterns(t *testing.T) {
	text := overridden + "pool other weighted\n  x 192.0.2.1\n  y region=near 192.0.2.9\nbind other\n"
	for _, c := range []struct{ target, pool, want string }{
		{"address:192.0.2.1", "web", "normal 192.0.2.2"},
		{"address:192.0.2.1", "other", "normal 192.0.2.9"},
		{"w*", "web", "nodata nodata"},
		{"w*", "other", "normal 192.0.2.1 192.0.2.9"},
		{"*/y", "other", "normal 192.0.2.1"},
		{"*", "other", "nodata nodata"},
		{"o*r/*", "other", "nodata nodata"},
		{"region:n*", "other", "normal 192.0.2.1"},
		{"region:*", "other", "normal 192.0.2.1"},
		{"region:*", "web", "nodata nodata"},
	} {
		tree := compile(t, world(t, text))
		o := overrideFor(c.target)
		o.Kind = Drained
		if _, unknown := tree.SetOverrides([]Override{o}); len(unknown) > 0 {
			t.Errorf("%s is unknown", c.target)
		}
		t.Run(c.target, func(t *testing.T) { expectAnswers(t, tree, c.pool, c.want) })
	}
	for _, target := range []string{"address:192.0.2.77", "z*", "region:z*", "web/z*"} {
		tree := compile(t, world(t, text))
		if _, unknown := tree.SetOverrides([]Override{overrideFor(target)}); len(unknown) != 1 {
			t.Errorf("%s is known", target)
		}
	}
	for _, c := range []struct {
		overrides []string // the last applies to web/a
		kind      string
	}{
		{[]string{"region:near", "region:*", "region:near"}, "region"},
		{[]string{"region:near", "*", "web", "w*"}, "pool before pattern"},
	} {
		tree := compile(t, world(t, text))
		var list []Override
		for i, target := range c.overrides {
			o := overrideFor(target)
			o.Kind = []Kind{ForcedUp, Drained}[i%2]
			list = append(list, o)
		}
		tree.SetOverrides(list)
		for p := range tree.Status() {
			if p.Pool == "web" && p.Members[0].State != "forced up" {
				t.Errorf("%s: %s, want forced up", c.kind, p.Members[0].State)
			}
		}
	}
}
