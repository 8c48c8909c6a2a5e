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

func TestProximityTakesNearestEligibleRegion(t *testing.T) {
	for _, c := range []struct {
		behaviour, world, down string
		client                 string
		want                   string
		scoped                 bool
	}{
		{
			behaviour: "the nearest",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			client:    "198.51.100.1", want: "192.0.2.2", scoped: true,
		},
		{
			behaviour: "the next when the nearest is down",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			down:      "web/b",
			client:    "198.51.100.1", want: "192.0.2.1", scoped: true,
		},
		{
			behaviour: "all members of the region",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=near 192.0.2.3\n",
			client:    "10.0.0.1", want: "192.0.2.1 192.0.2.3", scoped: true,
		},
		{
			behaviour: "of regions in one place the first of the configuration, whatever the pool's order",
			world:     "region twin 0 0\npool web proximity\n  b region=twin 192.0.2.2\n  a region=near 192.0.2.1\n",
			client:    "10.0.0.1", want: "192.0.2.1",
		},
		{
			behaviour: "bias draws clients near: 90 degrees less a tenth are nearer than 85",
			world:     "region biased 90 0 10\nregion plain 0 -85\npool web proximity\n  a region=plain 192.0.2.1\n  b region=biased 192.0.2.2\n",
			client:    "10.0.0.1", want: "192.0.2.2", // for every client of this world, so with scope 0
		},
		{
			behaviour: "one region only: the client does not matter",
			world:     "pool web proximity\n  a region=far 192.0.2.1\n",
			client:    "10.0.0.1", want: "192.0.2.1",
		},
		{
			behaviour: "members without a region are not used while a region has one",
			world:     "pool web proximity\n  z 192.0.2.9\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			client:    "10.0.0.1", want: "192.0.2.1", scoped: true,
		},
		{
			behaviour: "members without a region come last, for all clients",
			world:     "pool web proximity\n  z 192.0.2.9\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			down:      "web/a web/b", client: "10.0.0.1", want: "192.0.2.9",
		},
		{
			behaviour: "no regions at all",
			world:     "pool web proximity\n  y 192.0.2.8\n  z 192.0.2.9\n",
			client:    "10.0.0.1", want: "192.0.2.8 192.0.2.9",
		},
		{
			behaviour: "a nested pool has a region like others",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far pool=inner\npool inner weighted\n  c 192.0.2.3\n",
			client:    "198.51.100.1", want: "192.0.2.3", scoped: true,
		},
		{
			behaviour: "under another policy the client does not matter",
			world:     "pool web weighted\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			client:    "198.51.100.1", want: "192.0.2.1 192.0.2.2",
		},
		{
			behaviour: "the scope is that of a nested proximity pool",
			world:     "pool web failover\n  in pool=inner\npool inner proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			client:    "198.51.100.1", want: "192.0.2.2", scoped: true,
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			q := ask(t, tree, "web", IPv4, c.client)
			expect(t, "answers", answers(tree, q), c.want)
			expect(t, "scope over 0", tree.Decide(q, tree.Scratch()).Scope > 0, c.scoped)
		})
	}
}

// Every address within the scope of an answer gets that answer and that scope,
// with any members down.
func TestScopeHoldsClientsWithEqualAnswers(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	tree := compile(t, world(t, regionsOfTheWorld+`
pool web proximity
  a region=us 192.0.2.1
  b region=eu 192.0.2.2
  c region=in pool=asia
  d region=au 192.0.2.4
pool asia proximity
  e region=in 192.0.2.5
  f region=au 192.0.2.6
bind web
`))
	s := tree.Scratch()
	for range rounds(2000) {
		var turns []health.Transition
		for i := range tree.Targets() {
			turns = append(turns, health.Transition{Index: i, To: []health.Verdict{health.Up, health.Up, health.Down}[rnd.IntN(3)]})
		}
		tree.Apply(turns)
		q := ask(t, tree, "web", IPv4, "192.0.2.1")
		q.Draw = rnd.Uint64()
		q.Client = randomClient(rnd)
		decision := tree.Decide(q, s)
		want := slices.Clone(s.Addrs)
		for range 20 {
			within := q
			within.Client = randomWithin(rnd, q.Client, int(decision.Scope))
			if got := tree.Decide(within, s); got != decision || !slices.Equal(s.Addrs, want) {
				t.Fatalf("seed %d: %s gets %v %v, %s of the same /%d gets %v %v",
					seed, q.Client, want, decision, within.Client, decision.Scope, s.Addrs, got)
			}
		}
	}
}

func randomClient(rnd *rand.Rand) netip.Addr {
	if rnd.IntN(2) == 0 {
		return randomWithin(rnd, netip.IPv4Unspecified(), 0)
	}
	return randomWithin(rnd, netip.MustParseAddr("2000::"), 3)
}

// randomWithin returns an address with the first bits of a.
func randomWithin(rnd *rand.Rand, a netip.Addr, bits int) netip.Addr {
	bytes := a.AsSlice()
	for i := bits; i < len(bytes)*8; i++ {
		bytes[i/8] ^= byte(rnd.IntN(2)) << (7 - i%8)
	}
	within, _ := netip.AddrFromSlice(bytes)
	return within
}

// Each pool uses the table of its own regions, even if several are made at a time.
func TestPoolsOfDifferentRegionsHaveTheirOwnTables(t *testing.T) {
	var b strings.Builder
	b.WriteString("region hub 0 0\n")
	for i := range 12 {
		fmt.Fprintf(&b, "region r%[1]d 10 %[2]d\nnet 198.51.%[1]d.0/24 r%[1]d\n", i, 30*i-170)
	}
	for i := range 12 {
		fmt.Fprintf(&b, "pool p%[1]d proximity\n  far region=hub 192.0.2.100\n  near region=r%[1]d 192.0.2.%[1]d\n", i)
	}
	tree := compile(t, world(t, b.String()))
	expect(t, "tables", len(tree.geoTables), 12)
	for i := range 12 {
		q := ask(t, tree, fmt.Sprintf("p%d", i), IPv4, fmt.Sprintf("198.51.%d.1", i))
		expect(t, q.Client.String(), answers(tree, q), fmt.Sprintf("192.0.2.%d", i))
	}
}
