package pools

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"meridian/health"
)

// TestFastPathMatchesDecide compares the fast path with the full one, in
// worlds of all kinds and with members down, in slow start, forced and drained.
func TestFastPathMatchesDecide(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	taken := 0
	for range rounds(100) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		for range 4 {
			taken += compareFastPath(t, rnd, tree)
			tree.Apply(randomTurns(rnd, tree, r))
			randomOverrides(rnd, tree, r)
		}
		if t.Failed() {
			t.Fatalf("seed %d, world:\n%s", seed, text)
		}
	}
	if !raceEnabled && taken < 1000 {
		t.Errorf("the fast path decided %d times only", taken)
	}
}

// randomPlain returns a pool that the fast path handles.
func randomPlain(rnd *rand.Rand) string {
	var b strings.Builder
	policy := []string{"proximity", "weighted", "failover"}[rnd.IntN(3)]
	fmt.Fprintf(&b, "pool plain %s min_up=%d\n", policy, 1+rnd.IntN(2))
	for m := range 1 + rnd.IntN(10) {
		fmt.Fprintf(&b, "  m%d weight=%d region=%s", m, rnd.IntN(4), []string{"us", "eu", "in", "au"}[rnd.IntN(4)])
		families := 1 + rnd.IntN(3)
		if families&1 != 0 {
			fmt.Fprintf(&b, " 192.0.2.%d", rnd.IntN(20))
		}
		if families&2 != 0 {
			fmt.Fprintf(&b, " 2001:db8::%d", rnd.IntN(20))
		}
		b.WriteString("\n")
	}
	b.WriteString("bind plain\n")
	return b.String()
}

// compareFastPath asks each pool some requests and counts those that fastDecide decides.
func compareFastPath(t *testing.T, rnd *rand.Rand, tree *Tree) (taken int) {
	t.Helper()
	fast, slow := tree.Scratch(), tree.Scratch()
	for _, p := range tree.cfg.Pools {
		for range 20 {
			q := ask(t, tree, p.Name, Family(rnd.IntN(2)), clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))])
			q.Draw = rnd.Uint64()
			fast.begin(tree)
			slow.begin(tree)
			got, ok := fast.fastDecide(q)
			if !ok {
				continue
			}
			taken++
			if want := slow.decide(q); got != want || !slices.Equal(fast.Addrs, slow.Addrs) {
				t.Errorf("%+v: %+v %v, want %+v %v", q, got, fast.Addrs, want, slow.Addrs)
			}
		}
	}
	return taken
}

func TestFastPathIsForPlainPoolsOnly(t *testing.T) {
	const head = "region a 0 0\nregion b 50 50\npool p "
	for text, want := range map[string]bool{
		"proximity\n  x region=a 192.0.2.1 2001:db8::1\n  y region=b 192.0.2.2\nbind p\n": true,
		"proximity\n  x 192.0.2.1\nbind p\n":                                              true,
		"proximity\n  x region=a 192.0.2.1 192.0.2.2\nbind p\n":                           false,
		"proximity\n  x region=a 192.0.2.1\n  y region=b cname=host.example.\nbind p\n":   false,
		"weighted\n  x region=a 192.0.2.1\nbind p\n":                                      true,
		"failover\n  x region=a 192.0.2.1\nbind p\n":                                      true,
		"failover trickle=5\n  x region=a 192.0.2.1\n  y 192.0.2.2\nbind p\n":             false,
		"weighted sticky\n  x region=a 192.0.2.1\nbind p\n":                               false,
		"round-robin\n  x region=a 192.0.2.1\nbind p\n":                                   false,
		"proximity\n  x region=a pool=q\npool q weighted\n  y 192.0.2.1\nbind p\n":        false,
	} {
		tree := compile(t, world(t, head+text))
		s := tree.Scratch()
		s.begin(tree)
		q := ask(t, tree, "p", IPv4, "198.51.100.1")
		if _, got := s.fastDecide(q); got != want {
			t.Errorf("direct is %t, want %t, for\n%s", got, want, text)
		}
		if q.Answers = 2; want {
			if _, got := s.fastDecide(q); got {
				t.Errorf("direct decides for two answers, for\n%s", text)
			}
		}
	}
}

// TestFastPathLeavesFailuresToDecide checks a pool with only one member, which is down.
func TestFastPathLeavesFailuresToDecide(t *testing.T) {
	tree := compile(t, world(t, "region a 0 0\npool p proximity\n  x region=a 192.0.2.1\nbind p\n"))
	setVerdicts(t, tree, health.Down, "p/x")
	s := tree.Scratch()
	s.begin(tree)
	q := ask(t, tree, "p", IPv4, "198.51.100.1")
	if _, ok := s.fastDecide(q); ok {
		t.Error("direct decides for a pool that is down")
	}
	expect(t, "mode", tree.Decide(q, s).Mode, FailedOpen)
}
