package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

// fourBound is a pool with a bound and four members, of equal weight or of the weights in fourHashed.
func fourBound(t *testing.T, pool, weights string) *Tree {
	t.Helper()
	text := "pool web " + pool + " hash=32/128\n"
	for i, weight := range strings.Fields(weights) {
		text += fmt.Sprintf("  m%d weight=%s 192.0.2.%d\n", i+1, weight, i+1)
	}
	return compile(t, loaded(t, world(t, text), "web/m1=1000", "web/m2=1000", "web/m3=1000", "web/m4=1000"))
}

func keptBy(tree *Tree) []float64 {
	var kept []float64
	for _, u := range tree.shedding {
		kept = append(kept, math.Round(1000*u.within)/1000)
	}
	return kept
}

// One report, one step: bound · weight / sum of weights · load of all, over the load.
func TestMemberKeepsPartWithinBound(t *testing.T) {
	for _, c := range []struct {
		behaviour, weights string
		loads              []float64
		want               []float64
	}{
		{"no member above its bound", "1 1 1 1", []float64{120, 100, 90, 90}, []float64{1, 1, 1, 1}},
		{"above 125 per cent of a quarter", "1 1 1 1", []float64{200, 80, 60, 60}, []float64{0.625, 1, 1, 1}},
		{"fair is by weight", "3 1 1 1", []float64{200, 80, 60, 60}, []float64{1, 1, 1, 1}},
		{"two of them", "1 1 1 1", []float64{180, 180, 20, 20}, []float64{0.695, 0.695, 1, 1}},
		{"a member without a report does not count", "1 1 1 1", []float64{200, 100, 60, -1}, []float64{0.75, 1, 1, 1}},
		{"no load at all", "1 1 1 1", []float64{0, 0, 0, 0}, []float64{1, 1, 1, 1}},
		{"alone", "1 1 1 1", []float64{200, -1, -1, -1}, []float64{1, 1, 1, 1}},
	} {
		for _, pool := range []string{"hash bound=125", "weighted sticky bound=125"} {
			tree := fourBound(t, pool, c.weights)
			report(tree, 1, c.loads...)
			expect(t, pool+": "+c.behaviour, keptBy(tree), c.want)
		}
	}
	tree := fourBound(t, "hash bound=125", "1 1 1 1")
	setVerdicts(t, tree, health.Down, "web/m4")
	report(tree, 1, 200, 100, 60, 1000)
	expect(t, "who is down does not count", keptBy(tree), []float64{0.75, 1, 1, 1})
	report(tree, 60, -1, 100, 60, 1000)
	expect(t, "stale: keeps all", keptBy(tree), []float64{1, 1, 1, 1})
}

// The part moves only the member's own clients, fewer the more it keeps; they
// return when the load decreases.
func TestBoundMovesOnlyClientsOfOverloadedMember(t *testing.T) {
	tree := fourBound(t, "hash bound=125", "1 1 1 1")
	before := hashed(t, tree, networks)
	report(tree, 1, 200, 80, 60, 60)
	after := hashed(t, tree, networks)
	share := moves(t, "above its bound", before, after, func(from, _ string) bool { return from == "192.0.2.1" })
	if want := 0.25 - 0.625/3.625; math.Abs(share-want) > 0.01 {
		t.Errorf("%.3f moved, want %.3f", share, want)
	}
	to := map[string]int{}
	for i := range after {
		if before[i] != after[i] {
			to[after[i]]++
		}
	}
	for _, member := range []string{"192.0.2.2", "192.0.2.3", "192.0.2.4"} { // each network to its own next choice
		if part := float64(to[member]) / networks / share; math.Abs(part-1./3) > 0.03 {
			t.Errorf("%s got %.3f of those that moved, want a third", member, part)
		}
	}
	for at := range 10 {
		report(tree, 60*(2+at), 100, 100, 100, 100)
	}
	moves(t, "back within its bound", before, hashed(t, tree, networks), func(string, string) bool { return false })
}

// For any weights of networks, members settle at their bound, within two steps, each a
// 64th of what a member would have without it (a part differs by up to three quarters of a step, and is
// rounded to a step), and within the heaviest network.
func TestBoundLoadsConverge(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 4 {
		weights := strings.Trim(fmt.Sprint([]int{1 + rnd.IntN(3), 1 + rnd.IntN(3), 1 + rnd.IntN(3), 1 + rnd.IntN(3)}), "[]")
		tree := fourBound(t, "hash bound=120", weights)
		s, q := tree.Scratch(), ask(t, tree, "web", IPv4, "0.0.0.0")
		loads := make([]float64, 2000)
		heaviest := 0.
		for i := range loads {
			loads[i] = 1 + 4*rnd.Float64()
			heaviest = max(heaviest, loads[i])
		}
		hot := rnd.IntN(4) // has the heavy clients
		first := make([]int, len(loads))
		serve := func() []float64 {
			got := make([]float64, 4)
			for i := range loads {
				q.Client = netip.AddrFrom4([4]byte{20, 0, byte(i >> 8), byte(i)})
				tree.Decide(q, s)
				b := s.Addrs[0].As4()
				to := int(b[3]) - 1
				if first[i] == 0 {
					first[i] = to + 1
				}
				load := loads[i]
				if first[i] == hot+1 {
					load *= 2.5
				}
				got[to] += load
			}
			return got
		}
		unbound := serve()
		got := unbound
		for at := range 60 {
			report(tree, 60*at, got...)
			got = serve()
		}
		total, weight := 0., 0.
		for i := range got {
			total += got[i]
			weight += float64(tree.weights[i])
		}
		for i := range got {
			most := 1.2 * float64(tree.weights[i]) / weight * total
			if got[i] > most+max(most, unbound[i])*2/full+2.5*heaviest {
				t.Errorf("seed %d, weights %v: m%d has %.0f, its bound is %.0f; all %.0f, kept %v", seed, weights, i+1, got[i], most, got, keptBy(tree))
			}
		}
	}
}

// bound and shed on one pool: the smaller part counts.
func TestMinimumOfBoundAndShedApplies(t *testing.T) {
	for _, c := range []struct {
		loads []float64
		keeps float64 // the first
	}{
		{[]float64{400, 100}, 0.9375},             // far from full, above 150 % of a half
		{[]float64{850, 850}, 0.9 / (0.2 + 0.85)}, // fair, and nearly full
		{[]float64{1000, 100}, 0.9 / (0.2 + 1)},   // both: full is the smaller part
		{[]float64{600, 0}, 0.75},                 // both: above its bound is the smaller part
	} {
		cfg := shedding(loaded(t, world(t, "pool web hash bound=150\n  a 192.0.2.1\n  b 192.0.2.2\n"), "web/a=1000", "web/b=1000"))
		tree := compile(t, cfg)
		report(tree, 1, c.loads...)
		if got := float64(tree.state.Load().loadFraction(0)) / full; math.Abs(got-c.keeps) > 1./full {
			t.Errorf("%v: the first keeps %.3f, want %.3f", c.loads, got, c.keeps)
		}
	}
}

func TestReloadKeepsBoundParts(t *testing.T) {
	tree := fourBound(t, "hash bound=125", "1 1 1 1")
	report(tree, 1, 200, 80, 60, 60)
	next := fourBound(t, "hash bound=125", "1 1 1 1")
	next.CarryOver(tree)
	moves(t, "reload", hashed(t, tree, 2000), hashed(t, next, 2000), func(string, string) bool { return false })
	expect(t, "kept", keptBy(next), keptBy(tree))
}

func TestExplainShowsBound(t *testing.T) {
	tree := fourBound(t, "hash bound=125", "1 1 1 1")
	report(tree, 1, 200, 80, 60, 60)
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "20.0.0.1"), tree.Scratch())
	if want := "; load 200 of 1000; carries more than its bound, 125 % of its fair share; keeps 62 %"; !strings.HasSuffix(steps[0].Reason, want) {
		t.Errorf("got %s, want ...%s", steps[0].Reason, want)
	}
	expect(t, "keeps", steps[0].Load.Keeps, 0.625)
}
