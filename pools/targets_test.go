package pools

import (
	"slices"
	"strings"
	"testing"

	"meridian/config"
	"meridian/health"
)

func TestTargetsAreEachCheckAndAddressOnce(t *testing.T) {
	cfg := world(t, "pool one weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2\npool two weighted\n  c 192.0.2.1\n  in pool=one\npool three weighted check=none\n  d 192.0.2.3\n")
	cfg.Checks = append(cfg.Checks, config.Check{Name: "other"})
	cfg.Pools[0].Members[1].Check = "other"
	tree := compile(t, cfg)
	var got []string
	for _, target := range tree.Targets() {
		got = append(got, target.Check.Name+" "+target.Addr.String())
	}
	expect(t, "targets", strings.Join(got, ", "), "web 192.0.2.1, web 2001:db8::1, other 192.0.2.2")
}

func TestUsersAreTheMembersOfATarget(t *testing.T) {
	tree := compile(t, world(t, "region eu 50 8\npool one weighted\n  a region=eu 192.0.2.1 2001:db8::1\npool two weighted\n  b 192.0.2.1\n"))
	expect(t, "of the IPv4 address, in the order written", tree.TargetUses(0), []TargetUse{{"one", "a", "eu"}, {"two", "b", ""}})
	expect(t, "of the IPv6 address", tree.TargetUses(1), []TargetUse{{"one", "a", "eu"}})
}

func TestSimulateVerdictChangesAllAddresses(t *testing.T) {
	tree := compile(t, world(t, "pool one weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2\n"))
	turns, err := tree.SimulateVerdict("one", "a", health.Down)
	if err != nil || len(turns) != 2 {
		t.Fatalf("got %v, %v, want two turns", turns, err)
	}
	for _, turn := range turns {
		expect(t, "target", turn.Target, tree.Targets()[turn.Index])
		expect(t, "from", turn.From, health.Unknown)
	}
	tree.Apply(turns)
	turns, _ = tree.SimulateVerdict("one", "a", health.Up)
	expect(t, "from, once down", turns[0].From, health.Down)
}

func TestSimulateVerdictErrors(t *testing.T) {
	tree := compile(t, world(t, "pool one weighted check=none\n  a 192.0.2.1\n  b pool=two\npool two weighted\n  c 192.0.2.2\n"))
	for _, c := range []struct{ pool, member, want string }{
		{"none", "a", `no pool "none"`},
		{"one", "z", `pool "one" has no member "z"; it has "a", "b"`},
		{"one", "a", `member "a" of pool "one" has no check: it is always up`},
		{"one", "b", `member "b" of pool "one" is pool "two": its health state follows its members; set those`},
	} {
		_, err := tree.SimulateVerdict(c.pool, c.member, health.Down)
		expect(t, c.pool+"/"+c.member, err, c.want)
	}
}

// TestUsedTargetsFollowAllThatMayAnswer has pools with a nested pool, a fallback, the fallback of a nested pool, which
// never answers, and a checked region.
func TestUsedTargetsFollowAllThatMayAnswer(t *testing.T) {
	cfg := world(t, "region eu 50 8 0 192.0.2.9\nbind web\nbind other\npool web weighted fallback=spare\n  a region=eu 192.0.2.1 2001:db8::1\n  in pool=inner\n"+
		"pool inner weighted fallback=never\n  b 192.0.2.2\npool spare weighted\n  c 192.0.2.3\npool never weighted\n  d 192.0.2.4\npool other weighted\n  e 192.0.2.5\n  f 192.0.2.3\n")
	tree := compile(t, cfg)
	for _, c := range []struct{ asked, want string }{
		{"", ""},
		{"web", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.9 2001:db8::1"},
		{"other", "192.0.2.3 192.0.2.5"},
		{"inner", "192.0.2.2"},
		{"web other", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.5 192.0.2.9 2001:db8::1"},
	} {
		var asked []ID
		for _, name := range strings.Fields(c.asked) {
			asked = append(asked, ID(slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == name })))
		}
		var got []string
		for _, target := range tree.UsedTargets(asked) {
			got = append(got, tree.Targets()[target].Addr.String())
		}
		slices.Sort(got)
		expect(t, "used by "+c.asked, strings.Join(got, " "), c.want)
	}
}
