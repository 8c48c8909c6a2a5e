package pools

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// For any demands, the shares of the clients are in proportion to weight * free capacity,
// and add up to 1; if too little would be left, all capacities are scaled by one factor.
func TestSharesAreProportionalToFreeCapacity(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds(2000) {
		b := balancer{solves: true, ttl: time.Second, members: make([]balanced, 1+rnd.IntN(6))}
		b.now = make([]reported, len(b.members))
		most := 0. // the clients that all can take at once
		for i := range b.members {
			capacity := math.Exp2(10 * rnd.Float64())
			b.members[i] = balanced{lag: lagged{share: 1, traffic: 1}, demand: math.Exp2(20*rnd.Float64() - 8), estimated: true}
			b.now[i] = reported{usage: usage{capacity: capacity, known: true}, weight: float64(1 + rnd.IntN(5)), counts: rnd.IntN(5) > 0}
		}
		among := b.among()
		for i, in := range among {
			if in {
				most += b.now[i].capacity / b.members[i].demand
			}
		}
		scale, rooms, sum := max(1, 1/(0.95*most)), b.rooms(), 0.
		for i, in := range among {
			if in {
				sum += rooms[i]
			}
		}
		for i, in := range among {
			if !in {
				continue
			}
			share := rooms[i] / sum
			left := b.now[i].weight * (scale*b.now[i].capacity - b.members[i].demand*share)
			if math.Abs(left-rooms[i]) > 1e-6*scale*b.now[i].capacity*b.now[i].weight {
				t.Fatalf("seed %d: of %d members the %d-th has a room of %g, and leaves %g", seed, len(rooms), i, rooms[i], left)
			}
		}
	}
}

// With loads that answers do not change, shares settle as the table in docs/reference/policies/least-load.md says.
func TestSteadyLoadsSettleByFreeCapacity(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	for _, test := range []struct {
		behaviour string
		loads     []float64 // of capacities 100 100 100, weights 1 1 2
		want      map[string]float64
	}{
		{"free capacity, times weight", []float64{50, 75, 75}, map[string]float64{a: 0.4, b: 0.2, c: 0.4}},
		{"nothing for a full member", []float64{100, 0, 130}, map[string]float64{a: 0, b: 1, c: 0}},
		{"unknown: the mean free part", []float64{50, 0, -1}, map[string]float64{a: 50. / 300, b: 100. / 300, c: 150. / 300}},
		{"no load", []float64{0, 0, 0}, map[string]float64{a: 0.25, b: 0.25, c: 0.5}},
		{"none known", []float64{-1, -1, -1}, map[string]float64{a: 0.25, b: 0.25, c: 0.5}},
	} {
		tree := compile(t, loaded(t, world(t, three), "web/a=100", "web/b=100", "web/c=100"))
		for at := range 300 {
			report(tree, 60*at, test.loads...)
		}
		got := oddsOf(t, tree, ask(t, tree, "web", IPv4, "11.0.0.1"))
		for addr, want := range test.want {
			if math.Abs(got[addr]-want) > 0.01 {
				t.Errorf("%s: %s has %.3f, want %.3f", test.behaviour, addr, got[addr], want)
			}
		}
	}
}

// A controller continues without a jump when reports are missing, late or repeated.
func TestBalancingSurvivesMissingReports(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	tree := compile(t, loaded(t, world(t, three), "web/a=100", "web/b=100", "web/c=100"))
	q, s, at := ask(t, tree, "web", IPv4, "11.0.0.1"), tree.Scratch(), 0
	for _, step := range []struct {
		behaviour string
		demand    float64
		known     [3]bool
	}{
		{"all report", 150, [3]bool{true, true, true}},
		{"one stops", 150, [3]bool{true, false, true}},
		{"all stop", 150, [3]bool{}},
		{"all report again", 150, [3]bool{true, true, true}},
		{"nothing to do", 0, [3]bool{true, true, true}},
		{"more than all can bear", 500, [3]bool{true, true, true}},
		{"as before", 150, [3]bool{true, true, true}},
	} {
		for range 20 {
			p := oddsOf(t, tree, q)
			loads := []float64{step.demand * p[a], step.demand * p[b], step.demand * p[c]}
			for i, known := range step.known {
				if !known {
					loads[i] = -1
				}
			}
			report(tree, 60*at, loads...)
			at++
		}
		p := oddsOf(t, tree, q)
		if math.Abs(p[a]-p[b]) > 0.06 || p[c] < p[a] || p[c] > 2*p[a]+0.06 {
			t.Errorf("%s: %v, want as much for a as for b, and once to twice that for c", step.behaviour, p)
		}
		if tree.Decide(q, s); len(s.Addrs) != 1 {
			t.Errorf("%s: no answer", step.behaviour)
		}
	}
}

// A load that does not come from the clients does not keep them from a member that returns after a drain.
func TestOtherLoadKeepsNoClientFromReturningMember(t *testing.T) {
	const a, other, ofClients = "192.0.2.1", 20, 90
	tree := compile(t, loaded(t, world(t, three), "web/a=100", "web/b=100", "web/c=100"))
	q, ttl, now := ask(t, tree, "web", IPv4, "11.0.0.1"), int(tree.balancers[0].ttl/time.Second), 0
	traffic := map[string][]float64{} // the share of each second of the TTL
	run := func(seconds int) (least float64) {
		least = 1
		for range seconds {
			var loads []float64
			for _, addr := range []string{a, "192.0.2.2", "192.0.2.3"} {
				shares, sum := append(traffic[addr], oddsOf(t, tree, q)[addr]), 0.
				traffic[addr] = shares[max(0, len(shares)-ttl):]
				for _, share := range traffic[addr] {
					sum += share
				}
				loads = append(loads, other+ofClients*sum/float64(len(traffic[addr])))
			}
			report(tree, now, loads...)
			least, now = min(least, oddsOf(t, tree, q)[a]), now+1
		}
		return least
	}
	run(10 * ttl)
	before := oddsOf(t, tree, q)[a]
	tree.SetOverrides([]Override{{Pool: "web", Member: "a", Kind: Drained}})
	run(10 * ttl)
	tree.SetOverrides(nil)
	if least := run(10 * ttl); least < 0.7*before {
		t.Errorf("a member that returns gets %.3f of the clients, before it had %.3f", least, before)
	}
}

// A part follows a changed capacity in the next round.
func TestSheddingFollowsTheCapacity(t *testing.T) {
	cfg := shedding(loaded(t, world(t, threeRegions), "web/a=0"))
	tree := compile(t, cfg)
	load := 0.
	for at, capacity := range []float64{1: 100, 40: 200, 41: 200, 80: 50, 120: 0} {
		if capacity == 0 && at > 0 {
			capacity = tree.state.Load().usageOfMember(memberRef{0, 0}).capacity
		}
		tree.SetLoads([]Load{{Load: load, Capacity: max(capacity, 50), At: time.Unix(int64(60*at), 0), Fresh: true}})
		load = 120 * tree.shedding[0].kept
	}
	want := 120 * min(1, 0.9/(0.2+120./50))
	if math.Abs(load-want) > 2 {
		t.Errorf("a load of %.1f at a capacity of 50, want %.1f", load, want)
	}
}

// Sources that report separately form one round; one that stops delays the others by two intervals.
func TestUnitStepsOncePerRound(t *testing.T) {
	cfg := shedding(loaded(t, world(t, nearMidFar+"pool web proximity\n  a region=near 192.0.2.1\n  b region=near 192.0.2.2\n  c region=mid 192.0.2.3\n"), "web/a=100", "web/b=100"))
	for i := range cfg.Loads {
		cfg.Loads[i].Interval = 10 * time.Second
	}
	tree := compile(t, cfg)
	loads := []Load{{}, {}}
	steps := func(target, at int) bool {
		loads[target] = Load{Load: 85, At: time.Unix(int64(at), 0), Fresh: true}
		before := tree.shedding[0].rounds.stepped
		tree.SetLoads(loads)
		return !tree.shedding[0].rounds.stepped.Equal(before)
	}
	loads[1] = Load{Load: 85, At: time.Unix(100, 0), Fresh: true}
	for _, c := range []struct {
		target, at int
		want       bool
	}{{0, 100, true}, {1, 105, false}, {0, 110, true}, {0, 111, false}, {1, 115, true}, {0, 120, false}, {0, 130, false}, {0, 135, true}, {0, 140, false}} {
		if got := steps(c.target, c.at); got != c.want {
			t.Errorf("target %d at %d s: stepped %v, want %v", c.target, c.at, got, c.want)
		}
	}
}
