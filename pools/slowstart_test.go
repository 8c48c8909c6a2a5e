package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/health"
)

// start puts members into slow start with a part in 256ths; 0: all.
func start(t testing.TB, tree *Tree, part uint8, members ...string) {
	t.Helper()
	all := transitionsTo(t, tree, health.Up, members...)
	for i := range all {
		all[i].SlowStartWeight = part
	}
	tree.Apply(all)
}

// clients asks for n client networks and returns how many went to each address.
func clients(t testing.TB, tree *Tree, pool string, n int) map[string]int {
	t.Helper()
	s, got := tree.Scratch(), map[string]int{}
	for i := range n {
		q := ask(t, tree, pool, IPv4, fmt.Sprintf("11.%d.%d.7", i/256, i%256))
		q.Draw = uint64(i)
		tree.Decide(q, s)
		got[answerOf(s)]++
	}
	return got
}

func TestSlowStartMemberGetsItsPart(t *testing.T) {
	const n = 8_000
	for _, c := range []struct {
		behaviour, world string
		starting         string
		part             uint8
		want             map[string]float64 // of all answers
	}{
		{
			"weighted: its weight counts by its part", "pool web weighted\n  a weight=2 192.0.2.1\n  b weight=2 192.0.2.2\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 0.2, "192.0.2.2": 0.8},
		},
		{
			"weighted: all of them, so none is spared", "pool web weighted\n  a weight=3 192.0.2.1\n  b 192.0.2.2\n",
			"web", 64,
			map[string]float64{"192.0.2.1": 0.75, "192.0.2.2": 0.25},
		},
		{
			"proximity: a region of its own passes clients on to the next", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"proximity: so does a region of which all start slowly", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=near weight=3 192.0.2.3\n",
			"web/a web/c", 64,
			map[string]float64{"192.0.2.1": 0.0625, "192.0.2.3": 0.1875, "192.0.2.2": 0.75},
		},
		{
			"proximity: the others of its region take the rest", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=near weight=3 192.0.2.3\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 0.25 / 3.25, "192.0.2.3": 3 / 3.25},
		},
		{
			"proximity: without others, the nearest", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far disabled 192.0.2.2\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 1},
		},
		{
			"proximity: a nested pool with all members in slow start", "pool web proximity\n  in region=near pool=inner\n  b region=far 192.0.2.2\npool inner failover\n  a 192.0.2.1\n",
			"inner/a", 64,
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"failover: the next serves the other clients", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"failover: one after the other", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n",
			"web/a web/b", 64,
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.1875, "192.0.2.3": 0.5625},
		},
		{
			"failover: behind a full member it makes no difference", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n",
			"web/b", 64,
			map[string]float64{"192.0.2.1": 1},
		},
		{
			"round-robin: its turn comes less often", "pool web round-robin\n  a 192.0.2.1\n  b 192.0.2.2\n",
			"web/a", 64,
			map[string]float64{"192.0.2.1": 0.125, "192.0.2.2": 0.875},
		},
		{
			"one of two addresses", "pool web weighted\n  both 192.0.2.1 192.0.2.2\npool one weighted\n  a 192.0.2.1\n",
			"one/a", 64,
			map[string]float64{"192.0.2.1": 0.125, "192.0.2.2": 0.875},
		},
		{
			"forced up is all the way up", "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  forced 192.0.2.3\n",
			"web", 64,
			map[string]float64{"192.0.2.1": 1. / 6, "192.0.2.2": 1. / 6, "192.0.2.3": 4. / 6},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, "region near 39 -77\nregion far 90 0\nnet 11.0.0.0/8 near\n"+c.world))
			before := clients(t, tree, "web", n)
			start(t, tree, c.part, strings.Fields(c.starting)...)
			tree.SetOverrides([]Override{{Pool: "web", Member: "forced", Kind: ForcedUp}})
			got := clients(t, tree, "web", n)
			for a, want := range c.want {
				if off := math.Abs(float64(got[a])/n - want); off > 0.025 {
					t.Errorf("%s came in %.3f of the answers, want %.3f", a, float64(got[a])/n, want)
				}
			}
			expect(t, "addresses", len(got), len(c.want))
			start(t, tree, 0, strings.Fields(c.starting)...)
			if st := tree.state.Load(); len(st.starting)+len(st.slow) > 0 {
				t.Errorf("afterwards %v and %v still start slowly", st.starting, st.slow)
			}
			expect(t, "afterwards", clients(t, tree, "web", n), before)
		})
	}
}

// A client that an endpoint takes does not move while the endpoint's part grows.
func TestGrowingPartKeepsItsClients(t *testing.T) {
	for _, world0 := range []string{
		"pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
		"pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n",
	} {
		tree := compile(t, world(t, nearAndFar+"net 11.0.0.0/8 near\n"+world0))
		s := tree.Scratch()
		taken := map[string]bool{}
		for part := 7; part < 256; part += 8 { // the last one is all
			start(t, tree, uint8(part+1), "web/a")
			n := 0
			for i := range 512 {
				client := fmt.Sprintf("11.0.%d.%d", i/2, i%2*200)
				tree.Decide(ask(t, tree, "web", IPv4, client), s)
				here := answerOf(s) == "192.0.2.1"
				if taken[client] && !here {
					t.Fatalf("at %d/256, %s was sent elsewhere again", part+1, client)
				}
				taken[client] = here
				if here {
					n++
				}
			}
			if want := 2 * (part + 1); n < want-80 || n > want+80 {
				t.Errorf("at %d/256 it took %d of 512 clients", part+1, n)
			}
		}
	}
}

// A network gets one answer, and the scope covers its prefix length.
func TestPartsAreOfNetworks(t *testing.T) {
	for _, c := range []struct {
		behaviour, world, starting, client string
		scope                              uint8
	}{
		{"failover", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "11.0.0.1", 24},
		{"failover, IPv6", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "2a00::1", 48},
		{"failover, an IPv4 address in IPv6 form", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "::ffff:11.0.0.1", 24},
		{"failover without others", "pool web failover\n  a 192.0.2.1\n", "web/a", "11.0.0.1", 0},
		{"failover behind a full member", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/b", "11.0.0.1", 0},
		{"proximity", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n", "web/a", "11.0.0.1", 24},
		{"proximity beside others of the region", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=near 192.0.2.3\n", "web/a", "11.0.0.1", 8},
		{"proximity in a farther region", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n", "web/b", "11.0.0.1", 8},
		{"weighted", "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "11.0.0.1", 0},
		{"round-robin", "pool web round-robin\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "11.0.0.1", 0},
	} {
		tree := compile(t, world(t, "region near 39 -77\nregion far 90 0\nnet 11.0.0.0/8 near\n"+c.world))
		start(t, tree, 128, c.starting)
		d := tree.Decide(ask(t, tree, "web", IPv4, c.client), tree.Scratch())
		expect(t, c.behaviour, d.Scope, c.scope)
	}
}

// All clients in the scope of an answer get the same one.
func TestScopeOfPartsIsExact(t *testing.T) {
	tree := compile(t, world(t, regionsOfTheWorld+"pool web proximity\n  a region=us 192.0.2.1\n  b region=eu 192.0.2.2\n  c region=in 192.0.2.3\n  d region=au 192.0.2.4\n"))
	s := tree.Scratch()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds(2000) {
		for _, m := range []string{"web/a", "web/b", "web/c"} {
			if rnd.IntN(50) == 0 {
				start(t, tree, uint8(rnd.IntN(256)), m)
			}
		}
		client := netip.MustParseAddr(clientsOfTheWorld[rnd.IntN(6)])
		q := ask(t, tree, "web", IPv4, client.String())
		d := tree.Decide(q, s)
		want := answerOf(s)
		network, _ := client.Prefix(int(d.Scope))
		other := client.As4()
		for i := range other {
			mask := byte(0xff) >> max(0, min(8, int(d.Scope)-8*i))
			other[i] = other[i]&^mask | byte(rnd.Uint32())&mask
		}
		q.Client = netip.AddrFrom4(other)
		if d2 := tree.Decide(q, s); answerOf(s) != want {
			t.Fatalf("seed %d: %s got %s for %s, %s got %s (scope %d)", seed, client, want, network, q.Client, answerOf(s), d2.Scope)
		}
	}
}

func TestSlowStartDecisionAllocatesNothing(t *testing.T) {
	for _, policy := range []string{"proximity", "weighted", "round-robin", "failover"} {
		tree := compile(t, world(t, nearAndFar+"pool web "+policy+"\n  a region=near weight=2 192.0.2.1 192.0.2.11\n  b region=far 192.0.2.2\n  c region=near 192.0.2.3\n"))
		start(t, tree, 128, "web/a", "web/b")
		tree.SetOverrides([]Override{{Pool: "web", Member: "b", Kind: ForcedUp}})
		s, q := tree.Scratch(), ask(t, tree, "web", IPv4, "192.0.2.200")
		if n := testing.AllocsPerRun(200, func() { q.Draw++; tree.Decide(q, s) }); n != 0 {
			t.Errorf("%s: %v allocations", policy, n)
		}
	}
}

func TestExplainShowsSlowStart(t *testing.T) {
	for _, c := range []struct{ behaviour, world, starting, client, want string }{
		{
			"weighted", "pool web weighted\n  a weight=10 192.0.2.1\n  b 192.0.2.2\n", "web/a", "11.0.3.1",
			"web/a [up] not drawn; in slow start, at 50 %\nweb/b* [unknown] weight 1 of 6\n",
		},
		{
			"failover, another client", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "11.0.3.1",
			"web/a [up] in slow start, at 50 %: not this time\nweb/b* [unknown] first eligible in the order written\n",
		},
		{
			"proximity, another client", "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=farther 192.0.2.3\n", "web/a", "11.0.3.1",
			"web/a [up] in slow start, at 50 %: region \"near\" is nearer, but not for this client yet\nweb/b* [unknown] nearest region with an eligible member: 5671 km; \"near\" is nearer and has none eligible for this client\nweb/c [unknown] region \"farther\" is farther: 14344 km\n",
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, "region near 39 -77\nregion far 90 0\nregion farther -90 0\nnet 11.0.0.0/8 near\n"+c.world))
			start(t, tree, 128, c.starting)
			if _, steps := tree.Explain(ask(t, tree, "web", IPv4, c.client), tree.Scratch()); stepsText(steps) != c.want {
				t.Errorf("got\n%s\nwant\n%s", stepsText(steps), c.want)
			}
		})
	}
}

// merged equals a map after the changes.
func TestMergedMatchesMap(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds(500) {
		var shares []fraction
		want := map[uint32]uint16{}
		for range 5 {
			var changes []fraction
			for range rnd.IntN(6) {
				c := fraction{of: uint32(rnd.IntN(10)), part: []uint16{0, 1, 2, full}[rnd.IntN(4)]}
				changes = append(changes, c)
				if want[c.of] = c.part; c.part == full {
					delete(want, c.of)
				}
			}
			shares = merged(shares, changes)
			got := map[uint32]uint16{}
			for _, s := range shares {
				got[s.of] = s.part
			}
			expect(t, fmt.Sprint("seed ", seed), got, want)
			if !slices.IsSortedFunc(shares, func(a, b fraction) int { return int(a.of) - int(b.of) }) || len(shares) != len(want) {
				t.Fatalf("seed %d: %v", seed, shares)
			}
		}
	}
}
