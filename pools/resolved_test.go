package pools

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

// resolve sets the addresses of a tree's targets: NAME=ADDRESS,ADDRESS...
func resolve(t *testing.T, tree *Tree, targets ...string) *Tree {
	t.Helper()
	found := map[config.Target]Resolved{}
	for _, target := range targets {
		name, list, _ := strings.Cut(target, "=")
		r := Resolved{Since: time.Unix(1e9, 0).UTC()}
		for a := range strings.SplitSeq(list, ",") {
			r.Addresses = append(r.Addresses, netip.MustParseAddr(a))
		}
		found[config.Target(name)] = r
	}
	next, err := tree.Resolve(found)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

const named = `
region us 39 -77
region eu 53 -6
net 10.0.0.0/8 us
pool web proximity fallback=sorry
  lb region=us target=lb.example.net.
  eu region=eu 192.0.2.2 2001:db8::2
pool alone weighted
  lb target=lb.example.net.
pool above weighted
  nested pool=alone
  spare weight=0 192.0.2.9
pool sorry weighted check=none
  sorry 192.0.2.99
bind web
bind alone
`

func TestTargetWithoutAddressesIsNotEligible(t *testing.T) {
	tree := compile(t, world(t, named))
	expect(t, "unresolved", tree.Unresolved(), 2)
	expect(t, "another region answers", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.2")
	expect(t, "a pool of such is not live", answers(tree, ask(t, tree, "alone", IPv4, "10.0.0.1")), "nodata")
	expect(t, "nor are those above it", answers(tree, ask(t, tree, "above", IPv4, "10.0.0.1")), "nodata")

	setVerdicts(t, tree, health.Down, "web/eu")
	expect(t, "nor does it fail open", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.99")
	tree.SetOverrides([]Override{{Pool: "alone", Member: "lb", Kind: ForcedUp}})
	expect(t, "nor can it be forced", answers(tree, ask(t, tree, "alone", IPv4, "10.0.0.1")), "nodata")
	if _, err := tree.SimulateVerdict("web", "lb", health.Up); err == nil || !strings.Contains(err.Error(), `"lb.example.net." is not resolved`) {
		t.Errorf("turning it: %v", err)
	}
}

func TestMembersHaveAddressesOfTarget(t *testing.T) {
	before := compile(t, world(t, named))
	tree := resolve(t, before, "lb.example.net.=192.0.2.10,192.0.2.11,2001:db8::10")
	expect(t, "unresolved", tree.Unresolved(), 0)
	expect(t, "IPv4", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.10 192.0.2.11")
	expect(t, "IPv6", answers(tree, ask(t, tree, "web", IPv6, "10.0.0.1")), "2001:db8::10")
	expect(t, "nested", answers(tree, ask(t, tree, "above", IPv4, "10.0.0.1")), "192.0.2.10 192.0.2.11")
	expect(t, "the tree before", answers(before, ask(t, before, "web", IPv4, "10.0.0.1")), "192.0.2.2")
	expect(t, "targets of the prober", len(tree.Targets()), len(before.Targets())+3)
	if tree.geoTables[0] != before.geoTables[0] {
		t.Error("the geo table was made anew")
	}

	turns, err := tree.SimulateVerdict("web", "lb", health.Down)
	expect(t, "turns", len(turns), 3)
	if err != nil {
		t.Fatal(err)
	}
	tree.Apply(turns[:1])
	expect(t, "each address has its verdict", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.11")
	tree.Apply(turns[1:])
	expect(t, "all down", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.2")

	tree.SetOverrides([]Override{{Pool: "web", Member: "lb", Kind: Drained}})
	again := resolve(t, tree, "lb.example.net.=192.0.2.10")
	again.CarryOver(tree)
	expect(t, "overrides go along", answers(again, ask(t, again, "web", IPv4, "10.0.0.1")), "192.0.2.2")

	tree.SetOverrides(nil)
	gone := resolve(t, tree, "other.example.net.=192.0.2.10")
	expect(t, "a target that is not told", answers(gone, ask(t, gone, "web", IPv4, "10.0.0.1")), "192.0.2.2")
}

func TestExplainShowsTarget(t *testing.T) {
	tree := compile(t, world(t, named))
	q := ask(t, tree, "web", IPv4, "10.0.0.1")
	_, steps := tree.Explain(q, tree.Scratch())
	lb := steps[0]
	expect(t, "unresolved", lb.State+", "+lb.Reason, `unresolved, unresolved: target "lb.example.net." has no address yet`)
	expect(t, "its target", lb.Target.Name+" "+lb.Target.Since.String(), "lb.example.net. "+time.Time{}.String())

	tree = resolve(t, tree, "lb.example.net.=192.0.2.10,2001:db8::10")
	_, steps = tree.Explain(q, tree.Scratch())
	expect(t, "resolved", steps[0].State, "unknown")
	expect(t, "its addresses", steps[0].Target.Addresses, "[192.0.2.10 2001:db8::10]")
	expect(t, "since", steps[0].Target.Since.Unix(), 1000000000)
	if steps[1].Target != nil {
		t.Error("a member with addresses has a target")
	}
}

func TestStatusShowsTarget(t *testing.T) {
	tree := compile(t, world(t, named))
	for p := range tree.Status() {
		if p.Pool == "alone" {
			expect(t, "state", p.Members[0].State+" "+string(p.Members[0].Target), "unresolved lb.example.net.")
		}
	}
}
