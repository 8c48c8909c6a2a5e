package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

// places has networks by country, for clients 11.0.0.1 (DE), 12.0.0.1 (JP), 13.0.0.1 (FR).
const places = "net 11.0.0.0/8 country:DE\nnet 12.0.0.0/8 country:JP\nnet 13.0.0.0/8 country:FR\n"

const nestedGeo = `pool top failover
  g pool=geo
  rest 192.0.2.99
pool geo geolocation fence
  de match=country:DE 192.0.2.1
  fr match=country:FR 192.0.2.2
`

func TestParentsPassOverPoolsWithoutAnAnswerForTheClient(t *testing.T) {
	const inPlaces = "region near 50 8\nregion far -33 151\n"
	for _, c := range []struct{ behaviour, world, client, down, want string }{
		{"a match", nestedGeo, "11.0.0.1", "", "192.0.2.1"},
		{"no match", nestedGeo, "12.0.0.1", "", "192.0.2.99"},
		{"the match is down", nestedGeo, "11.0.0.1", "geo/de", "192.0.2.99"},
		{"another match is down", nestedGeo, "13.0.0.1", "geo/de", "192.0.2.2"},
		{"the pool is down", nestedGeo, "11.0.0.1", "geo", "192.0.2.99"},
		{"no other member", strings.Replace(nestedGeo, "  rest 192.0.2.99\n", "", 1), "12.0.0.1", "", "nodata"},
		{"two levels", "pool all weighted\n  t pool=mid\n  last 192.0.2.98\npool mid failover\n  g pool=geo\n" + nestedGeo, "12.0.0.1", "", "192.0.2.98"},
		{"weights", strings.Replace(nestedGeo, "top failover", "top weighted", 1), "12.0.0.1", "", "192.0.2.99"},
		{"turns", strings.Replace(nestedGeo, "top failover", "top round-robin", 1), "12.0.0.1", "", "192.0.2.99"},
		{"hash", strings.Replace(nestedGeo, "top failover", "top hash", 1), "12.0.0.1", "", "192.0.2.99"},
		{"every member", strings.Replace(nestedGeo, "top failover", "top all answers=0", 1), "12.0.0.1", "", "192.0.2.99"},
		{
			"the next region", inPlaces + "pool top proximity\n  g region=near pool=geo\n  rest region=far 192.0.2.99\n" + strings.SplitAfter(nestedGeo, "192.0.2.99\n")[1],
			"12.0.0.1", "", "192.0.2.99",
		},
		{
			"the wider match", "pool top geolocation\n  g match=country:JP pool=geo\n  asia match=continent:AS 192.0.2.3\n  rest match=default 192.0.2.99\n" + strings.SplitAfter(nestedGeo, "192.0.2.99\n")[1],
			"12.0.0.1", "", "192.0.2.3",
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, places+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			for id, p := range tree.cfg.Pools {
				if id == 0 {
					q := ask(t, tree, p.Name, IPv4, c.client)
					expect(t, p.Name, answers(tree, q), c.want)
					expectExplained(t, tree, q)
				}
			}
		})
	}
}

// expectExplained compares Explain with Decide.
func expectExplained(t *testing.T, tree *Tree, q Request) {
	t.Helper()
	s := tree.Scratch()
	d, steps := tree.Explain(q, s)
	explained := answerOf(s)
	expect(t, "explained mode", tree.Decide(q, s).Mode, d.Mode)
	for _, step := range steps {
		if step.Chosen && !step.Eligible || step.Reason == "" {
			t.Errorf("step %+v", step)
		}
	}
	if why := s.PoolAnswers[0].NoDataWhy; (explained == "") != (why != "") {
		t.Errorf("answer %q, reason for NODATA %q", explained, why)
	}
}

func TestScopesOfNestedPoolsThatAreDependOnTheClient(t *testing.T) {
	tree := compile(t, world(t, places+nestedGeo+"pool first failover\n  rest 192.0.2.99\n  g pool=geo\n"))
	for _, c := range []struct {
		pool, client string
		scope        uint8
	}{
		{"top", "11.0.0.1", 8},
		{"top", "13.0.0.1", 8},
		{"top", "12.0.0.1", 8},
		{"first", "11.0.0.1", 0}, // geo is never asked
	} {
		expect(t, c.pool+" "+c.client, tree.Decide(ask(t, tree, c.pool, IPv4, c.client), tree.Scratch()).Scope, c.scope)
	}
	expectScopesThatHold(t, tree, "top")
}

// expectScopesThatHold asks from many networks and their neighbours.
func expectScopesThatHold(t *testing.T, tree *Tree, pool string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	s := tree.Scratch()
	for range rounds(100) {
		q := ask(t, tree, pool, IPv4, publicClient(rnd).String())
		q.Client = netip.AddrFrom4([4]byte{byte(10 + rnd.IntN(5)), byte(rnd.IntN(256)), 1, 1})
		q.Draw = rnd.Uint64()
		d := tree.Decide(q, s)
		want := fmt.Sprint(answerOf(s), d)
		for _, near := range within(rnd, q.Client, int(d.Scope)) {
			if isPrivate(near) || isPrivate(q.Client) {
				continue
			}
			other := q
			other.Client = near
			d := tree.Decide(other, s)
			expect(t, fmt.Sprint(q.Client, " and ", near), fmt.Sprint(answerOf(s), d), want)
		}
	}
}
