package pools

import (
	"fmt"
	"strings"
	"testing"
)

// Two paths lead from each of 40 levels to the next: 2^40 in all.
func TestProbabilitiesOfManyPathsToOnePool(t *testing.T) {
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "pool p%d failover\n  a pool=p%d\n  b pool=p%d\n", i, i+1, i+1)
	}
	text.WriteString("pool p40 weighted\n  x 192.0.2.1 weight=1\n  y 192.0.2.2 weight=3\n")
	tree := compile(t, world(t, text.String()))
	_, shares := tree.Probabilities(ask(t, tree, "p0", IPv4, "8.8.8.8"), tree.Scratch())
	for _, s := range shares {
		expect(t, "share of "+s.Member, s.P, map[string]float64{"x": 0.25, "y": 0.75}[s.Member])
	}
	expect(t, "shares", len(shares), 2)
}

// One pool is a member of two: each path has its part of it, and of the pool that
// contains it.
func TestProbabilitiesOfNestedPools(t *testing.T) {
	tree := compile(t, world(t, "pool p weighted\n  u pool=q weight=3\n  v pool=r weight=1\npool q weighted\n  w pool=r\n  x 192.0.2.1\npool r weighted\n  y 192.0.2.2\n"))
	_, _, nested := tree.NestedProbabilities(ask(t, tree, "p", IPv4, "8.8.8.8"), tree.Scratch())
	got := map[string]float64{}
	for _, n := range nested {
		got[n.Pool+"/"+n.Member] = n.P
	}
	expect(t, "what goes through members that are pools", got, map[string]float64{"p/u": 0.75, "p/v": 0.25, "q/w": 0.375})
}
