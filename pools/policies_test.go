package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/geo"
	"meridian/health"
)

// everyPolicy lists worlds that together have every way to choose.
var everyPolicy = []string{
	"pool web proximity\n  a region=us 192.0.2.1 2001:db8::1\n  b region=us weight=3 192.0.2.2\n  c region=eu 192.0.2.3 2001:db8::3\n  d region=us weight=0 192.0.2.4",
	"pool web geolocation\n  a match=default 192.0.2.1 2001:db8::1\n  b match=continent:NA weight=3 192.0.2.2 2001:db8::2\n  c match=continent:NA 192.0.2.3 2001:db8::3\n  d weight=0 match=country:US 192.0.2.4",
	"pool web hash\n  a 192.0.2.1 2001:db8::1\n  b weight=3 192.0.2.2 2001:db8::2\n  c weight=0 192.0.2.3",
	"pool web weighted sticky\n  a 192.0.2.1\n  b weight=3 192.0.2.2 2001:db8::2\n  c disabled 192.0.2.3",
	"pool web failover trickle=5\n  a 192.0.2.1\n  b 192.0.2.2 2001:db8::2\n  c 192.0.2.3",
	"pool web fastest\n  a 192.0.2.1 2001:db8::1\n  b weight=3 192.0.2.2\n  c 192.0.2.3 2001:db8::3",
	"pool web latency\n  a region=us 192.0.2.1 2001:db8::1\n  b region=us weight=3 192.0.2.2\n  c region=eu 192.0.2.3 2001:db8::3\nrtt US us 20\nrtt US eu 10 12",
	"pool web least-load\n  a load=100 192.0.2.1 2001:db8::1\n  b load=300 weight=3 192.0.2.2 2001:db8::2\n  c capacity=50 192.0.2.3\n  d load=100 disabled 192.0.2.4",
	"pool web all answers=0\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3 2001:db8::3\n  d weight=0 192.0.2.4",
	"pool web weighted spread answers=2\n  a region=us 192.0.2.1\n  b region=us 192.0.2.2\n  c region=eu 192.0.2.3 2001:db8::3",
	"pool web round-robin\n  a pool=inner\n  b 192.0.2.2\npool inner fastest\n  c 192.0.2.3\n  d 192.0.2.4 192.0.2.5",
}

func eachPolicy(t *testing.T, f func(t *testing.T, tree *Tree)) {
	for _, text := range everyPolicy {
		t.Run(strings.Fields(text)[2], func(t *testing.T) {
			tree := compile(t, world(t, regionsOfTheWorld+text))
			report(tree, 1, []float64{20, 250, 0}[:len(tree.loadTargets)]...)
			f(t, tree)
		})
	}
}

func TestNoPolicyAllocates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, tree *Tree) {
		respond(t, tree, map[string]time.Duration{"192.0.2.1": 5 * time.Millisecond})
		s := tree.Scratch()
		for _, f := range []Family{IPv4, IPv6} {
			q := ask(t, tree, "web", f, "8.8.8.8")
			tree.Decide(q, s)
			expect(t, "allocations", testing.AllocsPerRun(100, func() { q.Draw++; tree.Decide(q, s) }), 0.0)
		}
	})
}

// Probabilities match Decide: within six standard deviations of 20,000 draws.
func TestProbabilitiesMatchFrequencies(t *testing.T) {
	eachPolicy(t, func(t *testing.T, tree *Tree) {
		s := tree.Scratch()
		q := ask(t, tree, "web", IPv4, "8.8.8.8")
		q.Answers = 1
		_, shares := tree.Probabilities(q, s)
		const draws = 20_000
		got := map[string]int{}
		for range draws {
			q.Draw = rand.Uint64()
			tree.Decide(q, s)
			got[answerOf(s)]++
		}
		sum := 0
		for _, share := range shares {
			n := got[share.Addr.String()]
			if off := math.Abs(float64(n) - draws*share.P); off > 6*math.Sqrt(draws*share.P*(1-share.P))+1 {
				t.Errorf("%v came %d times of %d", share, n, draws)
			}
			sum += n
		}
		expect(t, "answers that the odds know", sum, draws)
	})
}

// For any request and any states, no answer has a forbidden address.
func TestNoPolicyAnswersForbiddenAddresses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	eachPolicy(t, func(t *testing.T, tree *Tree) {
		r := newReference(tree.cfg, nil)
		s := tree.Scratch()
		for range 50 {
			tree.Apply(randomTurns(rnd, tree, r))
			drained := &tree.cfg.Pools[0].Members[rnd.IntN(len(tree.cfg.Pools[0].Members))]
			tree.SetOverrides([]Override{{Pool: "web", Member: drained.Name, Kind: Drained}})
			for _, f := range []Family{IPv4, IPv6} {
				q := ask(t, tree, "web", f, clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))])
				q.Draw = rnd.Uint64()
				d := tree.Decide(q, s)
				for _, a := range s.Addrs {
					for _, m := range tree.cfg.Pools[0].Members {
						if slices.Contains(m.Addresses, a) && (!m.Enabled || m.Weight == 0 || m.Name == drained.Name || a.Is4() != (f == IPv4) || d.Mode == Normal && r.down[a]) {
							t.Errorf("%+v got %s in mode %s of %+v", q, a, d.Mode, m)
						}
					}
				}
			}
		}
	})
}

// respond sets the response times of addresses.
func respond(t *testing.T, tree *Tree, took map[string]time.Duration) {
	t.Helper()
	var turns []health.Transition
	for i, target := range tree.Targets() {
		if d := took[target.Addr.String()]; d > 0 {
			turns = append(turns, health.Transition{Index: i, Target: target, From: health.Up, To: health.Up, Response: d})
		}
	}
	tree.Apply(turns)
}

func TestFastestAreWithinATenth(t *testing.T) {
	tree := compile(t, world(t, `pool web fastest
  a 192.0.2.1 2001:db8::1
  b weight=3 192.0.2.2
  c 192.0.2.3 2001:db8::3
  d 192.0.2.4`))
	v4 := ask(t, tree, "web", IPv4, "8.8.8.8")
	expect(t, "nothing is known", answers(tree, v4), "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4")
	respond(t, tree, map[string]time.Duration{"192.0.2.1": 20 * time.Millisecond, "192.0.2.2": 21 * time.Millisecond, "192.0.2.3": 80 * time.Millisecond})
	expect(t, "two are about the fastest", answers(tree, v4), "192.0.2.1 192.0.2.2")
	respond(t, tree, map[string]time.Duration{"2001:db8::3": 5 * time.Millisecond})
	expect(t, "the other family counts", answers(tree, v4), "192.0.2.3")
	expect(t, "AAAA follows A", answers(tree, ask(t, tree, "web", IPv6, "8.8.8.8")), "2001:db8::3")
	setVerdicts(t, tree, health.Down, "web/c")
	expect(t, "the fastest is down", answers(tree, v4), "192.0.2.1 192.0.2.2")
	_, steps := tree.Explain(v4, tree.Scratch())
	for _, step := range steps {
		if step.Chosen && !strings.HasPrefix(step.Reason, "responds in 2") {
			t.Errorf("%s: %s", step.Member, step.Reason)
		}
	}
}

// Each of the six orders of three members is equally frequent, within six standard deviations.
func TestAllAreShuffled(t *testing.T) {
	tree := compile(t, world(t, "pool web all answers=0\n  a 192.0.2.1\n  b weight=9 192.0.2.2\n  c 192.0.2.3"))
	q, s := ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch()
	got := map[string]int{}
	draws := rounds(6000)
	for range draws {
		q.Draw = rand.Uint64()
		tree.Decide(q, s)
		got[fmt.Sprint(s.Addrs)]++
	}
	expect(t, "orders", len(got), 6)
	want := float64(draws) / 6
	for order, n := range got {
		if math.Abs(float64(n)-want) > 6*math.Sqrt(want*5/6) {
			t.Errorf("%s came %d times of %d, want about %.0f", order, n, draws, want)
		}
	}
}

func TestSpreadAnswerHasEachRegionOnce(t *testing.T) {
	tree := compile(t, world(t, regionsOfTheWorld+`pool web weighted spread answers=2
  a region=us weight=100 192.0.2.1
  b region=us weight=100 192.0.2.2
  c region=eu 192.0.2.3
pool three failover spread answers=3
  a region=us 192.0.2.1
  b region=us 192.0.2.2
  c region=eu 192.0.2.3
  d region=us 192.0.2.4`))
	got := shares(tree, ask(t, tree, "web", IPv4, "8.8.8.8"), 500)
	expect(t, "the other region is always there", got["192.0.2.3"], 500)
	expect(t, "and one of the first", got["192.0.2.1"]+got["192.0.2.2"], 500)
	s := tree.Scratch()
	tree.Decide(ask(t, tree, "three", IPv4, "8.8.8.8"), s)
	expect(t, "then in order again", s.Addrs, "[192.0.2.1 192.0.2.3 192.0.2.2]")
}

// 5 % of 10,000 draws within six standard deviations: 370 to 630.
func TestTrickleReachesNextEligibleStandby(t *testing.T) {
	tree := compile(t, world(t, "pool web failover trickle=5\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3"))
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	within := func(what string, n int) {
		t.Helper()
		if n < 370 || n > 630 {
			t.Errorf("%s: %d of 10000", what, n)
		}
	}
	within("standby", shares(tree, q, 10_000)["192.0.2.2"])
	setVerdicts(t, tree, health.Down, "web/b")
	within("next standby", shares(tree, q, 10_000)["192.0.2.3"])
	setVerdicts(t, tree, health.Down, "web/c")
	expect(t, "alone", answers(tree, q), "192.0.2.1")
}

func TestGeolocationWidensAndFences(t *testing.T) {
	text := regionsOfTheWorld + `pool web geolocation
  berlin match=network:192.88.99.0/26 192.0.2.1
  germany match=country:DE 192.0.2.2
  europe match=continent:EU 192.0.2.3
  others match=default 192.0.2.4`
	for _, c := range []struct {
		options, down, want string
		scope               uint8
	}{
		{"", "", "192.0.2.1", 26},
		{"", "berlin", "192.0.2.2", 26},
		{"", "berlin germany", "192.0.2.3", 26},
		{"", "berlin germany europe", "192.0.2.4", 26},
		{"fence", "berlin", "nodata", 26},
		{"fence", "germany", "192.0.2.1", 26},
	} {
		tree := compile(t, world(t, strings.Replace(text, "geolocation", "geolocation "+c.options, 1)))
		for _, m := range strings.Fields(c.down) {
			setVerdicts(t, tree, health.Down, "web/"+m)
		}
		q := ask(t, tree, "web", IPv4, "192.88.99.1")
		expect(t, c.options+" down "+c.down, answers(tree, q), c.want)
		expect(t, c.options+" down "+c.down+": scope", tree.Decide(q, tree.Scratch()).Scope, c.scope)
	}
}

func TestExplainShowsGeolocationReasons(t *testing.T) {
	tree := compile(t, world(t, regionsOfTheWorld+`pool web geolocation
  berlin match=network:192.88.99.0/26 192.0.2.1
  germany match=country:DE 192.0.2.2
  asia match=continent:AS 192.0.2.3
  others match=default 192.0.2.4`))
	setVerdicts(t, tree, health.Down, "web/berlin")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "192.88.99.1"), tree.Scratch())
	want := []string{
		"down: its IPv4 address is down",
		"matches country DE; network 192.88.99.0/26 is more specific and has none eligible",
		"does not match the client",
		"matches less specifically, by default",
	}
	for i, step := range steps {
		expect(t, step.Member, step.Reason, want[i])
	}
}

func TestUnreachableMatchesAreErrors(t *testing.T) {
	cfg := world(t, "pool web geolocation\n  a match=subdivision:US-CA 192.0.2.1\n  b match=default 192.0.2.2")
	where, err := geo.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer where.Close()
	_, err = Compile(cfg, where)
	if err == nil || !strings.Contains(err.Error(), `pools.web.members[0].match: no source knows subdivisions; name a City database under geo.database`) {
		t.Errorf("got %v", err)
	}
}
