package pools

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/health"
)

// answersOrAlias returns the distinct answers of n draws, in order, each as its addresses or as
// the name of its alias.
func answersOrAlias(t *testing.T, tree *Tree, q Request, n int) string {
	t.Helper()
	s := tree.Scratch()
	seen := map[string]bool{}
	for i := range n {
		q.Draw = uint64(i)
		tree.Decide(q, s)
		if s.CName == nil {
			seen[fmt.Sprint(s.Addrs)] = true
			continue
		}
		name, _, err := dns.UnpackDomainName(s.CName, 0)
		if err != nil || len(s.Addrs) > 0 {
			t.Errorf("alias %q beside %v: %v", name, s.Addrs, err)
		}
		seen[name] = true
	}
	var all []string
	for one := range seen {
		all = append(all, one)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

const aliased = `
region us 39 -77
region eu 53 -6
net 10.0.0.0/8 us
net 11.0.0.0/8 eu
pool mixed weighted
  a 192.0.2.1
  host cname=host.example.net.
pool near proximity
  us region=us 192.0.2.2
  eu region=eu cname=eu.example.net.
pool first failover answers=0
  host cname=host.example.net.
  other cname=other.example.net.
  a 192.0.2.3
pool last failover answers=0
  a 192.0.2.4
  host cname=host.example.net.
  b 192.0.2.5
pool above weighted
  nested pool=near
pool sorry weighted
  sorry cname=sorry.example.net.
pool broken weighted fallback=sorry
  a 192.0.2.6
`

func TestMemberWithCNAMEIsDrawnLikeOthers(t *testing.T) {
	tree := compile(t, world(t, aliased))
	setVerdicts(t, tree, health.Down, "broken")
	for _, test := range []struct {
		pool   string
		family Family
		client string
		want   string
	}{
		{"mixed", IPv4, "10.0.0.1", "[192.0.2.1] host.example.net."},
		{"mixed", IPv6, "10.0.0.1", "host.example.net."}, // only this one of the two can give the family
		{"near", IPv4, "10.0.0.1", "[192.0.2.2]"},
		{"near", IPv4, "11.0.0.1", "eu.example.net."},
		{"near", IPv6, "11.0.0.1", "eu.example.net."},
		{"above", IPv4, "11.0.0.1", "eu.example.net."},
		{"first", IPv4, "10.0.0.1", "host.example.net."},
		{"last", IPv4, "10.0.0.1", "[192.0.2.4 192.0.2.5]"},
		{"broken", IPv4, "10.0.0.1", "sorry.example.net."},
	} {
		got := answersOrAlias(t, tree, ask(t, tree, test.pool, test.family, test.client), 200)
		expect(t, fmt.Sprint(test.pool, " ", test.family, " for ", test.client), got, test.want)
	}
	if n := len(tree.Targets()); n != 6 {
		t.Errorf("%d targets to be probed, want those of the addresses alone", n)
	}
}

func TestExplainAndStatusShowCNAME(t *testing.T) {
	tree := compile(t, world(t, aliased))
	_, steps := tree.Explain(ask(t, tree, "near", IPv6, "11.0.0.1"), tree.Scratch())
	eu := steps[1]
	expect(t, "step", fmt.Sprint(eu.CName, eu.State, eu.Chosen, eu.Target), "eu.example.net.uptrue <nil>")
	for p := range tree.Status() {
		if p.Pool == "near" {
			m := p.Members[1]
			expect(t, "status", fmt.Sprint(m.CName, m.State, m.Eligible, m.Addresses), "eu.example.net.up[true true] []")
		}
	}
	if _, err := tree.SimulateVerdict("near", "eu", health.Down); err == nil {
		t.Error("a member without a check was turned")
	}
	tree.SetOverrides([]Override{{Pool: "near", Member: "eu", Kind: Drained}})
	expect(t, "drained", answersOrAlias(t, tree, ask(t, tree, "near", IPv4, "11.0.0.1"), 50), "[192.0.2.2]")
}

func TestCNAMEDecisionAllocatesNothing(t *testing.T) {
	tree := compile(t, world(t, aliased))
	s, q := tree.Scratch(), ask(t, tree, "mixed", IPv4, "10.0.0.1")
	if n := testing.AllocsPerRun(200, func() { q.Draw++; tree.Decide(q, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// An alias must be alone: the members drawn with it are shown as not in the answer.
func TestExplainShowsMembersDrawnWithAlias(t *testing.T) {
	tree := compile(t, world(t, "pool web failover answers=2\n  a 192.0.2.1\n  b cname=host.example.net.\npool other failover answers=2\n  b cname=host.example.net.\n  a 192.0.2.1\n"))
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "addresses first", stepsText(steps), "web/a* [unknown] first eligible in the order written\nweb/b [up] drawn after addresses; a CNAME must be alone\n")
	_, steps = tree.Explain(ask(t, tree, "other", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "alias first", stepsText(steps), "other/b* [up] first eligible in the order written\nother/a [unknown] drawn after a CNAME, which must be alone\n")
}
