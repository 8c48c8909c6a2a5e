package pools

import (
	"strings"
	"testing"

	"meridian/health"
)

// sequence returns the last octets of the answers to some requests in a row; "-" is NODATA.
func sequence(tree *Tree, s *Scratch, q Request, n int) string {
	var words []string
	for range n {
		q.Draw++
		tree.Decide(q, s)
		word := ""
		for _, a := range s.Addrs {
			bytes := a.AsSlice()
			word += string('0' + bytes[len(bytes)-1])
		}
		if word == "" {
			word = "-"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestRoundRobinTakesTurns(t *testing.T) {
	const four = "  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n"
	for _, c := range []struct{ behaviour, world, down, want string }{
		{"in the order written, over and over", "pool web round-robin\n" + four, "", "1 2 3 4 1 2 3 4"},
		{"down members are skipped, with equal shares for the rest", "pool web round-robin\n" + four, "web/b", "1 3 4 1 3 4 1 3"},
		{"whatever the weights, but 0", "pool web round-robin\n  a weight=9 192.0.2.1\n  b weight=0 192.0.2.2\n  c 192.0.2.3\n", "", "1 3 1 3 1 3 1 3"},
		{"two at a time move on by one", "pool web round-robin answers=2\n" + four, "", "12 23 34 41 12 23 34 41"},
		{"all of them rotate", "pool web round-robin answers=0\n" + four, "", "1234 2341 3412 4123 1234 2341 3412 4123"},
		{"substitutes take turns, too", "pool web round-robin\n  a 192.0.2.1\n  b 2001:db8::2\n  c 192.0.2.3\n  d 2001:db8::4\n", "", "1 1 3 1 1 3 3 3"},
		{"in step with an inner pool", "pool web round-robin\n  in pool=inner\n  z 192.0.2.9\npool inner round-robin\n  a 192.0.2.1\n  b 192.0.2.2\n", "", "1 9 2 9 1 9 2 9"},
		{"all down: all take turns", "pool web round-robin\n" + four, "web", "1 2 3 4 1 2 3 4"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, c.world))
			if c.down != "" {
				setVerdicts(t, tree, health.Down, c.down)
			}
			expect(t, "turns", sequence(tree, tree.Scratch(), ask(t, tree, "web", IPv4, "8.8.8.8"), 8), c.want)
		})
	}
}

// A client asks A and AAAA in a row. With one counter, its A would always be
// the same of two members.
func TestRoundRobinCountsFamiliesSeparately(t *testing.T) {
	tree := compile(t, world(t, "pool web round-robin\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n"))
	s := tree.Scratch()
	got := ""
	for range 3 {
		got += sequence(tree, s, ask(t, tree, "web", IPv4, "8.8.8.8"), 1)
		got += sequence(tree, s, ask(t, tree, "web", IPv6, "8.8.8.8"), 1)
	}
	expect(t, "A and AAAA in turn", got, "112211")
}

func TestEachWorkerKeepsItsOwnTurn(t *testing.T) {
	tree := compile(t, world(t, "pool web round-robin\n  a 192.0.2.1\n  b 192.0.2.2\n"))
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	one, other := tree.Scratch(), tree.Scratch()
	expect(t, "one", sequence(tree, one, q, 3), "1 2 1")
	expect(t, "other", sequence(tree, other, q, 3), "1 2 1")
	expect(t, "one again", sequence(tree, one, q, 3), "2 1 2")
}
