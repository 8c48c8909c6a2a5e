package pools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var quarter = config.MaxEjection{Percent: 25, Window: time.Minute}

// withBound returns a world in which all pools have max_ejection.
func withBound(t *testing.T, bound config.MaxEjection, text string) *config.Config {
	t.Helper()
	cfg := world(t, text)
	for i := range cfg.Pools {
		cfg.Pools[i].MaxEjection = bound
	}
	return cfg
}

// bounded compiles a world with max_ejection, with every target up for an hour.
func bounded(t *testing.T, bound config.MaxEjection, text string) *Tree {
	t.Helper()
	tree := compile(t, withBound(t, bound, text))
	for i := range tree.Targets() {
		setVerdictAt(tree, i, health.Unknown, health.Up, noon.Add(-time.Hour))
	}
	return tree
}

func setVerdictAt(tree *Tree, target int, from, to health.Verdict, at time.Time) {
	tree.Apply([]health.Transition{{Index: target, Target: tree.Targets()[target], From: from, To: to, At: at, Reason: "status 500"}})
}

func setAllVerdicts(tree *Tree, from, to health.Verdict) {
	for i := range tree.Targets() {
		setVerdictAt(tree, i, from, to, noon)
	}
}

// ten members in a row, with targets of the same numbers
const tenMembers = `pool web weighted
  m0 192.0.2.0
  m1 192.0.2.1
  m2 192.0.2.2
  m3 192.0.2.3
  m4 192.0.2.4
  m5 192.0.2.5
  m6 192.0.2.6
  m7 192.0.2.7
  m8 192.0.2.8
  m9 192.0.2.9
bind web
`

// standing returns a letter for each member, a space between pools: + for an up member that is
// treated as up, ? for a down one that is treated as up, - for down.
func standing(tree *Tree) string {
	st, text := tree.state.Load(), ""
	for id := range tree.pools {
		p := &tree.pools[id]
		for i := range p.members {
			switch {
			case st.isDeferred(p.first+i, IPv4) || st.isDeferred(p.first+i, IPv6):
				text += "?"
			case st.isEligible(p, int(i), IPv4) && st.isEligible(p, int(i), IPv6):
				text += "+"
			default:
				text += "-"
			}
		}
		text += " "
	}
	return strings.TrimSpace(text)
}

func TestMoreThanMaxEjectionIsDeferredUntilItFits(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	for i := range 5 {
		setVerdictAt(tree, i, health.Up, health.Down, noon.Add(time.Duration(i)*time.Second))
	}
	expect(t, "two of ten", standing(tree), "--???+++++")
	expect(t, "eligible", tree.state.Load().countEligible(0, IPv4, byVerdict), 8)
	expect(t, "fits", tree.Ejections()[2].Fits, noon.Add(time.Minute))
	tree.Tick(noon.Add(59 * time.Second))
	expect(t, "before the window is over", standing(tree), "--???+++++")
	tree.Tick(noon.Add(60 * time.Second))
	expect(t, "one more, the first that was deferred", standing(tree), "---??+++++")
	setVerdictAt(tree, 4, health.Down, health.Up, noon.Add(60*time.Second))
	expect(t, "one recovers", standing(tree), "---?++++++")
	tree.Tick(noon.Add(61 * time.Second))
	expect(t, "the other follows", standing(tree), "----++++++")
	tree.Tick(noon.Add(10 * time.Minute))
	expect(t, "and nothing else", standing(tree), "----++++++")

	got := ""
	for _, d := range tree.TakeDeferrals() {
		got += fmt.Sprintf("%s/%s %s %s\n", d.Pool, d.Member, d.End, d.Reason)
	}
	expect(t, "deferrals", got, `web/m2 deferred status 500
web/m3 deferred status 500
web/m4 deferred status 500
web/m2 ejected status 500
web/m4 recovered status 500
web/m3 ejected status 500
`)
	expect(t, "taken once", len(tree.TakeDeferrals()), 0)
}

func TestOnlySimultaneousFailuresAreDeferred(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		bound     config.MaxEjection
		world     string
		before    func(*Tree)
		at        time.Time
		want      string
	}{
		{"without a bound", config.MaxEjection{}, tenMembers, nil, noon, "----------"},
		{"rehearsals", quarter, tenMembers, nil, time.Time{}, "----------"},
		{"one at least", config.MaxEjection{Percent: 1, Window: time.Minute}, tenMembers, nil, noon, "-?????????"},
		{"all, where all may", config.MaxEjection{Percent: 100, Window: time.Minute}, tenMembers, nil, noon, "----------"},
		{"by weight", config.MaxEjection{Percent: 50, Window: time.Minute}, "pool web weighted\n  a weight=3 192.0.2.1\n  b weight=5 192.0.2.2\n  c weight=2 192.0.2.3\n", nil, noon, "-?-"},
		{"the first whatever its weight", quarter, "pool web weighted\n  a weight=9 192.0.2.1\n  b 192.0.2.2\n", nil, noon, "-?"},
		{"drained members", quarter, tenMembers, func(tree *Tree) { tree.SetOverrides([]Override{{Pool: "web", Kind: Drained}}) }, noon, "----------"},
		{"of those that are not drained", quarter, tenMembers, func(tree *Tree) {
			tree.SetOverrides([]Override{{Pool: "web", Member: "m0", Kind: Drained}, {Pool: "web", Member: "m1", Kind: Drained}, {Pool: "web", Member: "m2", Kind: Drained}})
		}, noon, "----??????"},
		{"forced down members", quarter, tenMembers, func(tree *Tree) { tree.SetOverrides([]Override{{Pool: "web", Kind: ForcedDown}}) }, noon, "----------"},
		{"disabled members and such of no weight", quarter, "pool web weighted\n  a disabled 192.0.2.1\n  b weight=0 192.0.2.2\n  c 192.0.2.3\n", nil, noon, "---"},
		{"an endpoint with two addresses", quarter, "pool web weighted\n  a 192.0.2.1 192.0.2.2\n  b 192.0.2.3 192.0.2.4\n", nil, noon, "-?"},
		{"both families of one member", quarter, "pool web weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.3 2001:db8::3\n", nil, noon, "-?"},
		{"members of a region that is down", config.MaxEjection{Percent: 50, Window: time.Minute}, "region near 0 0 0 192.0.2.9\npool web weighted check=none\n  a region=near 192.0.2.1\n  b region=near 192.0.2.2\n  c region=near 192.0.2.3\n  d 192.0.2.4\n", nil, noon, "--?+"},
		{"each pool on its own", quarter, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\npool other weighted\n  d 192.0.2.4\npool two weighted\n  c 192.0.2.3\n  d 192.0.2.4\n", nil, noon, "-??? - -?"},
		{"pools as members", config.MaxEjection{Percent: 60, Window: time.Minute}, "pool web weighted\n  a pool=one\n  b pool=two\n  c pool=three\npool one weighted\n  a 192.0.2.1\npool two weighted\n  a 192.0.2.2\npool three weighted\n  a 192.0.2.3\n", nil, noon, "-?? - - -"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, c.bound, c.world)
			if c.before != nil {
				c.before(tree)
			}
			for i := range tree.Targets() {
				setVerdictAt(tree, i, health.Up, health.Down, c.at)
			}
			expect(t, "members", standing(tree), c.want)
		})
	}
}

func TestOtherFamilyCountsAgainAfterWindow(t *testing.T) {
	tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Minute}, "pool web weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n")
	setVerdictAt(tree, 1, health.Up, health.Down, noon) // IPv6 of a
	setVerdictAt(tree, 3, health.Up, health.Down, noon)
	expect(t, "IPv6 lost", standing(tree), "-?")
	tree.Tick(noon.Add(time.Minute))
	expect(t, "a minute later", standing(tree), "--")
	setVerdictAt(tree, 0, health.Up, health.Down, noon.Add(2*time.Minute))
	setVerdictAt(tree, 2, health.Up, health.Down, noon.Add(2*time.Minute))
	expect(t, "IPv4 lost, too", standing(tree), "-?")
}

func TestFirstVerdictsAreNotDeferred(t *testing.T) {
	tree := compile(t, withBound(t, quarter, "region near 0 0 0 192.0.2.100\n"+tenMembers+"pool on weighted check=none\n  a region=near 192.0.2.1\n  b region=near 192.0.2.2\n"))
	setAllVerdicts(tree, health.Unknown, health.Down)
	expect(t, "all are down", standing(tree), "---------- --")
}

func TestOverrideEndsDeferral(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	for i := range 5 {
		setVerdictAt(tree, i, health.Up, health.Down, noon)
	}
	tree.SetOverrides([]Override{{Pool: "web", Member: "m3", Kind: ForcedDown}})
	expect(t, "forced down", standing(tree), "--?-?+++++")
	tree.SetOverrides(nil)
	expect(t, "and no longer", standing(tree), "--?-?+++++")
}

func TestDrainOfNestedPoolIsNoEjection(t *testing.T) {
	tree := bounded(t, quarter, "pool web weighted\n  a pool=one\n  b pool=two\npool one weighted\n  a 192.0.2.1\npool two weighted\n  a 192.0.2.2\n")
	tree.SetOverrides([]Override{{Pool: "one", Kind: Drained}, {Pool: "two", Kind: Drained}})
	expect(t, "both", standing(tree), "-- - -")
}

// A member that is treated as up is answered: with all its addresses, or as a nested pool with
// all members of that.
func TestDeferredMemberIsAnswered(t *testing.T) {
	for _, c := range []struct{ behaviour, world, want string }{
		{"all addresses that are down", "pool web weighted answers=9\n  a 192.0.2.1\n  b 192.0.2.2 192.0.2.3\n", "192.0.2.2 192.0.2.3"},
		{"a pool without a member", "pool web weighted\n  a pool=one\n  b pool=two\npool one weighted\n  a 192.0.2.1\npool two weighted answers=2\n  a 192.0.2.2\n  b 192.0.2.3\n", "192.0.2.2 192.0.2.3"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Minute}, c.world)
			for id := range tree.pools[1:] { // only the requested pool has a bound
				tree.ejections.pools[id+1].bound = config.MaxEjection{}
			}
			setAllVerdicts(tree, health.Up, health.Down)
			q := ask(t, tree, "web", IPv4, "8.8.8.8")
			expect(t, "answers", answers(tree, q), c.want)
			_, shares := tree.Probabilities(q, tree.Scratch())
			sum := 0.
			for _, s := range shares {
				if strings.Contains(c.want, s.Addr.String()) {
					sum += s.P
				}
			}
			expect(t, "by the odds", sum, 1.)
		})
	}
}

func TestDeferralsSurviveReload(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	tree.SetOverrides([]Override{{Pool: "web", Member: "m9", Kind: Drained}})
	for i := range 4 {
		setVerdictAt(tree, i, health.Up, health.Down, noon)
	}
	expect(t, "before", standing(tree), "--??+++++-")
	cfg := withBound(t, quarter, "pool other weighted\n  x 192.0.2.77\n"+tenMembers) // m0 is at 1 now
	next := compile(t, cfg)
	next.CarryOver(tree)
	for i := range 5 { // as a new watch reports the known states
		setVerdictAt(next, i, health.Unknown, health.Down, noon.Add(time.Second))
	}
	expect(t, "after", standing(next), "- --??+++++-")
	setVerdictAt(next, 5, health.Up, health.Down, noon.Add(2*time.Second))
	expect(t, "what went down before counts", standing(next), "- --???++++-")
	expect(t, "overrides", len(next.Overrides()), 1)
	next.EndFirstRound(noon.Add(2 * time.Second))
	expect(t, "after the first round", standing(next), "- --???++++-")
	next.Tick(noon.Add(time.Minute))
	expect(t, "in time", standing(next), "- ----?++++-")
}

// TestTickBeforeFirstHealthStatesKeepsEjections covers a reload with a tick between CarryOver and the first health states: the members
// that were ejected stay ejected, and not the first ones in order instead.
func TestTickBeforeFirstHealthStatesKeepsEjections(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		ticked    time.Time
		want      string
	}{
		{"within the window", noon.Add(30 * time.Second), "??--?+++++"},
		{"after the window", noon.Add(time.Minute), "----?+++++"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, quarter, tenMembers)
			for _, i := range []int{2, 3, 0, 1, 4} {
				setVerdictAt(tree, i, health.Up, health.Down, noon)
			}
			expect(t, "before", standing(tree), "??--?+++++")
			next := compile(t, withBound(t, quarter, tenMembers))
			next.CarryOver(tree)
			next.Tick(c.ticked)
			for i := range 5 {
				setVerdictAt(next, i, health.Unknown, health.Down, noon)
				next.Tick(c.ticked)
				for _, m := range []int{0, 1, 4} {
					expect(t, "no other member is ejected", strings.Contains("?+", standing(next)[m:m+1]), true)
				}
			}
			next.EndFirstRound(c.ticked)
			expect(t, "after the first round", standing(next), c.want)
			next.Tick(noon.Add(time.Minute))
			expect(t, "as ticks decide later", standing(next), "----?+++++")
		})
	}
}

func TestFirstRoundDropsUnconfirmedEjections(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	for i := range 4 {
		setVerdictAt(tree, i, health.Up, health.Down, noon)
	}
	next := compile(t, withBound(t, quarter, tenMembers))
	next.CarryOver(tree)
	next.CarryOver(tree) // a second call changes nothing
	setVerdictAt(next, 3, health.Unknown, health.Up, noon)
	next.EndFirstRound(noon.Add(time.Second))
	expect(t, "all are up", standing(next), "++++++++++")
	expect(t, "nothing is counted", []any{len(next.Ejections()), next.ejections.pools[0].ejected}, []any{0, uint64(0)})
}

func TestReloadThatBreaksCheckIsBounded(t *testing.T) {
	const four = "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n"
	for _, c := range []struct{ behaviour, before, after, want string }{
		{"edited", four, four, "-??-"}, // the last one was down before
		{"added", strings.Replace(four, "weighted", "weighted check=none", 1), four, "-???"},
		{"other addresses", four, strings.ReplaceAll(four, "192.0.2", "192.0.3"), "-??-"},
		{"a new pool", four, strings.Replace(four, "web", "other", 1), "----"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, quarter, c.before)
			if len(tree.Targets()) > 0 {
				setVerdictAt(tree, 3, health.Up, health.Down, noon.Add(-time.Hour))
			}
			next := compile(t, withBound(t, quarter, c.after))
			next.CarryOver(tree)
			setAllVerdicts(next, health.Unknown, health.Down)
			expect(t, "the first results", standing(next), c.want)
		})
	}
}

func TestDeferralsSurviveRestart(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	setAllVerdicts(tree, health.Up, health.Down)
	expect(t, "before", standing(tree), "--????????")
	file, err := json.Marshal(tree.SaveEjections())
	if err != nil {
		t.Fatal(err)
	}
	var saved []SavedEjection
	if err := json.Unmarshal(file, &saved); err != nil {
		t.Fatal(err)
	}
	next := compile(t, withBound(t, quarter, tenMembers))
	next.RestoreEjections(saved, noon.Add(10*time.Second))
	setAllVerdicts(next, health.Unknown, health.Down) // as the prober restores them
	expect(t, "after", standing(next), "--????????")
	expect(t, "what a server logs of it", len(next.TakeDeferrals()), 8)
	next.EndFirstRound(noon.Add(10 * time.Second))
	next.Tick(noon.Add(59 * time.Second))
	expect(t, "as long as before", standing(next), "--????????")
	next.Tick(noon.Add(60 * time.Second))
	expect(t, "and no longer", standing(next), "----??????")

	early := compile(t, withBound(t, quarter, tenMembers))
	early.RestoreEjections(saved, noon.Add(-24*time.Hour))
	for _, s := range early.SaveEjections() {
		expect(t, "by a clock that was set back, of now", []bool{s.At.After(noon.Add(-24 * time.Hour)), s.Since.After(noon.Add(-24 * time.Hour))}, []bool{false, false})
	}
}

func TestExplainAndStatusShowDeferrals(t *testing.T) {
	tree := bounded(t, quarter, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n")
	setVerdictAt(tree, 0, health.Up, health.Down, noon)
	setVerdictAt(tree, 1, health.Up, health.Down, noon)
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "explained", stepsText(steps), "web/a! [down] down: its IPv4 address is down\nweb/b* [ejection deferred] first eligible in the order written; down, and treated as up: ejection deferred by max_ejection 25%/1m\n")
	for p := range tree.Status() {
		expect(t, "state", p.Members[1].State, EjectionDeferred)
	}
	expect(t, "deferrals", tree.Deferrals(), []Deferral{{"web", "b", noon, "status 500", Ongoing}})
}

// damped sets targets down, or reports that only flap damping holds them down.
func damp(tree *Tree, only bool, targets ...int) {
	for _, i := range targets {
		tree.Apply([]health.Transition{{Index: i, Target: tree.Targets()[i], From: health.Up, To: health.Down, Damped: only, At: noon, Reason: "flaps"}})
	}
}

// A deployment that takes one member after another down, twice, leaves at most half of them
// damped.
func TestMaxEjectionBoundsFlapDamping(t *testing.T) {
	tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Second}, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n")
	for i := range 4 {
		at := noon.Add(time.Duration(i) * 10 * time.Second)
		setVerdictAt(tree, i, health.Up, health.Down, at)
		tree.Apply([]health.Transition{{Index: i, From: health.Down, To: health.Down, Damped: true, At: at, Reason: "flaps"}})
	}
	expect(t, "two are held down", standing(tree), "??--")
	setVerdictAt(tree, 2, health.Down, health.Up, noon.Add(time.Minute))
	tree.Tick(noon.Add(time.Minute))
	expect(t, "one recovers, and another is held down", standing(tree), "-?+-")
	tree.Apply([]health.Transition{{Index: 1, From: health.Down, To: health.Down, At: noon.Add(2 * time.Minute), Reason: "status 500"}})
	expect(t, "one that fails goes down, and another is no longer held down", standing(tree), "--+?")
}

// Failures and flap damping have one bound: 2 of 4 members.
func TestMaxEjectionIsOneBoundForFailuresAndFlapDamping(t *testing.T) {
	tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Minute}, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n")
	later := noon.Add(time.Hour)
	damp(tree, false, 0, 1)
	damp(tree, true, 0, 1)
	expect(t, "two are held down", standing(tree), "--++")
	setVerdictAt(tree, 2, health.Up, health.Down, later)
	expect(t, "one fails, one is released", standing(tree), "?--+")
	setVerdictAt(tree, 3, health.Up, health.Down, later)
	expect(t, "two fail, both are released", standing(tree), "??--")
	tree.Tick(later.Add(30 * time.Second))
	expect(t, "within the window", standing(tree), "??--")
	setVerdictAt(tree, 3, health.Down, health.Up, later.Add(40*time.Second))
	tree.Tick(later.Add(41 * time.Second))
	expect(t, "one recovers, one is held again", standing(tree), "-?-+")
}

func TestFlapDampingIsNotBoundedWithoutMaxEjection(t *testing.T) {
	tree := bounded(t, config.MaxEjection{}, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n")
	damp(tree, false, 0, 1)
	damp(tree, true, 0, 1)
	expect(t, "both", standing(tree), "--")
}

func TestMaxEjectionBoundsSlowStart(t *testing.T) {
	const four = "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d weight=3 192.0.2.4\n"
	tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Minute}, four)
	parts := func() (got []uint64) {
		for m := range tree.pools[0].members {
			got = append(got, fractionOf(tree.state.Load().slow, m))
		}
		return got
	}
	start := func(share uint8, targets ...int) {
		var turns []health.Transition
		for _, i := range targets {
			turns = append(turns, health.Transition{Index: i, From: health.Up, To: health.Up, SlowStartWeight: share, At: noon})
		}
		tree.Apply(turns)
	}
	start(64, 0, 1)
	expect(t, "1.5 of 6 withheld", parts(), []uint64{64, 64, 256, 256})
	start(64, 2, 3)
	expect(t, "4.5 of 6: 3 may be", parts(), []uint64{128, 128, 128, 128})
	start(192, 3)
	expect(t, "3 of 6", parts(), []uint64{64, 64, 64, 192})
	damp(tree, false, 2)
	damp(tree, true, 2)
	expect(t, "2.25, and 1 held down", parts(), []uint64{86, 86, 256, 200})
	setVerdictAt(tree, 2, health.Down, health.Up, noon)
	expect(t, "2.25 of 6", parts(), []uint64{64, 64, 256, 192})
	start(64, 3)
	expect(t, "3.75 of 6: 3 may be", parts(), []uint64{103, 103, 256, 103})
	tree.SetOverrides([]Override{{Pool: "web", Member: "d", Kind: ForcedDown}})
	expect(t, "one is forced down, so slow start does not withhold it: 1.5", parts()[:3], []uint64{64, 64, 256})
}

// Slow start may withhold what failures within the window leave of the bound: of 2 of 4 members.
func TestMaxEjectionIsOneBoundForFailuresAndSlowStart(t *testing.T) {
	tree := bounded(t, config.MaxEjection{Percent: 50, Window: time.Minute}, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n")
	part := func() uint64 { return fractionOf(tree.state.Load().slow, 2) }
	tree.Apply([]health.Transition{{Index: 2, From: health.Up, To: health.Up, SlowStartWeight: 16, At: noon}})
	expect(t, "nothing is down", part(), 16)
	setVerdictAt(tree, 0, health.Up, health.Down, noon)
	expect(t, "one is down: 1 is left", part(), 16)
	setVerdictAt(tree, 1, health.Up, health.Down, noon.Add(time.Second))
	expect(t, "two are down: nothing is left", part(), full-1)
	tree.Tick(noon.Add(59 * time.Second))
	expect(t, "within the window", part(), full-1)
	tree.Tick(noon.Add(time.Minute))
	expect(t, "one left the window", part(), 16)
	setVerdictAt(tree, 3, health.Up, health.Down, noon.Add(time.Minute))
	expect(t, "another went down", part(), full-1)
	setVerdictAt(tree, 3, health.Down, health.Up, noon.Add(time.Minute))
	expect(t, "it recovered", part(), 16)
}
