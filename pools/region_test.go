package pools

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
	"meridian/health"
)

const regional = `
region near 0 0 0 192.0.2.100 2001:db8::100
region far 0 90 0 192.0.2.101
region plain 0 100
net 192.0.2.200/32 near
pool web proximity
  a region=near 192.0.2.1
  in region=near pool=inner
  b region=far 192.0.2.2
  c region=plain 192.0.2.3
pool inner failover
  d 192.0.2.4
  e region=far 192.0.2.5
pool probes weighted
  v4 192.0.2.100
  v6 2001:db8::100
  far 192.0.2.101
bind web
`

func TestRegionIsDownIfAllItsAddressesAre(t *testing.T) {
	for _, c := range []struct{ behaviour, down, pool, want string }{
		{"none", "", "web", "normal 192.0.2.1 192.0.2.4"},
		{"one of two addresses down", "probes/v4", "web", "normal 192.0.2.1 192.0.2.4"},
		{"both: the region, its nested pools too", "probes/v4 probes/v6", "web", "normal 192.0.2.2"},
		{"both: in its own pool the nested endpoint has no region", "probes/v4 probes/v6", "inner", "normal 192.0.2.4"},
		{"two regions", "probes", "web", "normal 192.0.2.3"},
		{"endpoints of other pools, too", "probes/far inner/d", "inner", "fail-open 192.0.2.4"},
		{"failing open does not look at regions", "probes web inner", "web", "fail-open 192.0.2.1 192.0.2.4"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, regional))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			expectAnswers(t, tree, c.pool, c.want)
			setVerdicts(t, tree, health.Up, strings.Fields(c.down)...)
			expectAnswers(t, tree, "web", "normal 192.0.2.1 192.0.2.4")
		})
	}
}

func TestChangesDuringRegionDownAreKept(t *testing.T) {
	tree := compile(t, world(t, regional))
	setVerdicts(t, tree, health.Down, "probes")
	setVerdicts(t, tree, health.Down, "web/a")
	setVerdicts(t, tree, health.Up, "probes")
	expectAnswers(t, tree, "web", "normal 192.0.2.4")
}

func TestForcedUpOverridesDownRegion(t *testing.T) {
	tree := compile(t, world(t, regional))
	setVerdicts(t, tree, health.Down, "probes")
	tree.SetOverrides([]Override{{Pool: "web", Member: "a", Kind: ForcedUp}})
	expectAnswers(t, tree, "web", "normal 192.0.2.1")
}

func TestExplainAndStatusShowDownRegions(t *testing.T) {
	tree := compile(t, world(t, regional))
	setVerdicts(t, tree, health.Up, "web")
	setVerdicts(t, tree, health.Down, "probes")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "192.0.2.200"), tree.Scratch())
	want := `web/a! [up] region "near" is down: all its 2 addresses are, by its check "web"
web/in! [live] region "near" is down: all its 2 addresses are, by its check "web"
web/b! [up] region "far" is down: 192.0.2.101 is, by its check "web"
web/c* [up] nearest region with an eligible member: 11120 km; "near", "far" are nearer and have none eligible
`
	if stepsText(steps) != want {
		t.Errorf("got\n%s\nwant\n%s", stepsText(steps), want)
	}
	got := ""
	for _, r := range tree.Regions() {
		got += fmt.Sprint(r.Region, " ", r.Down)
		for _, a := range r.Addresses {
			got += fmt.Sprint(" ", a.Addr, " ", a.Target, " ", a.Verdict)
		}
		got += "\n"
	}
	expect(t, "regions", got, "near true 192.0.2.100 5 down 2001:db8::100 6 down\nfar true 192.0.2.101 7 down\n")
}

func TestTargetsAndUsersHaveRegions(t *testing.T) {
	tree := compile(t, world(t, "region near 0 0 0 192.0.2.1 192.0.2.9\npool web weighted\n  a region=near 192.0.2.1\n"))
	got := ""
	for i, target := range tree.Targets() {
		got += fmt.Sprint(target.Addr, " ", tree.TargetUses(i), " ")
	}
	expect(t, "targets and users", got, "192.0.2.1 [{web a near} {  near}] 192.0.2.9 [{  near}] ")
}

func TestCompileRejectsIncompleteRegionCheck(t *testing.T) {
	for _, c := range []struct {
		region config.Region
		want   string
	}{
		{config.Region{Name: "near", Check: "web"}, "regions.near.addresses: no addresses to check; at least one"},
		{config.Region{Name: "near", Check: "gone"}, `regions.near.check: unknown check "gone"; a check of this file`},
	} {
		cfg := world(t, "pool web weighted\n  a 192.0.2.1\n")
		cfg.Regions = append(cfg.Regions, c.region)
		_, err := Compile(cfg, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
