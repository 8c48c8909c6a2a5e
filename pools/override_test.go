package pools

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/health"
)

const overridden = nearAndFar + `
pool web proximity
  a region=near 192.0.2.1
  b region=near 192.0.2.2
  in region=far pool=inner
pool inner failover min_up=2
  c region=far 192.0.2.3
  d 192.0.2.4
  e 192.0.2.5
pool share weighted min_up=50% fail_open=never
  f region=near 192.0.2.6
  g region=far 192.0.2.7
  h 192.0.2.8
  i 192.0.2.9
bind web
bind inner
bind share
`

func TestOverridesChangeAnswers(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		down      string
		overrides []Override
		pool      string
		want      string // the mode, and all possible answers
	}{
		{"none", "", nil, "web", "normal 192.0.2.1 192.0.2.2"},
		{"a drained member is left out", "", []Override{{Pool: "web", Member: "a", Kind: Drained}}, "web", "normal 192.0.2.2"},
		{"a drained region passes its clients on", "", []Override{{Region: "near", Kind: Drained}}, "web", "normal 192.0.2.3"},
		{"a nested pool is in the region of its member", "", []Override{{Region: "far", Kind: Drained}}, "inner", "normal 192.0.2.4"},
		{"a drained pool answers nothing, even failing open", "", []Override{{Pool: "web", Kind: Drained}}, "web", "nodata nodata"},
		{"failing open leaves out drained members", "web inner", []Override{{Pool: "web", Member: "a", Kind: Drained}}, "web", "fail-open 192.0.2.2"},
		{"a member forced down is left out of failing open", "web inner", []Override{{Pool: "web", Member: "a", Kind: ForcedDown}}, "web", "fail-open 192.0.2.2"},
		{"a pool forced down answers NODATA", "", []Override{{Pool: "web", Kind: ForcedDown}}, "web", "nodata nodata"},
		{"forced down counts as down", "", []Override{{Pool: "web", Member: "a", Kind: ForcedDown}}, "web", "normal 192.0.2.2"},
		{"forced up counts as up", "web", []Override{{Pool: "web", Member: "a", Kind: ForcedUp}}, "web", "normal 192.0.2.1"},
		{"a nested pool forced up is live by one member", "web inner/d inner/e", []Override{{Pool: "web", Member: "in", Kind: ForcedUp}}, "web", "normal 192.0.2.3"},
		{"a nested pool forced up without any member is not", "web inner", []Override{{Pool: "web", Member: "in", Kind: ForcedUp}}, "web", "fail-open 192.0.2.1 192.0.2.2"},
		{"a nested pool can be drained", "web", []Override{{Pool: "web", Member: "in", Kind: Drained}}, "web", "fail-open 192.0.2.1 192.0.2.2"},
		{"and drained as a member it still serves others", "", []Override{{Pool: "web", Member: "in", Kind: Drained}}, "inner", "normal 192.0.2.3"},
		{"half of four are two", "share/f share/g share/h", nil, "share", "nodata nodata"},
		{"half of the three that are not drained are two", "share/f share/g share/h", []Override{{Pool: "share", Member: "f", Kind: Drained}}, "share", "nodata nodata"},
		{"half of the two that are not drained are one", "share/f share/g share/h", []Override{{Pool: "share", Member: "f", Kind: Drained}, {Pool: "share", Member: "g", Kind: Drained}}, "share", "normal 192.0.2.9"},
		{"the member before the pool and the region", "", []Override{{Pool: "web", Member: "b", Kind: ForcedUp}, {Pool: "web", Kind: ForcedDown}, {Region: "near", Kind: Drained}}, "web", "normal 192.0.2.2"},
		{"the pool before the region", "", []Override{{Pool: "web", Kind: ForcedUp}, {Region: "near", Kind: Drained}}, "web", "normal 192.0.2.1 192.0.2.2"},
		{"the later of two", "", []Override{{Pool: "web", Member: "a", Kind: ForcedUp}, {Pool: "web", Member: "a", Kind: Drained}}, "web", "normal 192.0.2.2"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, overridden))
			_, unknown := tree.SetOverrides(c.overrides)
			expect(t, "unknown", len(unknown), 0)
			if c.down != "" {
				setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			}
			expectAnswers(t, tree, c.pool, c.want)
			tree.SetOverrides(nil)
			if c.down == "" {
				expectAnswers(t, tree, "web", "normal 192.0.2.1 192.0.2.2")
			}
		})
	}
}

func expectAnswers(t *testing.T, tree *Tree, pool, want string) {
	t.Helper()
	q := ask(t, tree, pool, IPv4, "192.0.2.200")
	d := tree.Decide(q, tree.Scratch())
	expect(t, pool, fmt.Sprint(d.Mode, " ", answers(tree, q)), want)
}

func TestForcedUpAnswersAllAddresses(t *testing.T) {
	tree := compile(t, world(t, "pool web weighted\n  a 192.0.2.1 192.0.2.2\npool one weighted\n  x 192.0.2.1\n"))
	setVerdicts(t, tree, health.Down, "one")
	expectAnswers(t, tree, "web", "normal 192.0.2.2")
	tree.SetOverrides([]Override{{Pool: "web", Kind: ForcedUp}})
	expectAnswers(t, tree, "web", "normal 192.0.2.1 192.0.2.2")
}

func TestUnknownOverridesAreKeptAndReported(t *testing.T) {
	tree := compile(t, world(t, overridden))
	overrides := []Override{
		{Pool: "web", Member: "a", Kind: Drained},
		{Pool: "web", Member: "z", Kind: Drained},
		{Pool: "gone", Kind: ForcedUp},
		{Region: "gone", Kind: ForcedUp},
		{Kind: Drained},
	}
	_, unknown := tree.SetOverrides(overrides)
	expect(t, "unknown", unknown, overrides[1:])
	expect(t, "kept", tree.Overrides(), overrides)
}

func TestSetOverridesReturnsChanges(t *testing.T) {
	tree := compile(t, world(t, overridden))
	changes, _ := tree.SetOverrides([]Override{{Pool: "web", Kind: Drained}})
	expect(t, "drained", changes, []Change{{"web", IPv4, Normal, Dead}})
	changes, _ = tree.SetOverrides(nil)
	expect(t, "and not", changes, []Change{{"web", IPv4, Dead, Normal}})
	changes, _ = tree.SetOverrides([]Override{{Pool: "inner", Kind: ForcedDown}, {Pool: "web", Kind: ForcedDown}})
	expect(t, "forced down", len(changes), 2)
}

// Health states that change under an override apply once it is removed.
func TestVerdictsContinueUnderOverrides(t *testing.T) {
	tree := compile(t, world(t, overridden))
	tree.SetOverrides([]Override{{Pool: "web", Member: "a", Kind: ForcedUp}, {Pool: "web", Member: "b", Kind: ForcedDown}})
	setVerdicts(t, tree, health.Down, "web/a")
	expectAnswers(t, tree, "web", "normal 192.0.2.1")
	tree.SetOverrides(nil)
	expectAnswers(t, tree, "web", "normal 192.0.2.2")
}

func TestExplainShowsOverrides(t *testing.T) {
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tree := compile(t, world(t, overridden))
	tree.SetOverrides([]Override{
		{Pool: "web", Member: "a", Kind: ForcedUp, Reason: "false alarm"},
		{Pool: "web", Kind: Drained, Reason: "new kernel", Until: until},
		{Region: "far", Kind: ForcedDown},
	})
	setVerdicts(t, tree, health.Down, "web")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "192.0.2.200"), tree.Scratch())
	want := `web/a* [forced up] nearest region with an eligible member: 0 km; forced up: false alarm
web/b! [drained] drained with pool "web" until 2026-03-01 12:00:00 Z: new kernel
web/in! [drained] drained with pool "web" until 2026-03-01 12:00:00 Z: new kernel
`
	if stepsText(steps) != want {
		t.Errorf("got\n%s\nwant\n%s", stepsText(steps), want)
	}
	_, steps = tree.Explain(ask(t, tree, "inner", IPv4, "192.0.2.200"), tree.Scratch())
	want = `inner/c! [forced down] forced down with region "far"
inner/d* [unknown] first eligible in the order written
inner/e [unknown] comes after "d"
`
	if stepsText(steps) != want {
		t.Errorf("got\n%s\nwant\n%s", stepsText(steps), want)
	}
}

func TestUncertainCountsAsEffectiveVerdict(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n"))
	a := transitionsTo(t, tree, health.Uncertain, "web/a")
	a[0].Effective = health.Up
	tree.Apply(a)
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "held up", stepsText(steps), "web/a* [uncertain] first eligible in the order written; uncertain, counts as up\nweb/b [unknown] comes after \"a\"\n")
	a[0].Effective = health.Down
	tree.Apply(a)
	_, steps = tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "held down", stepsText(steps), "web/a! [uncertain] uncertain, counts as down: its IPv4 address is down\nweb/b* [unknown] first eligible in the order written\n")
}

func TestOverridesExpire(t *testing.T) {
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tree := compile(t, world(t, overridden))
	tree.SetOverrides([]Override{{Pool: "web", Kind: Drained, Until: until}, {Pool: "web", Member: "a", Kind: ForcedDown}})
	expect(t, "a second before", len(tree.Tick(until.Add(-time.Second))), 0)
	expectAnswers(t, tree, "web", "nodata nodata")
	expect(t, "then", tree.Tick(until), []Change{{"web", IPv4, Dead, Normal}})
	expectAnswers(t, tree, "web", "normal 192.0.2.2")
	expect(t, "what is left", tree.Overrides(), []Override{{Pool: "web", Member: "a", Kind: ForcedDown}})
}
