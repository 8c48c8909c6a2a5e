package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// A region lost before, during or after a reload is logged once, and so is its recovery.
func TestLostRegionIsLoggedOnce(t *testing.T) {
	tree := func() (tree *pools.Tree) {
		snapshot := answertest.Build(t, strings.ReplaceAll(answertest.Spread, "URL", "http://127.0.0.1:1"), "")
		snapshot.Pools.SetLoads(loadsOf(snapshot, 80, 30, 100))
		return snapshot.Pools
	}
	lost := []pools.Override{{Region: "near", Kind: pools.Drained}}
	var out bytes.Buffer
	l := conditions{reporter: reporter{log: slog.New(slog.NewTextHandler(&out, nil))}}
	report := func(tree *pools.Tree) { l.apply(tree, func() []pools.Change { return nil }) }
	told := func(when, want string) {
		t.Helper()
		if got := out.String(); !strings.Contains(got, want) || (got == "") != (want == "") || strings.Count(got, "\n") > 1 {
			t.Errorf("%s, got %q, want %q", when, got, want)
		}
		out.Reset()
	}
	first, second, third := tree(), tree(), tree()
	l.serve(first)
	first.SetOverrides(lost)
	report(first)
	told("when it is lost", `level=WARN msg="region lost, its clients are spread over the other regions" pool=web region=near family=IPv4 shares="mid=9% far=91%"`)
	report(first)
	second.CarryOver(first)
	second.SetOverrides(lost)
	report(second)
	told("of a tree that does not serve yet", "")
	l.serve(second)
	told("when that serves", "")
	second.SetOverrides(nil)
	report(second)
	told("when it is back", `level=INFO msg="region recovered, spillover ended" pool=web region=near family=IPv4`)
	second.SetOverrides(lost)
	report(second)
	told("when it is lost again", "level=WARN")
	l.serve(third)
	told("when a reload knows no loss", "level=INFO")
}

// loadsOf returns fresh reports of the load targets, in the order of their sources.
func loadsOf(snapshot *snapshot.Snapshot, loads ...float64) []pools.Load {
	var all []pools.Load
	for i := range snapshot.Pools.LoadTargets() {
		all = append(all, pools.Load{Load: loads[i], Fresh: true})
	}
	return all
}
