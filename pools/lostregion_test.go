package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

// fourRegions has clients of each, by their first octet.
const fourRegions = `region near 39 -77
region mid 45 -70
region far 60 10
region end -33 151
net 11.0.0.0/8 near
net 12.0.0.0/8 mid
net 13.0.0.0/8 far
net 14.0.0.0/8 end
pool web proximity
  a region=near 192.0.2.1
  b region=mid 192.0.2.2
  c region=far 192.0.2.3
  d region=end 192.0.2.4
`

// fourLoaded is fourRegions with capacities of 200, 100, 100 and 200.
func fourLoaded(t testing.TB) *Tree {
	t.Helper()
	return compile(t, shedding(loaded(t, world(t, fourRegions), "near=200", "mid=100", "far=100", "end=200")))
}

// takenBy returns the address that each of n networks of each region is answered with.
func takenBy(t testing.TB, tree *Tree, n int) []string {
	t.Helper()
	s := tree.Scratch()
	var all []string
	for octet := 11; octet <= 14; octet++ {
		for i := range n {
			tree.Decide(ask(t, tree, "web", IPv4, fmt.Sprintf("%d.%d.%d.1", octet, i/256, i%256)), s)
			all = append(all, answerOf(s))
		}
	}
	return all
}

func TestLostRegionClientsAreSpreadByCapacity(t *testing.T) {
	const n = 4000
	for _, c := range []struct {
		behaviour string
		tree      *Tree
		want      map[string]float64 // of the clients of a
	}{
		{"as configured", fourLoaded(t), map[string]float64{"192.0.2.2": 0.25, "192.0.2.3": 0.25, "192.0.2.4": 0.5}},
		{"by weight where one has none", compile(t, shedding(world(t, strings.Replace(fourRegions, "d region=end", "d region=end weight=6", 1)))), map[string]float64{"192.0.2.2": 0.125, "192.0.2.3": 0.125, "192.0.2.4": 0.75}},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			setVerdicts(t, c.tree, health.Down, "web/a")
			got := map[string]float64{}
			for _, addr := range takenBy(t, c.tree, n)[:n] {
				got[addr] += 1. / n
			}
			for addr, want := range c.want {
				if got[addr] < want-0.03 || got[addr] > want+0.03 {
					t.Errorf("%s has %.3f of the clients, want %.3f", addr, got[addr], want)
				}
			}
			expect(t, "regions", len(got), len(c.want))
			for i, share := range c.tree.LostRegions()[0].Shares {
				expect(t, "shares", share.Share, c.want[fmt.Sprintf("192.0.2.%d", i+2)])
			}
		})
	}
}

// The history of a node does not matter: a node with many reports
// agrees with one that has just started.
func TestNodesAgreeOnLostRegionClients(t *testing.T) {
	old, started := fourLoaded(t), fourLoaded(t)
	for at := range 100 {
		report(old, at, 10+float64(at), 20, 30, 40)
	}
	setVerdicts(t, old, health.Down, "web/b")
	setVerdicts(t, old, health.Up, "web/b")
	for _, tree := range []*Tree{old, started} {
		setVerdicts(t, tree, health.Down, "web/a")
		report(tree, 200, 10, 10, 10, 10)
	}
	expect(t, "networks", takenBy(t, started, 500), takenBy(t, old, 500))
}

func TestSecondLossAndReturnMoveOnlyOwnClients(t *testing.T) {
	const n = 500
	tree := fourLoaded(t)
	home := takenBy(t, tree, n)
	setVerdicts(t, tree, health.Down, "web/a")
	first := takenBy(t, tree, n)
	for i := range home {
		if home[i] != "192.0.2.1" && first[i] != home[i] {
			t.Fatalf("client %d of %s moved to %s", i, home[i], first[i])
		}
	}
	setVerdicts(t, tree, health.Down, "web/d")
	for i, addr := range takenBy(t, tree, n) {
		if first[i] != "192.0.2.4" && addr != first[i] {
			t.Fatalf("the second loss moved client %d from %s to %s", i, first[i], addr)
		}
	}
	setVerdicts(t, tree, health.Up, "web/d")
	expect(t, "the second is back", takenBy(t, tree, n), first)
	setVerdicts(t, tree, health.Up, "web/a")
	expect(t, "both are back", takenBy(t, tree, n), home)
}

// Clients return as the region's slow start takes them; the others do not move.
func TestLostRegionClientsReturnDuringSlowStart(t *testing.T) {
	const n = 500
	tree := fourLoaded(t)
	setVerdicts(t, tree, health.Down, "web/a")
	lost := takenBy(t, tree, n)
	tree.Apply([]health.Transition{{Index: 0, Target: tree.Targets()[0], From: health.Down, To: health.Up, SlowStartWeight: 64}})
	came := 0
	for i, addr := range takenBy(t, tree, n) {
		if addr == "192.0.2.1" {
			came++
		} else if addr != lost[i] {
			t.Fatalf("client %d moved from %s to %s", i, lost[i], addr)
		}
	}
	if came < n/8 || came > n/2 {
		t.Errorf("%d of %d clients came home, want about a quarter", came, n)
	}
}

// Every address within the scope of an answer gets that answer and that scope,
// with any regions lost or in slow start.
func TestScopesOfLostRegionsAreExact(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	tree := fourLoaded(t)
	s := tree.Scratch()
	for range rounds(400) {
		var turns []health.Transition
		for i := range tree.Targets() {
			turns = append(turns, health.Transition{Index: i, To: []health.Verdict{health.Up, health.Down}[rnd.IntN(2)], SlowStartWeight: uint8(rnd.IntN(2) * rnd.IntN(256))})
		}
		tree.Apply(turns)
		q := ask(t, tree, "web", IPv4, "192.0.2.1")
		if q.Client = randomClient(rnd); rnd.IntN(2) == 0 {
			q.Client = netip.AddrFrom4([4]byte{byte(11 + rnd.IntN(4)), byte(rnd.IntN(256)), byte(rnd.IntN(256)), 1})
		}
		decision := tree.Decide(q, s)
		want := answerOf(s)
		for range 20 {
			within := q
			within.Client = randomWithin(rnd, q.Client, int(decision.Scope))
			if got := tree.Decide(within, s); got != decision || answerOf(s) != want {
				t.Fatalf("seed %d: %s gets %s %v, %s of the same /%d gets %s %v", seed, q.Client, want, decision, within.Client, decision.Scope, answerOf(s), got)
			}
		}
	}
}

func TestLostRegionDecisionAllocatesNothing(t *testing.T) {
	tree := fourLoaded(t)
	setVerdicts(t, tree, health.Down, "web/a")
	s, q := tree.Scratch(), ask(t, tree, "web", IPv4, "11.0.0.1")
	if n := testing.AllocsPerRun(100, func() { tree.Decide(q, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplainShowsLostRegion(t *testing.T) {
	tree := fourLoaded(t)
	setVerdicts(t, tree, health.Down, "web/a")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "11.0.0.1"), tree.Scratch())
	text, chosen := stepsText(steps), 0
	for _, step := range steps {
		if step.Chosen {
			chosen++
			if !strings.HasPrefix(step.Reason, `"near" is lost: its clients are spread by capacity, `) {
				t.Errorf("reason %q", step.Reason)
			}
			expect(t, "probability", step.Probability, 1.)
		}
	}
	if chosen != 1 || strings.Count(text, "and this network goes to") != 2 {
		t.Errorf("got\n%s", text)
	}
}
