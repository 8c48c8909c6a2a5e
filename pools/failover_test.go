package pools

import (
	"strings"
	"testing"

	"meridian/health"
)

func TestFailoverTakesTheFirstEligible(t *testing.T) {
	for _, c := range []struct{ behaviour, world, down, want string }{
		{"the first", "pool web failover\n  a 192.0.2.1\n  b weight=100 192.0.2.2\n  c 192.0.2.3\n", "", "192.0.2.1"},
		{"the next one when it is down", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "web/a", "192.0.2.2"},
		{"the last one when only that is left", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "web/a web/b", "192.0.2.3"},
		{"the first as all are down", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web", "192.0.2.1"},
		{"the first two", "pool web failover answers=2\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "web/b", "192.0.2.1 192.0.2.3"},
		{"the first of the next pool", "pool web failover\n  in pool=inner\n  c 192.0.2.3\npool inner failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "inner/a", "192.0.2.2"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			expect(t, "answers", answers(tree, ask(t, tree, "web", IPv4, "8.8.8.8")), c.want)
		})
	}
}

func TestFailoverReturnsWhenTheFirstIsUpAgain(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n"))
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	setVerdicts(t, tree, health.Down, "web/a")
	setVerdicts(t, tree, health.Up, "web/a")
	expect(t, "answers", answers(tree, q), "192.0.2.1")
}
