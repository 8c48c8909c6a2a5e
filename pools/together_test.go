package pools

import (
	"fmt"
	"strings"
	"testing"

	"meridian/health"
)

// setAddressVerdicts sets the health state of the targets at some addresses.
func setAddressVerdicts(t testing.TB, tree *Tree, to health.Verdict, addresses string) {
	t.Helper()
	var turns []health.Transition
	for i, target := range tree.Targets() {
		for a := range strings.FieldsSeq(addresses) {
			if target.Addr.String() == a {
				turns = append(turns, health.Transition{Index: i, Target: target, To: to})
			}
		}
	}
	if len(turns) != len(strings.Fields(addresses)) {
		t.Fatalf("%d targets at %s", len(turns), addresses)
	}
	tree.Apply(turns)
}

// The A and the AAAA of a pool with dual_stack: together return one member; otherwise one
// family would stay behind while the other fails over.
func TestDualStackTogether(t *testing.T) {
	const pair = "pool web failover %s\n  one %s\n  two 192.0.2.2 2001:db8::2\n"
	const both = "192.0.2.1 2001:db8::1"
	const inner = "pool in weighted\n  four 192.0.2.1\n  six 2001:db8::1\n"
	for _, c := range []struct {
		behaviour, world, down, drain, want string
	}{
		{"independent: the family that works stays", fmt.Sprintf(pair, "", both), "2001:db8::1", "", "192.0.2.1 2001:db8::2"},
		{"together: both families leave with one", fmt.Sprintf(pair, "together", both), "2001:db8::1", "", "192.0.2.2 2001:db8::2"},
		{"likewise by IPv4", fmt.Sprintf(pair, "together", both), "192.0.2.1", "", "192.0.2.2 2001:db8::2"},
		{"all up", fmt.Sprintf(pair, "together", both), "", "", "192.0.2.1 2001:db8::1"},
		{"one of two addresses of a family is enough", fmt.Sprintf(pair, "together", both+" 192.0.2.9"), "192.0.2.1", "", "192.0.2.9 2001:db8::1"},
		{"a family that it does not have does not count", fmt.Sprintf(pair, "together", "192.0.2.1"), "", "", "192.0.2.1 2001:db8::2"},
		{"a pool counts for each family that it would give", fmt.Sprintf(pair, "together", "pool=in") + inner, "2001:db8::1", "", "192.0.2.2 2001:db8::2"},
		{"it is live again", fmt.Sprintf(pair, "together", "pool=in") + inner, "", "", "192.0.2.1 2001:db8::1"},
		{"a drained member of it is not missing", fmt.Sprintf(pair, "together", "pool=in") + inner, "2001:db8::1", "in/six", "192.0.2.1 2001:db8::2"},
		{"all fail open as they are", fmt.Sprintf(pair, "together", both), "192.0.2.1 2001:db8::2", "", "192.0.2.1 2001:db8::1"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, c.world))
			setAddressVerdicts(t, tree, health.Down, c.down)
			if c.drain != "" {
				pool, member, _ := strings.Cut(c.drain, "/")
				tree.SetOverrides([]Override{{Pool: pool, Member: member, Kind: Drained}})
			}
			got := answers(tree, ask(t, tree, "web", IPv4, "8.8.8.8")) + " " + answers(tree, ask(t, tree, "web", IPv6, "8.8.8.8"))
			expect(t, "A and AAAA", got, c.want)
		})
	}
}

func TestExplainShowsDualStackTogether(t *testing.T) {
	tree := compile(t, world(t, `
pool web failover together
  one 192.0.2.1 2001:db8::1
  in pool=in
  two 192.0.2.2 2001:db8::2
pool in weighted
  four 192.0.2.3
  six 2001:db8::3
`))
	setAddressVerdicts(t, tree, health.Down, "2001:db8::1 2001:db8::3")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "A explained", stepsText(steps), `web/one! [down] down, since dual_stack is together: its IPv6 address is down
web/in! [not live: it gives no IPv6] dual_stack is together: pool "in" gives no IPv6
web/two* [unknown] first eligible in the order written
`)
	_, steps = tree.Explain(ask(t, tree, "web", IPv6, "8.8.8.8"), tree.Scratch())
	expect(t, "AAAA explained", stepsText(steps), `web/one! [down] down: its IPv6 address is down
web/in! [not live: it gives no IPv6] dual_stack is together: pool "in" gives no IPv6
web/two* [unknown] first eligible in the order written
`)
	for p := range tree.Status() {
		if p.Pool == "web" {
			expect(t, "status", []any{p.DualStack, p.Members[0].State, p.Members[0].Eligible, p.Members[1].State, p.Members[2].State},
				[]any{"together", "down", [2]bool{}, "not live: it gives no IPv6", "unknown"})
		}
	}
}
