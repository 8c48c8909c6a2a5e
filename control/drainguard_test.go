package control

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// guardedWorld has pools at random, each behind a name: endpoints, nested pools, fallbacks
// that may lead back, fail_open and min_up of every kind.
func guardedWorld(t *testing.T, random *rand.Rand) *snapshot.Snapshot {
	var all, names strings.Builder
	address := 0
	for p := range 5 {
		fmt.Fprintf(&all, "  p%d:\n    policy: weighted\n    check: c\n    fail_open: %s\n    min_up: %s\n", p,
			[]string{"remaining", "all", "never"}[random.IntN(3)], []string{"1", "2", "50%", "100%"}[random.IntN(4)])
		if fallback := random.IntN(5); fallback != p && random.IntN(2) == 0 {
			fmt.Fprintf(&all, "    fallback: p%d\n", fallback)
		}
		all.WriteString("    members:\n")
		for m := range 2 + random.IntN(2) {
			fmt.Fprintf(&all, "      - {name: m%d, region: r%d, enabled: %v, ", m, random.IntN(2), random.IntN(6) > 0)
			if inner := p + 1 + random.IntN(5); inner < 5 {
				fmt.Fprintf(&all, "pool: p%d}\n", inner)
				continue
			}
			address++
			fmt.Fprintf(&all, "addresses: [192.0.2.%d]}\n", address)
		}
		fmt.Fprintf(&names, "      n%d: {pool: p%d}\n", p, p)
	}
	return answertest.Build(t, `
regions: {r0: {location: [1, 2]}, r1: {location: [3, 4]}}
checks: {c: {type: tcp, port: 80}}
pools:
`+all.String()+`
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: h@example.com
    names:
`+names.String(), "")
}

// answered returns which pools answer the names that are bound to them.
func answered(tree *pools.Tree) map[string]bool {
	found := map[string]bool{}
	for p := range tree.Status() {
		found[p.Pool] = p.Mode[pools.IPv4] != pools.Dead
	}
	return found
}

// checked returns the error of an override.
func checked(at *view, said *Override) error {
	return at.checkOverride(said, func() (*sides, error) { return at.under(at.overrides.with(*said)) })
}

// TestOverridesThatLeaveNoAnswerAreRefused compares with what the pools do under the override,
// which may follow several others.
func TestOverridesThatLeaveNoAnswerAreRefused(t *testing.T) {
	refused := map[pools.Kind]int{}
	for seed := range uint64(250) {
		random := rand.New(rand.NewPCG(seed, 0))
		snapshot := guardedWorld(t, random)
		tree := snapshot.Pools
		var transitions []health.Transition
		for i := range tree.Targets() {
			transitions = append(transitions, health.Transition{Index: i, To: []health.Verdict{health.Up, health.Down}[random.IntN(2)]})
		}
		tree.Apply(transitions)
		target := func() Selector {
			all := []Selector{{Pool: "p" + fmt.Sprint(random.IntN(5))}, {Region: "r" + fmt.Sprint(random.IntN(2))}}
			return append(all, Selector{Pool: all[0].Pool, Member: "m" + fmt.Sprint(random.IntN(2))})[random.IntN(3)]
		}
		kinds := []pools.Kind{pools.Drained, pools.ForcedUp, pools.ForcedDown}
		var said overrides
		for range 1 + random.IntN(3) {
			said = said.with(Override{Target: target(), Kind: kinds[random.IntN(3)].String()})
		}
		tree.SetOverrides(said.forTree())
		at := &view{Generation: Generation{Snapshot: snapshot}, overrides: said}

		next, kind := target(), kinds[random.IntN(3)]
		err := checked(at, &Override{Target: next, Kind: kind.String()})
		before := answered(tree)
		tree.SetOverrides(said.with(Override{Target: next, Kind: kind.String()}).forTree())
		var lost []string
		for p, after := range answered(tree) {
			if before[p] && !after {
				lost = append(lost, p)
			}
		}
		if (err != nil) != (len(lost) > 0) {
			t.Errorf("seed %d, %s %s: %v; pools without an answer: %v", seed, next, kind, err, lost)
		}
		if err != nil {
			refused[kind]++
		}
	}
	if refused[pools.Drained] < 10 || refused[pools.ForcedDown] < 10 {
		t.Errorf("only %v refusals: too few to compare", refused)
	}
}

// TestFallbackThatAFenceKeepsFromAllClientsIsNoAnswer covers a fallback that no client gets.
func TestFallbackThatAFenceKeepsFromAllClientsIsNoAnswer(t *testing.T) {
	for _, c := range []struct {
		setting, match string
		lost           bool
	}{
		{"", "default", true},
		{"default: nodata, ", "{network: 192.0.2.0/24}", false},
	} {
		snapshot := answertest.Build(t, `
pools:
  web: {policy: geolocation, on_down: fence, `+c.setting+`fallback: spare, members: [{name: a, addresses: [192.0.2.1], match: `+c.match+`}]}
  spare: {policy: weighted, members: [{name: b, addresses: [192.0.2.2]}]}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}}
`, "")
		err := checked(&view{Generation: Generation{Snapshot: snapshot}}, &Override{Target: Selector{Pool: "web"}, Kind: pools.Drained.String()})
		if (err != nil) != c.lost {
			t.Errorf("match %s: %v", c.match, err)
		}
	}
}

// TestDrainBesideUncertainMember covers states that are restored at a start: a member that was down before counts as down
// until its first result, and cannot answer for another one.
func TestDrainBesideUncertainMember(t *testing.T) {
	snapshot := answertest.Build(t, `
checks: {c: {type: tcp, port: 80}}
pools:
  web: {policy: weighted, check: c, fail_open: never, members: [{name: a, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}]}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}}
`, "")
	at, drain := &view{Generation: Generation{Snapshot: snapshot}}, &Override{Target: Selector{Pool: "web", Member: "a"}, Kind: pools.Drained.String()}
	for _, effective := range []health.Verdict{health.Up, health.Down} {
		snapshot.Pools.Apply([]health.Transition{{Index: 0, To: health.Up, Effective: health.Up}, {Index: 1, To: health.Uncertain, Effective: effective}})
		if err := checked(at, drain); (err != nil) != (effective == health.Down) {
			t.Errorf("beside a member that is uncertain and counts as %s: %v", effective, err)
		}
	}
}

// TestDrainThatLeavesOneTypeWithoutAnswer covers a name with a pool for A and one for AAAA: each answers its own type only.
func TestDrainThatLeavesOneTypeWithoutAnswer(t *testing.T) {
	snapshot := answertest.Build(t, `
pools:
  four: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
  six: {policy: weighted, members: [{name: c, addresses: ["2001:db8::2"]}]}
  other: {policy: weighted, members: [{name: d, addresses: [192.0.2.3]}]}
views: {inside: {match: {network: [10.0.0.0/8]}}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: {A: four, AAAA: six}, views: {inside: {pool: {A: other, AAAA: six}}}}}}}
`, "")
	for _, c := range []struct{ pool, member, lost string }{
		{"four", "a", "www.example.com. A"},
		{"six", "c", "www.example.com. AAAA, www.example.com. AAAA (view inside)"},
		{"other", "d", "www.example.com. A (view inside)"},
	} {
		err := checked(&view{Generation: Generation{Snapshot: snapshot}}, &Override{Target: Selector{Pool: c.pool, Member: c.member}, Kind: pools.Drained.String()})
		if (err != nil) != (c.lost != "") || err != nil && !strings.Contains(err.Error(), "no answer for "+c.lost+".") && !strings.HasSuffix(err.Error(), "no answer for "+c.lost) {
			t.Errorf("draining %s/%s: %v, want no answer for %q", c.pool, c.member, err, c.lost)
		}
	}
}
