package pools

import (
	"testing"
	"testing/synctest"
	"time"

	"meridian/health"
)

// statusOf returns the status of a pool.
func statusOf(t *testing.T, tree *Tree, pool string) PoolStatus {
	t.Helper()
	for p := range tree.Status() {
		if p.Pool == pool {
			return p
		}
	}
	t.Fatalf("no pool %q", pool)
	return PoolStatus{}
}

// TestPoolSince tests a pool, one that has it as fallback and one that has
// it as a member.
func TestPoolSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = `pool spare weighted check=none
  s 192.0.2.200
pool inner weighted min_up=2 fallback=spare
  a 192.0.2.1
  b 192.0.2.2
pool outer failover
  in pool=inner
bind inner
bind outer
`
		cfg := world(t, text)
		tree := compile(t, cfg)
		began := time.Now()
		time.Sleep(time.Minute)
		setVerdictAt(tree, 0, health.Unknown, health.Up, time.Now())
		expect(t, "live since", statusOf(t, tree, "inner").LiveSince[IPv4], began)
		time.Sleep(time.Minute)
		down := time.Now()
		setVerdictAt(tree, 0, health.Up, health.Down, down)
		time.Sleep(time.Minute)
		setVerdictAt(tree, 1, health.Up, health.Down, time.Now()) // one more makes no difference
		inner, in := statusOf(t, tree, "inner"), statusOf(t, tree, "outer").Members[0]
		expect(t, "mode", inner.Mode[IPv4], FallenBack)
		expect(t, "mode since", inner.ModeSince[IPv4], down)
		expect(t, "not live since", inner.LiveSince[IPv4], down)
		expect(t, "as a member, since", in.LiveSince, down)
		expect(t, "as a member", []any{in.Up, in.Of, in.Need}, []any{0, 2, 2})
		expect(t, "the outer one fails open since", statusOf(t, tree, "outer").ModeSince[IPv4], down)

		next := compile(t, cfg)
		for i := range next.Targets() {
			setVerdictAt(next, i, health.Unknown, health.Down, down)
		}
		time.Sleep(time.Minute)
		next.CarryOverSince(tree)
		expect(t, "after a reload", statusOf(t, next, "inner").ModeSince[IPv4], down)
		up := time.Now()
		setAllVerdicts(next, health.Down, health.Up)
		expect(t, "live again since", statusOf(t, next, "inner").LiveSince[IPv4], up)
		other := compile(t, cfg)
		other.CarryOverSince(tree)
		expect(t, "what a reload ends is since then", statusOf(t, other, "inner").LiveSince[IPv4], up)
	})
}

func TestExplainShowsAddressesInSlowStart(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n"))
	setAllVerdicts(tree, health.Unknown, health.Up)
	tree.Apply([]health.Transition{{Index: 0, Target: tree.Targets()[0], From: health.Up, To: health.Up, SlowStartWeight: 64}})
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "of the one that does", len(steps[0].Provisional), 1)
	expect(t, "of the other", len(steps[1].Provisional), 0)
}
