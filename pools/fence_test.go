package pools

import (
	"strings"
	"testing"

	"meridian/health"
)

// fenced has a fence that min_up would open by way of the fallback.
const fencedWorld = `group eea DE FR
pool gdpr geolocation fence min_up=2 fallback=api
  eea match=group:eea pool=eu
  world match=default 192.0.2.50
pool eu weighted
  a 192.0.2.1
  b 192.0.2.2
pool api failover
  x 192.0.2.66
bind gdpr
`

func TestFallbackAndFailOpenRespectFence(t *testing.T) {
	open := strings.Replace(fencedWorld, " fence ", " open ", 1)
	noMatch := strings.Replace(fencedWorld, "  world match=default 192.0.2.50\n", "  us match=country:US 192.0.2.50\n", 1)
	nested := "pool top failover fallback=last\n  g pool=gdpr\npool last failover\n  l 192.0.2.77\nbind top\n"
	for _, c := range []struct{ behaviour, world, client, down, want string }{
		{"all up", fencedWorld, "11.0.0.1", "", "normal 192.0.2.1 192.0.2.2"},
		{"the match is down: not its fallback", fencedWorld, "11.0.0.1", "eu", "fail-open nodata"},
		{"clients of another match stay in theirs", fencedWorld, "12.0.0.1", "eu", "fail-open 192.0.2.50"},
		{"all down: failing open, each in its match", fencedWorld, "11.0.0.1", "eu gdpr", "fail-open 192.0.2.1 192.0.2.2"},
		{"fail_open: never", strings.Replace(fencedWorld, "min_up=2", "min_up=2 fail_open=never", 1), "11.0.0.1", "eu", "nodata nodata"},
		{"fail_open: all opens inside the match", strings.Replace(fencedWorld, "min_up=2", "min_up=2 fail_open=all", 1), "11.0.0.1", "eu", "fail-open 192.0.2.1 192.0.2.2"},
		{"open: the match fails open", open, "11.0.0.1", "eu", "fail-open 192.0.2.1 192.0.2.2"},
		{"open: other clients are not affected", strings.Replace(open, " min_up=2", "", 1), "12.0.0.1", "eu", "normal 192.0.2.50"},
		{"open: while the pool is live", strings.Replace(open, " min_up=2", "", 1), "11.0.0.1", "eu", "fail-open 192.0.2.1 192.0.2.2"},
		{"open: up members come first", strings.Replace(open, "eu weighted", "eu weighted min_up=2", 1), "11.0.0.1", "eu/a", "fail-open 192.0.2.2"},
		{"no match, no fence: the fallback", noMatch, "12.0.0.1", "eu", "fallback 192.0.2.66"},
		{"a match: no fallback", noMatch, "11.0.0.1", "eu", "fail-open nodata"},
		{"the fallback of the pool around", nested + noMatch, "11.0.0.1", "eu gdpr", "fail-open 192.0.2.1 192.0.2.2"},
		{"the same without a match", nested + noMatch, "12.0.0.1", "eu gdpr", "fallback 192.0.2.77"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, places+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			q := ask(t, tree, tree.cfg.Pools[0].Name, IPv4, c.client)
			d := tree.Decide(q, tree.Scratch())
			expect(t, "answers", d.Mode.String()+" "+answers(tree, q), c.want)
			expectExplained(t, tree, q)
			expectScopesThatHold(t, tree, tree.cfg.Pools[0].Name)
		})
	}
}

func TestMembersForcedDownAreNotAnsweredByAnOpenMatch(t *testing.T) {
	tree := compile(t, world(t, places+strings.Replace(fencedWorld, " fence ", " open ", 1)))
	setVerdicts(t, tree, health.Down, "eu")
	tree.SetOverrides([]Override{{Pool: "eu", Member: "a", Kind: ForcedDown}})
	q := ask(t, tree, "gdpr", IPv4, "11.0.0.1")
	expect(t, "one forced down", answers(tree, q), "192.0.2.2")
	tree.SetOverrides([]Override{{Pool: "eu", Kind: ForcedDown}})
	expect(t, "all forced down", answers(tree, q), "nodata")
	expectExplained(t, tree, q)
}
