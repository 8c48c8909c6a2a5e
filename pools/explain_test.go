package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/health"
)

// stepsText returns the steps of a decision, one a line: the member with * if chosen
// and ! if not eligible, its health state and the reason.
func stepsText(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		mark := ""
		if s.Chosen {
			mark = "*"
		}
		if !s.Eligible {
			mark += "!"
		}
		fmt.Fprintf(&b, "%s/%s%s [%s] %s\n", s.Pool, s.Member, mark, s.State, s.Reason)
	}
	return b.String()
}

func TestExplainGivesReasonForEachMember(t *testing.T) {
	for _, c := range []struct {
		behaviour, world, up, down string
		family                     Family
		want                       string
	}{
		{
			behaviour: "proximity",
			world: `pool web proximity
  a region=near 192.0.2.1
  b region=near weight=0 192.0.2.2
  c region=near disabled 192.0.2.3
  d region=far 192.0.2.4
  e 192.0.2.5
`,
			up: "web/d",
			want: `web/a* [unknown] nearest region with an eligible member: 0 km
web/b! [unknown] weight 0
web/c! [disabled] disabled
web/d [up] region "far" is farther: 10008 km
web/e [unknown] without a region: last, and a region has an eligible member
`,
		},
		{
			behaviour: "proximity with the nearest down",
			world:     "region biased 90 0 -50\npool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=biased 192.0.2.3\n",
			down:      "web/a web/b",
			want: `web/a! [down] down: its IPv4 address is down
web/b! [down] down: its IPv4 address is down
web/c* [unknown] nearest region with an eligible member: 10008 km, which its bias of -50 makes 20015 km; "near", "far" are nearer and have none eligible
`,
		},
		{
			behaviour: "weighted, and the addresses that are down",
			world:     "pool web weighted\n  a weight=10 192.0.2.1\n  b weight=5 192.0.2.2 192.0.2.3\n  c 2001:db8::1\n",
			down:      "web/b web/c", up: "web/a",
			want: `web/a* [up] weight 10 of 10
web/b! [down] down: all its 2 IPv4 addresses are down
web/c! [down] down: it has no IPv4 address and its IPv6 address is down
`,
		},
		{
			behaviour: "round-robin",
			world:     "pool web round-robin answers=2\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n",
			want: `web/a* [unknown] its turn: 1 of 3 eligible; each worker takes its own
web/b* [unknown] next after the one before; the answer takes several
web/c [unknown] not drawn
`,
		},
		{
			behaviour: "failover into a nested pool",
			world:     "pool web failover\n  x pool=lame\n  in pool=inner\n  z 192.0.2.9\npool inner failover\n  a 192.0.2.1\npool lame weighted min_up=2\n  b 192.0.2.2\n  c 192.0.2.3\n  d disabled 192.0.2.4\n",
			down:      "lame/b",
			want: `web/x! [not live: 1 of 2 up, min_up 2] pool "lame" is not live: 1 of 2 up, min_up 2
web/in* [live] first eligible in the order written
web/z [unknown] comes after "in"
inner/a* [unknown] first eligible in the order written
`,
		},
		{
			behaviour: "a family that another of the region has",
			world:     "pool web failover\n  a region=near 192.0.2.1\n  b region=near 2001:db8::2\n",
			family:    IPv6,
			want: `web/a [unknown] has no IPv6 address; "b" of the same region is used instead
web/b* [unknown] used instead of "a", which has no IPv6 address; first eligible in the order written
`,
		},
		{
			behaviour: "a family that no member of the region has",
			world:     "pool web failover\n  a region=near 192.0.2.1\n  b region=far 2001:db8::2\n",
			family:    IPv6,
			want: `web/a [unknown] has no IPv6 address, nor has another of the same region: it adds nothing
web/b [unknown] comes after "a"
`,
		},
		{
			behaviour: "a family that no member has",
			world:     "pool web failover\n  a region=near 192.0.2.1\n",
			family:    IPv6,
			want:      "web/a [unknown] has no IPv6 address, nor has another of the pool: it adds nothing\n",
		},
		{
			behaviour: "a fallback",
			world:     "pool web weighted min_up=67% fallback=spare\n  a 192.0.2.1\n  b 192.0.2.2\npool spare failover\n  c 192.0.2.3\n",
			down:      "web/b",
			want: `web/a [unknown] its pool is not live: 1 of 2 up, min_up 67%
web/b! [down] down: its IPv4 address is down
spare/c* [unknown] first eligible in the order written
`,
		},
		{
			behaviour: "failing open",
			world:     "pool web failover\n  a 192.0.2.1\n  in pool=inner\npool inner weighted\n  b 192.0.2.2\n",
			down:      "web inner",
			want: `web/a* [down] first eligible in the order written; counted as up, since its pool fails open
web/in [not live: 0 of 1 up, min_up 1] comes after "a"; counted as up, since its pool fails open
`,
		},
		{
			behaviour: "nothing to answer with",
			world:     "pool web failover fail_open=never\n  a 192.0.2.1\n",
			down:      "web",
			want:      "web/a! [down] down: its IPv4 address is down\n",
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world))
			setVerdicts(t, tree, health.Up, strings.Fields(c.up)...)
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			q := ask(t, tree, "web", c.family, "192.0.2.200")
			if _, steps := tree.Explain(q, tree.Scratch()); stepsText(steps) != c.want {
				t.Errorf("got\n%s\nwant\n%s", stepsText(steps), c.want)
			}
		})
	}
}

func TestExplainGivesDistanceAndWeight(t *testing.T) {
	tree := compile(t, world(t, nearAndFar+"pool web proximity\n  a region=near weight=3 192.0.2.1\n  b region=far pool=in\npool in weighted\n  c region=far 192.0.2.3\n"))
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "198.51.100.1"), tree.Scratch())
	if len(steps) != 3 {
		t.Fatalf("got %d steps, want 3", len(steps))
	}
	expect(t, "distance of a", fmt.Sprintf("%.1f", *steps[0].DistanceKm), "10007.6")
	expect(t, "distance of b", fmt.Sprintf("%.1f", *steps[1].DistanceKm), "0.0")
	expect(t, "distance of c is none", steps[2].DistanceKm == nil, true)
	expect(t, "weight of a", *steps[0].Weight, 3)
	expect(t, "policies", []string{steps[0].Policy, steps[2].Policy}, []string{"proximity", "weighted"})
}

// Explain matches Decide: it has the same answer, scope and mode, and the chosen members are
// exactly those with answered addresses.
func TestExplainMatchesDecide(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	for range rounds(60) {
		text := randomWorld(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		tree.Apply(randomTurns(rnd, tree, r))
		randomOverrides(rnd, tree, r)
		randomLoads(rnd, tree, r)
		decided, explained := tree.Scratch(), tree.Scratch()
		for range 20 {
			q := ask(t, tree, "p0", Family(rnd.IntN(2)), clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))])
			q.Draw = rnd.Uint64()
			want := tree.Decide(q, decided)
			got, steps := tree.Explain(q, explained)
			if got != want || !slices.Equal(explained.Addrs, decided.Addrs) {
				t.Fatalf("seed %d: explained %v %v, decided %v %v, world:\n%s", seed, got, explained.Addrs, want, decided.Addrs, text)
			}
			compareSteps(t, tree, q, decided.Addrs, steps)
			if t.Failed() {
				t.Fatalf("seed %d, world:\n%s", seed, text)
			}
		}
	}
}

func compareSteps(t *testing.T, tree *Tree, q Request, addrs []netip.Addr, steps []Step) {
	t.Helper()
	var chosen []netip.Addr
	for _, s := range steps {
		expect(t, "a chosen member is eligible", s.Chosen && !s.Eligible, false)
		expect(t, "every step has a reason", s.Reason != "", true)
		if id, i, err := tree.find(s.Pool, s.Member); err == nil && s.Chosen {
			chosen = append(chosen, of(&tree.cfg.Pools[id].Members[i], q.Family)...)
		}
	}
	for _, a := range addrs {
		if !slices.Contains(chosen, a) {
			t.Errorf("%s was answered, but no member with it is marked chosen:\n%s", a, stepsText(steps))
		}
	}
	expect(t, "chosen and answered", len(chosen) > 0, len(addrs) > 0)
}
