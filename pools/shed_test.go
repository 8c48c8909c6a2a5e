package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"meridian/config"
)

// shedding has every pool except least-load pools shed between 70 and 90 per cent.
func shedding(cfg *config.Config) *config.Config {
	for i := range cfg.Pools {
		if cfg.Pools[i].Policy != config.LeastLoad {
			cfg.Pools[i].Shed = config.Shed{Low: 70, High: 90}
		}
	}
	return cfg
}

const nearMidFar = "region near 39 -77\nregion mid 45 -70\nregion far 90 0\nnet 11.0.0.0/8 near\n"

const threeRegions = nearMidFar + "pool web proximity\n  a region=near 192.0.2.1\n  b region=mid 192.0.2.2\n  c region=far 192.0.2.3\n"

// A constant load moves the kept part to the line.
func TestSteadyLoadSettlesOnLine(t *testing.T) {
	shed := config.Shed{Low: 70, High: 90}
	for used := 0.0; used < 1.2; used += 0.01 {
		want := min(1, max(0, (0.9-used)/0.2))
		kept := 1.0
		for range 400 {
			kept = nextKept(kept, used/max(kept, leastKept), shed)
		}
		if math.Abs(kept-want) > 0.02 {
			t.Errorf("at %.2f it keeps %.3f, want %.3f", used, kept, want)
		}
	}
}

// The larger the demand, the less is kept.
func TestSheddingIsMonotone(t *testing.T) {
	shed := config.Shed{Low: 50, High: 80}
	for kept := 0.0; kept <= 1; kept += 0.05 {
		last := 2.0
		for demand := 0.0; demand < 3; demand += 0.01 {
			next := nextKept(kept, demand, shed)
			if next > last || next < 0 || next > 1 {
				t.Fatalf("of %.2f at a demand of %.2f it keeps %.3f, at less %.3f", kept, demand, next, last)
			}
			last = next
		}
	}
}

// TestRegionsFillInOrder runs a model: clients of one place, with a load
// that reaches the region that answers them, at once or gradually. For any
// demand, in the steady state no region is above high while another is
// below low.
func TestRegionsFillInOrder(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range rounds(6) {
		demand, inertia := 50+250*rnd.Float64(), 0.8*rnd.Float64()
		tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100", "web/b=100", "web/c=1000")))
		loads := [3]float64{}
		for at := range 100 {
			report(tree, 60*at, loads[:]...)
			got := clients(t, tree, "web", 1000)
			for i := range loads {
				target := demand * float64(got[fmt.Sprintf("192.0.2.%d", i+1)]) / 1000
				loads[i] = inertia*loads[i] + (1-inertia)*target
			}
		}
		for i, load := range loads[:2] {
			if load > 92 { // high, and a 64th of the demand
				t.Errorf("seed %d: demand %.0f, inertia %.2f: region %d has %.0f of 100; all %.0f", seed, demand, inertia, i, load, loads)
			}
		}
		if loads[0] < min(0.99*demand, 66) {
			t.Errorf("seed %d: demand %.0f: the nearest has but %.0f of 100; all %.0f", seed, demand, loads[0], loads)
		}
	}
}

// A client sent elsewhere at one part is sent elsewhere at every smaller part.
func TestSheddingKeepsTheSameClients(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100")))
	s := tree.Scratch()
	gone := map[string]bool{}
	for at := range 150 {
		report(tree, 60*at, 70+float64(at)/2)
		for i := range 256 {
			client := fmt.Sprintf("11.0.%d.1", i)
			tree.Decide(ask(t, tree, "web", IPv4, client), s)
			here := answerOf(s) == "192.0.2.1"
			if here && gone[client] {
				t.Fatalf("%s came back while the load grew", client)
			}
			gone[client] = !here
		}
	}
	for client, away := range gone {
		if !away {
			t.Errorf("%s stays at a region above high", client)
		}
	}
}

func TestEachPolicySheds(t *testing.T) {
	for _, c := range []struct {
		behaviour, world string
		of               []string
		loads            []float64
		want             map[string]float64
	}{
		{
			"failover: to the next", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n",
			[]string{"web/a=100"},
			[]float64{80},
			map[string]float64{"192.0.2.1": 0.5, "192.0.2.2": 0.5},
		},
		{
			"weighted: the weight counts by the part", "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n",
			[]string{"web/a=100"},
			[]float64{80},
			map[string]float64{"192.0.2.1": 1. / 3, "192.0.2.2": 2. / 3},
		},
		{
			"weighted: everybody full, so by weight", "pool web weighted\n  a 192.0.2.1\n  b weight=3 192.0.2.2\n",
			[]string{"web/a=100", "web/b=100"},
			[]float64{200, 150},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"hash: everybody full, so by weight", "pool web hash\n  a 192.0.2.1\n  b weight=3 192.0.2.2\n",
			[]string{"web/a=100", "web/b=100"},
			[]float64{200, 150},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.2": 0.75},
		},
		{
			"proximity: a region is the sum of its members", nearMidFar + "pool web proximity\n  a region=near 192.0.2.1\n  a2 region=near 192.0.2.4\n  b region=far 192.0.2.2\n",
			[]string{"web/a=100", "web/a2=100"},
			[]float64{100, 60},
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.4": 0.25, "192.0.2.2": 0.5},
		},
		{
			"proximity: by the region's own report", nearMidFar + "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			[]string{"near=1000"},
			[]float64{800},
			map[string]float64{"192.0.2.1": 0.5, "192.0.2.2": 0.5},
		},
		{
			"proximity: everybody full, so the nearest", nearMidFar + "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			[]string{"near=100", "far=100"},
			[]float64{150, 150},
			map[string]float64{"192.0.2.1": 1},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, shedding(loaded(t, world(t, c.world), c.of...)))
			for at := range 200 {
				report(tree, 60*at, c.loads...)
			}
			const n = 8000
			got := clients(t, tree, "web", n)
			for addr, want := range c.want {
				if off := math.Abs(float64(got[addr])/n - want); off > 0.035 {
					t.Errorf("%s in %.3f of the answers, want %.3f", addr, float64(got[addr])/n, want)
				}
			}
			expect(t, "addresses", len(got), len(c.want))

			stale := make([]float64, len(c.loads))
			for i := range stale {
				stale[i] = -1
			}
			report(tree, 60*201, stale...)
			expect(t, "sheds when all is stale", len(tree.state.Load().slow), 0)
		})
	}
}

func TestRepeatedReportChangesNothing(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100")))
	report(tree, 1, 85)
	kept := tree.shedding[0].kept
	report(tree, 1, 85)
	expect(t, "kept", tree.shedding[0].kept, kept)
	report(tree, 60, 85)
	if tree.shedding[0].kept >= kept {
		t.Error("a new report moved nothing")
	}
}

func TestReloadKeepsSheddingState(t *testing.T) {
	cfg := shedding(loaded(t, world(t, threeRegions), "web/a=100"))
	tree := compile(t, cfg)
	for at := range 50 {
		report(tree, 60*at, 82)
	}
	next := compile(t, cfg)
	next.CarryOver(tree)
	expect(t, "who goes where", clients(t, next, "web", 500), clients(t, tree, "web", 500))
	report(next, 60*49, 82)
	expect(t, "after the same report", clients(t, next, "web", 500), clients(t, tree, "web", 500))
}

// A load that does not come from the clients, such as that of other services, says nothing of the
// clients that return after a drain: while few of them are back, it would count as the load of those few.
func TestOtherLoadDoesNotShedReturningClients(t *testing.T) {
	for _, every := range []int{1, 5, 15} { // seconds between reports
		tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100")))
		ttl := int(tree.shedding[0].ttl / time.Second)
		now := 0
		run := func(seconds int, load func(since int) float64) (least float64) {
			least = 1
			for since := 0; since < seconds; since += every {
				report(tree, now+since, load(since))
				least = min(least, tree.shedding[0].kept)
			}
			now += seconds
			return least
		}
		const other, ofClients = 20, 30
		run(20*ttl, func(int) float64 { return other + ofClients })
		tree.SetOverrides([]Override{{Pool: "web", Member: "a", Kind: Drained}})
		run(20*ttl, func(since int) float64 { return other + ofClients*max(0, 1-float64(since)/float64(ttl)) })
		tree.SetOverrides(nil)
		back := func(since int) float64 { return other + ofClients*min(1, float64(since)/float64(ttl)) }
		if least := run(20*ttl, back); least < 1 {
			t.Errorf("with reports every %d s and a load of at most 50 %% it keeps only %.2f of the clients that return", every, least)
		}
	}
}

func TestForcedUpMemberDoesNotShed(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100")))
	for at := range 100 {
		report(tree, 60*at, 150)
	}
	expect(t, "shed", clients(t, tree, "web", 100), map[string]int{"192.0.2.2": 100})
	tree.SetOverrides([]Override{{Pool: "web", Member: "a", Kind: ForcedUp}})
	expect(t, "forced up", clients(t, tree, "web", 100), map[string]int{"192.0.2.1": 100})
}

func TestExplainShowsLoad(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, threeRegions), "web/a=100")))
	for at := range 100 {
		report(tree, 60*at, 150)
	}
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "11.0.0.1"), tree.Scratch())
	want := StepLoad{Load: 150, Capacity: 100, At: time.Unix(60*99, 0), Fresh: true}
	if got := steps[0].Load; got == nil || *got != want || steps[1].Load != nil {
		t.Errorf("%+v, want %+v", steps[0].Load, want)
	}
	expect(t, "reason", steps[0].Reason, `sheds, keeps 0 %: region "near" is nearer, but not for this client yet`)
}
