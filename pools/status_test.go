package pools

import (
	"fmt"
	"strings"
	"testing"

	"meridian/health"
)

func TestStatusOfEveryMember(t *testing.T) {
	tree := compile(t, world(t, overridden+`
pool all weighted min_up=50%
  up 192.0.2.21 2001:db8::21
  down 192.0.2.22
  off disabled 192.0.2.23
  gone 192.0.2.24
  forced 192.0.2.22
  shunned 192.0.2.21
  in region=far weight=3 pool=inner
pool unchecked weighted check=none
  a 2001:db8::1
`))
	gone := Override{Pool: "all", Member: "gone", Kind: Drained, Reason: "moved"}
	tree.SetOverrides([]Override{gone, {Pool: "all", Member: "forced", Kind: ForcedUp}, {Pool: "all", Member: "shunned", Kind: ForcedDown}})
	setVerdicts(t, tree, health.Up, "all/up")
	setVerdicts(t, tree, health.Down, "all/down", "inner/c", "inner/d")
	byName := map[string]PoolStatus{}
	for p := range tree.Status() {
		byName[p.Pool] = p
	}
	all := byName["all"]
	got := ""
	for _, m := range all.Members {
		got += fmt.Sprintf("%s: %s %v\n", m.Member, m.State, m.Eligible)
	}
	expect(t, "members", got, `up: up [true true]
down: down [false false]
off: disabled [false false]
gone: drained [false false]
forced: forced up [true true]
shunned: forced down [false false]
in: not live: 1 of 3 up, min_up 2 [false false]
`)
	expect(t, "need, half of five", all.Need, 3)
	expect(t, "mode", all.Mode, [2]Mode{FailedOpen, FailedOpen})
	expect(t, "live and eligible", []any{all.Live, all.Eligible}, []any{[2]bool{}, [2]int{2, 2}})
	expect(t, "override", *all.Members[3].Override, gone)
	expect(t, "addresses", addressesOf(all.Members[0]), fmt.Sprintf("192.0.2.21 %d up, 2001:db8::21 %d up", all.Members[0].Addresses[0].Target, all.Members[0].Addresses[1].Target))
	in := all.Members[6]
	expect(t, "nested", []any{in.Region, in.Nested, in.Weight, len(in.Addresses)}, []any{"far", "inner", 3, 0})
	for _, a := range all.Members[0].Addresses {
		expect(t, "target", tree.Targets()[a.Target].Addr, a.Addr)
	}
	expect(t, "unchecked", addressesOf(byName["unchecked"].Members[0])+"; "+byName["unchecked"].Members[0].State, "2001:db8::1 -1 up; up")
}

// addressesOf returns a member's addresses with their targets and health states.
func addressesOf(m MemberStatus) string {
	var all []string
	for _, a := range m.Addresses {
		all = append(all, fmt.Sprintf("%v %d %v", a.Addr, a.Target, a.Verdict))
	}
	return strings.Join(all, ", ")
}
