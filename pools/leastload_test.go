package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// loaded adds to members their own source with a capacity, by POOL/MEMBER=CAPACITY;
// REGION=CAPACITY, with no slash, adds one to a region.
func loaded(t testing.TB, cfg *config.Config, of ...string) *config.Config {
	t.Helper()
	for _, word := range of {
		name, capacity, _ := strings.Cut(word, "=")
		use := worldLoad(cfg, int(number(t, capacity)))
		pool, member, isMember := strings.Cut(name, "/")
		found := false
		for r := range cfg.Regions {
			if !isMember && cfg.Regions[r].Name == pool {
				cfg.Regions[r].Load, found = use, true
			}
		}
		for p := range cfg.Pools {
			for m := range cfg.Pools[p].Members {
				if isMember && cfg.Pools[p].Name == pool && cfg.Pools[p].Members[m].Name == member {
					cfg.Pools[p].Members[m].Load, found = use, true
				}
			}
		}
		if !found {
			t.Fatalf("nothing is named %q", name)
		}
	}
	return cfg
}

// report reports the loads of the sources of loaded, in order; a negative load is a stale report.
func report(tree *Tree, at int, loads ...float64) {
	all := make([]Load, len(loads))
	for i, target := range tree.loadTargets {
		var n int
		_, _ = fmt.Sscanf(target.Source.Name, "load%d", &n)
		all[i] = Load{Load: loads[n], At: time.Unix(int64(at), 0), Fresh: loads[n] >= 0}
	}
	tree.SetLoads(all)
}

// forgetShares resets the shares and reports of least-load pools.
func forgetShares(tree *Tree) {
	for i := range tree.balancers {
		tree.balancers[i] = tree.newBalancer(tree.balancers[i].pool)
	}
}

const three = "pool web least-load\n  a 192.0.2.1\n  b 192.0.2.2\n  c weight=2 192.0.2.3\n"

// odds returns the exact probability of each address.
func oddsOf(t testing.TB, tree *Tree, q Request) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	_, shares := tree.Probabilities(q, tree.Scratch())
	for _, s := range shares {
		got[s.Addr.String()] += s.P
	}
	return got
}

func TestLeastLoadDrawsByFreeCapacity(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	for _, test := range []struct {
		behaviour string
		loads     []float64 // of capacities 100 100 100
		want      map[string]float64
	}{
		{"capacity that is free, times weight", []float64{50, 75, 75}, map[string]float64{a: 0.4, b: 0.2, c: 0.4}},
		{"nothing for a full member", []float64{100, 0, 130}, map[string]float64{b: 1}},
		{"a member without a report counts as the mean of the others", []float64{50, 0, -1}, map[string]float64{a: 50. / 300, b: 100. / 300, c: 150. / 300}},
		{"no reports: by weight", []float64{-1, -1, -1}, map[string]float64{a: 0.25, b: 0.25, c: 0.5}},
		{"no member has room: by weight", []float64{100, 200, 300}, map[string]float64{a: 0.25, b: 0.25, c: 0.5}},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			tree := compile(t, loaded(t, world(t, three), "web/a=100", "web/b=100", "web/c=100"))
			report(tree, 1, test.loads...)
			q := ask(t, tree, "web", IPv4, "11.0.0.1")
			const n = 20_000
			drawn := shares(tree, q, n)
			got := oddsOf(t, tree, q)
			for _, addr := range []string{a, b, c} {
				if math.Abs(got[addr]-test.want[addr]) > 1e-9 {
					t.Errorf("%s has the odds %.4f, want %.4f", addr, got[addr], test.want[addr])
				}
				if share := float64(drawn[addr]) / n; math.Abs(share-test.want[addr]) > 0.015 {
					t.Errorf("%s was drawn in %.4f, want %.4f", addr, share, test.want[addr])
				}
			}
		})
	}
}

func TestLeastLoadWithoutReportsUsesCapacity(t *testing.T) {
	tree := compile(t, loaded(t, world(t, three), "web/a=300", "web/b=100"))
	got := oddsOf(t, tree, ask(t, tree, "web", IPv4, "11.0.0.1"))
	expect(t, "odds", fmt.Sprintf("%.3f %.3f %.3f", got["192.0.2.1"], got["192.0.2.2"], got["192.0.2.3"]), "0.375 0.125 0.500") // c: the mean, 200, twice
}

// The free capacities of the first reports follow the simple formula; the load of a nested
// pool is the sum of its members', and that of a region is divided among its members.
func TestFreeCapacityMatchesReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	tree := compile(t, loaded(t, world(t, `region near 0 0
pool web least-load
  a region=near 192.0.2.1
  b region=near 192.0.2.2
  inner pool=inner
  own weight=3 192.0.2.3
pool inner weighted
  x 192.0.2.4
  y 192.0.2.5
`), "near=200", "inner/x=50", "inner/y=150", "web/own=400"))
	q := ask(t, tree, "web", IPv4, "11.0.0.1")
	for at := range 300 {
		near, x, y, own := 220*rnd.Float64(), 60*rnd.Float64(), 160*rnd.Float64(), 440*rnd.Float64()
		forgetShares(tree)
		report(tree, 60*at, near, x, y, own)
		free := func(load, capacity float64) float64 { return math.Max(0, capacity-load) }
		rooms := map[string]float64{
			"192.0.2.1": free(near, 200) / 2, "192.0.2.2": free(near, 200) / 2,
			"192.0.2.4": free(x+y, 200) / 2, "192.0.2.5": free(x+y, 200) / 2,
			"192.0.2.3": 3 * free(own, 400),
		}
		sum := 0.0
		for _, room := range rooms {
			sum += room
		}
		if sum == 0 {
			continue
		}
		got := oddsOf(t, tree, q)
		for addr, room := range rooms {
			if math.Abs(got[addr]-room/sum) > 1e-9 {
				t.Fatalf("seed %d: %s has %.3f, want about %.3f, of %v", seed, addr, got[addr], room/sum, rooms)
			}
		}
	}
}

// The A and the AAAA of one draw return one member.
func TestLeastLoadGivesBothFamiliesOneMember(t *testing.T) {
	tree := compile(t, loaded(t, world(t, "pool web least-load\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n"), "web/a=100", "web/b=100"))
	report(tree, 1, 30, 80)
	s := tree.Scratch()
	for draw := range uint64(1000) {
		var got [2]string
		for f := range got {
			q := ask(t, tree, "web", Family(f), "11.0.0.1")
			q.Draw = draw
			tree.Decide(q, s)
			got[f] = answerOf(s)
		}
		if got[0][len(got[0])-1] != got[1][len(got[1])-1] {
			t.Fatalf("draw %d led to %v", draw, got)
		}
	}
}

func TestDecidingByLoadAllocatesNothing(t *testing.T) {
	for _, policy := range []string{"least-load", "proximity"} {
		tree := compile(t, shedding(loaded(t, world(t, "region near 0 0\nregion far 50 50\npool web "+policy+"\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n"), "web/a=100", "web/b=100")))
		for at := range 20 {
			report(tree, 60*at, 85, 30)
		}
		s, q := tree.Scratch(), ask(t, tree, "web", IPv4, "11.0.0.1")
		if n := testing.AllocsPerRun(100, func() { q.Draw++; tree.Decide(q, s) }); n != 0 {
			t.Errorf("%s: %v allocations", policy, n)
		}
	}
}

// TestDrainRemovesFreeCapacityAtOnce includes a pool nested in a least-load pool, and applies before the next report.
func TestDrainRemovesFreeCapacityAtOnce(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	tree := compile(t, loaded(t, world(t, `pool web least-load
  in pool=inner
  c 192.0.2.3
pool inner weighted
  a 192.0.2.1
  b 192.0.2.2
`), "web/c=100", "inner/a=100", "inner/b=100"))
	report(tree, 1, 0, 0, 0)
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	expect(t, "odds", oddsOf(t, tree, q), map[string]float64{a: 1. / 3, b: 1. / 3, c: 1. / 3})
	tree.SetOverrides([]Override{{Pool: "inner", Member: "b", Kind: Drained}})
	expect(t, "odds with b drained", oddsOf(t, tree, q), map[string]float64{a: 0.5, c: 0.5})
	tree.SetOverrides(nil)
	expect(t, "odds with b back", oddsOf(t, tree, q), map[string]float64{a: 1. / 3, b: 1. / 3, c: 1. / 3})
}
