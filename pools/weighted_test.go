package pools

import (
	"math"
	"testing"

	"meridian/health"
	"meridian/pools/internal/bitset"
)

func TestWeightedDrawsByWeight(t *testing.T) {
	const draws = 100_000
	for _, c := range []struct {
		behaviour, world, down string
		want                   map[string]float64
	}{
		{
			"by weight over the sum of weights", "pool web weighted\n  a weight=10 192.0.2.1\n  b weight=5 192.0.2.2\n  c weight=1 192.0.2.3\n", "",
			map[string]float64{"192.0.2.1": 10.0 / 16, "192.0.2.2": 5.0 / 16, "192.0.2.3": 1.0 / 16},
		},
		{
			"of the eligible ones", "pool web weighted\n  a weight=10 192.0.2.1\n  b weight=5 192.0.2.2\n  c weight=1 192.0.2.3\n", "web/a",
			map[string]float64{"192.0.2.2": 5.0 / 6, "192.0.2.3": 1.0 / 6},
		},
		{
			"equal weights", "pool web weighted\n  a weight=7 192.0.2.1\n  b weight=7 192.0.2.2\n  c weight=0 192.0.2.3\n", "",
			map[string]float64{"192.0.2.1": 0.5, "192.0.2.2": 0.5},
		},
		{
			"the largest and the smallest weight", "pool web weighted\n  a weight=1000000 192.0.2.1\n  b weight=1 192.0.2.2\n", "",
			map[string]float64{"192.0.2.1": 0.999999, "192.0.2.2": 0.000001},
		},
		{
			"a nested pool by its own weight, whatever is in it", "pool web weighted\n  a weight=1 192.0.2.1\n  b weight=3 pool=in\npool in weighted\n  c weight=100 192.0.2.3\n  d weight=300 192.0.2.4\n", "",
			map[string]float64{"192.0.2.1": 0.25, "192.0.2.3": 3.0 / 16, "192.0.2.4": 9.0 / 16},
		},
		{
			"inside the nearest region", "region here 0 0\nregion there 0 90\nnet 0.0.0.0/0 here\npool web proximity\n  a region=here weight=3 192.0.2.1\n  b region=here 192.0.2.2\n  c region=there weight=100 192.0.2.3\n", "",
			map[string]float64{"192.0.2.1": 0.75, "192.0.2.2": 0.25},
		},
		{
			"two without replacement", "pool web weighted answers=2\n  a weight=2 192.0.2.1\n  b weight=1 192.0.2.2\n  c weight=1 192.0.2.3\n", "",
			map[string]float64{"192.0.2.1": 0.5 + 2*0.25*2/3, "192.0.2.2": 0.25 + 0.5*0.5 + 0.25/3, "192.0.2.3": 0.25 + 0.5*0.5 + 0.25/3},
		},
		{
			"the addresses of an endpoint equally", "pool web weighted\n  a 192.0.2.1 192.0.2.2 192.0.2.3\n", "",
			map[string]float64{"192.0.2.1": 1.0 / 3, "192.0.2.2": 1.0 / 3, "192.0.2.3": 1.0 / 3},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, c.world))
			if c.down != "" {
				setVerdicts(t, tree, health.Down, c.down)
			}
			got := shares(tree, ask(t, tree, "web", IPv4, "8.8.8.8"), draws)
			expect(t, "different addresses", len(got) <= len(c.want), true)
			for addr, p := range c.want {
				// Draws are 0, 1, 2 and so on: always the same, so six standard deviations never flake.
				tolerance := 6*math.Sqrt(p*(1-p)*draws) + 1
				if off := float64(got[addr]) - p*draws; math.Abs(off) > tolerance {
					t.Errorf("%s came %d times in %d, want %.0f within %.0f", addr, got[addr], draws, p*draws, tolerance)
				}
			}
		})
	}
}

// The fast path for equal weights draws the same members.
func TestEvenWeightsMatchSlowPath(t *testing.T) {
	tree := compile(t, world(t, "pool web weighted\n  a weight=9 192.0.2.1\n  b weight=9 192.0.2.2\n  c weight=9 192.0.2.3\n"))
	s := tree.Scratch()
	short := frame{pool: &tree.pools[0]}
	uneven := tree.pools[0]
	uneven.even = false
	long := frame{pool: &uneven}
	expect(t, "even", short.even, true)
	for n := range 10_000 {
		r := seed(1).draw(n)
		if a, b := s.byWeight(&short, bitset.Set{7}, r), s.byWeight(&long, bitset.Set{7}, r); a != b {
			t.Fatalf("r %d: member %d the short way, %d the long one", r, a, b)
		}
	}
}
