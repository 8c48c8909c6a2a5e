package pools

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"meridian/config"
	"meridian/health"
)

func TestApplyReportsFailOpenAndFallbackChanges(t *testing.T) {
	tree := compile(t, world(t, `
pool web failover fallback=spare
  in pool=inner
pool inner weighted
  a 192.0.2.1
pool spare weighted
  b 192.0.2.2
pool unbound weighted
  c 192.0.2.1
bind web
bind spare
`))
	for _, c := range []struct {
		behaviour, member string
		to                health.Verdict
		want              string
	}{
		{"unknown to up is no change", "inner/a", health.Up, ""},
		{"the last member down: the fallback answers", "inner/a", health.Down, "web IPv4 normal>fallback, "},
		{"a repeated state is no change", "inner/a", health.Down, ""},
		{"the fallback down as well: both fail open", "spare/b", health.Down, "spare IPv4 normal>fail-open, web IPv4 fallback>fail-open, "},
		{"the pool up again", "inner/a", health.Up, "web IPv4 fail-open>normal, "},
		{"the fallback up again affects only itself", "spare/b", health.Unknown, "spare IPv4 fail-open>normal, "},
	} {
		changes := setVerdicts(t, tree, c.to, c.member)
		got := ""
		for _, f := range []Family{IPv4, IPv6} {
			for _, change := range changes {
				if change.Family == f {
					got += fmt.Sprintf("%s %s %s>%s, ", change.Pool, f, change.From, change.To)
				}
			}
		}
		expect(t, c.behaviour, got, c.want)
	}
}

// A family without an address in the pool and its fallback changes no answer.
func TestApplyReportsOnlyExistingFamilies(t *testing.T) {
	for _, c := range []struct{ behaviour, world, want string }{
		{"IPv4 alone", "pool web weighted\n  a 192.0.2.1\n", "IPv4 "},
		{"IPv6 alone", "pool web weighted\n  a 2001:db8::1\n", "IPv6 "},
		{"both, one of them disabled", "pool web weighted\n  a 192.0.2.1\n  b disabled 2001:db8::1\n", "IPv4 IPv6 "},
		{"both, one of them two levels down", "pool web weighted\n  in pool=inner\n  a 192.0.2.1\npool inner weighted\n  in pool=innermost\npool innermost weighted\n  b 2001:db8::1\n", "IPv4 IPv6 "},
		{"both, one of them the fallback's", "pool web weighted fallback=spare\n  a 192.0.2.1\npool spare weighted check=none\n  b 2001:db8::1\n", "IPv4 IPv6 "},
	} {
		cfg := world(t, c.world+"bind web\n")
		tree := compile(t, cfg)
		got := ""
		for _, change := range setVerdicts(t, tree, health.Down, poolsOf(tree)...) {
			expect(t, c.behaviour+": pool", change.Pool, "web")
			got += change.Family.String() + " "
		}
		expect(t, c.behaviour, got, c.want)
	}
}

func poolsOf(tree *Tree) []string {
	var names []string
	for _, p := range tree.cfg.Pools {
		if p.Check != "" {
			names = append(names, p.Name)
		}
	}
	return names
}

func TestApplyTouchesOnlyPoolsThatHaveTheTarget(t *testing.T) {
	tree := compile(t, world(t, `
pool web failover
  in pool=inner
  z 192.0.2.9
pool inner weighted
  a 192.0.2.1
  b 192.0.2.2
pool other weighted
  c 192.0.2.3
`))
	before := wordsOf(tree.state.Load())
	setVerdicts(t, tree, health.Down, "inner/b")
	after := wordsOf(tree.state.Load())
	for id := range tree.pools {
		p := &tree.pools[id]
		from, to := p.state, p.state+p.words*statePerWord
		changed := fmt.Sprint(before[from:to]) != fmt.Sprint(after[from:to])
		expect(t, tree.cfg.Pools[id].Name+" changed", changed, tree.cfg.Pools[id].Name == "inner")
	}
}

func wordsOf(st *state) []uint64 {
	var words []uint64
	for _, p := range st.pages {
		words = append(words, p[:]...)
	}
	return words
}

// Members that share an address and a check share its health state.
func TestTargetChangesAllItsMembers(t *testing.T) {
	tree := compile(t, world(t, "pool one weighted fail_open=never\n  a 192.0.2.1\npool two weighted fail_open=never\n  b 192.0.2.1\npool three weighted check=none\n  c 192.0.2.1\n"))
	expect(t, "targets", len(tree.Targets()), 1)
	setVerdicts(t, tree, health.Down, "one/a")
	expect(t, "one", answers(tree, ask(t, tree, "one", IPv4, "8.8.8.8")), "nodata")
	expect(t, "two", answers(tree, ask(t, tree, "two", IPv4, "8.8.8.8")), "nodata")
	expect(t, "three, unchecked", answers(tree, ask(t, tree, "three", IPv4, "8.8.8.8")), "192.0.2.1")
}

// During an Apply, an answer is that of the state before or after one of
// its calls, never of a mixture: it is not empty while a member is up.
func TestDecideConcurrentWithApplySeesOneState(t *testing.T) {
	for _, c := range []struct {
		behaviour, world string
		turned           string   // these change to down and up in one call,
		against          string   // and these to up and down in the same calls
		want             []string // all possible answers
	}{
		{
			"proximity moves to the next region",
			"pool web proximity\n  in region=near pool=inner\n  b region=far 192.0.2.2\npool inner weighted\n  a 192.0.2.1\n",
			"inner", "",
			[]string{"normal 192.0.2.1", "normal 192.0.2.2"},
		},
		{
			"proximity between two regions, one always up",
			"pool web proximity\n  in region=near pool=inner\n  out region=far pool=outer\npool inner weighted\n  a 192.0.2.1\npool outer weighted\n  b 192.0.2.2\n",
			"inner", "outer",
			[]string{"normal 192.0.2.1", "normal 192.0.2.2"},
		},
		{
			"failover through three levels",
			"pool web failover\n  in pool=middle\n  b 192.0.2.2\npool middle weighted\n  in pool=inner\npool inner weighted\n  a 192.0.2.1\n",
			"inner", "",
			[]string{"normal 192.0.2.1", "normal 192.0.2.2"},
		},
		{
			"a fallback",
			"pool web proximity fallback=spare\n  in region=near pool=inner\npool inner weighted\n  a 192.0.2.1\npool spare weighted\n  b 192.0.2.2\n",
			"inner", "",
			[]string{"normal 192.0.2.1", "fallback 192.0.2.2"},
		},
		{
			"a fallback that is up exactly when it is needed",
			"pool web failover fallback=spare\n  in pool=inner\npool inner weighted\n  a 192.0.2.1\npool spare weighted\n  b 192.0.2.2\n",
			"inner", "spare",
			[]string{"normal 192.0.2.1", "fallback 192.0.2.2"},
		},
		{
			"failing open",
			"pool web round-robin\n  in pool=inner\npool inner weighted\n  a 192.0.2.1\n",
			"inner", "",
			[]string{"normal 192.0.2.1", "fail-open 192.0.2.1"},
		},
		{
			"a substitute of the family",
			"pool web failover\n  in pool=inner\n  b 192.0.2.2\npool inner weighted\n  a 192.0.2.1\n  a6 2001:db8::1\n",
			"inner/a", "",
			[]string{"normal 192.0.2.1", "normal 192.0.2.2"},
		},
		{
			"two addresses of one endpoint",
			"pool web weighted\n  both 192.0.2.1 192.0.2.2\npool one weighted\n  a 192.0.2.1\npool other weighted\n  b 192.0.2.2\n",
			"one", "other",
			[]string{"normal 192.0.2.1", "normal 192.0.2.2"},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world))
			q := ask(t, tree, "web", IPv4, "192.0.2.200")
			turnings := [2][]health.Transition{
				append(transitionsTo(t, tree, health.Down, c.turned), transitionsTo(t, tree, health.Up, c.against)...),
				append(transitionsTo(t, tree, health.Up, c.turned), transitionsTo(t, tree, health.Down, c.against)...),
			}
			tree.Apply(turnings[0])
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				var askers sync.WaitGroup
				for range 2 {
					askers.Go(func() { askOften(t, tree, q, c.want) })
				}
				askers.Wait()
			}()
			for i := 0; ; i++ {
				select {
				case <-asked:
					return
				default:
					tree.Apply(turnings[i%2])
				}
			}
		})
	}
}

// askOften asks many times, or until an answer differs from want.
func askOften(t *testing.T, tree *Tree, q Request, want []string) {
	s := tree.Scratch()
	for q.Draw = range uint64(rounds(3_000)) {
		d := tree.Decide(q, s)
		if got := fmt.Sprint(d.Mode, " ", answerOf(s)); !slices.Contains(want, got) {
			t.Errorf("decided %q, want one of %q", got, want)
			return
		}
		d, steps := tree.Explain(q, s)
		if got := fmt.Sprint(d.Mode, " ", answerOf(s)); !slices.Contains(want, got) || len(steps) == 0 {
			t.Errorf("explained %q in %d steps, want one of %q", got, len(steps), want)
			return
		}
	}
}

// A state in use by a decision does not change, whatever is applied later.
func TestStatesNeverChange(t *testing.T) {
	tree := compile(t, manyPools(t, 500))
	before := tree.state.Load()
	words := wordsOf(before)
	for id := range tree.pools {
		setVerdicts(t, tree, health.Down, tree.cfg.Pools[id].Name+"/m3")
	}
	if !slices.Equal(wordsOf(before), words) {
		t.Error("Apply wrote to a state that was published")
	}
	now := tree.state.Load()
	setVerdicts(t, tree, health.Down, "pool7/m5")
	shared := 0
	for i, p := range tree.state.Load().pages {
		if p == now.pages[i] {
			shared++
		}
	}
	if shared < len(now.pages)-2 || len(now.pages) < 8 {
		t.Errorf("a turn left %d of %d pages shared, want all but those of one pool and its target", shared, len(now.pages))
	}
}

// One call of Modes and all changes since give every mode.
func TestModesListsPoolsNotNormal(t *testing.T) {
	tree := compile(t, world(t, `
pool web failover fallback=spare
  a 192.0.2.1
pool spare weighted fail_open=never
  b 192.0.2.2 2001:db8::2
pool off weighted
  c disabled 192.0.2.3
pool unbound weighted
  d 192.0.2.1
bind web
bind spare
bind off
`))
	told := func() string {
		got := ""
		for _, c := range tree.Modes() {
			got += fmt.Sprintf("%s %s %s>%s, ", c.Pool, c.Family, c.From, c.To)
		}
		return got
	}
	expect(t, "at first", told(), "off IPv4 normal>nodata, ")
	setVerdicts(t, tree, health.Down, "web")
	expect(t, "web down", told(), "web IPv4 normal>fallback, web IPv6 normal>fallback, off IPv4 normal>nodata, ")
	setVerdicts(t, tree, health.Down, "spare")
	expect(t, "spare down, too", told(), "web IPv4 normal>fail-open, web IPv6 normal>fail-open, spare IPv4 normal>nodata, spare IPv6 normal>nodata, off IPv4 normal>nodata, ")
	setVerdicts(t, tree, health.Up, "web", "spare")
	expect(t, "both up", told(), "off IPv4 normal>nodata, ")
}

// The state after many incremental changes equals a state built from scratch.
func TestIncrementalStateMatchesFreshState(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds(50) {
		cfg := world(t, randomWorld(rnd))
		turned, fresh := compileWithout(t, cfg), compileWithout(t, cfg)
		last := make([]health.Transition, len(turned.Targets()))
		for range 20 {
			var turns []health.Transition
			for i := range last {
				last[i] = health.Transition{Index: i, To: health.Verdict(rnd.IntN(3))}
				turns = append(turns, last[i])
			}
			rnd.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
			turned.Apply(turns)
		}
		fresh.Apply(last)
		for id := range turned.pools {
			for _, f := range []Family{IPv4, IPv6} {
				expect(t, fmt.Sprintf("seed %d pool %d %s", seed, id, f), liveAndGiving(turned, ID(id), f), liveAndGiving(fresh, ID(id), f))
			}
		}
	}
}

// compileWithout compiles pools as if none used the client: the live members are
// the same, and no geo table has to be made.
func compileWithout(t *testing.T, cfg *config.Config) *Tree {
	t.Helper()
	for i := range cfg.Pools {
		cfg.Pools[i].Policy, cfg.Pools[i].Sticky = config.Weighted, false
	}
	tree, err := Compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func liveAndGiving(tree *Tree, id ID, f Family) string {
	st := tree.state.Load()
	mode, by, pl := st.selectSource(id, f)
	return fmt.Sprint(st.countEligible(id, f, byVerdict), st.gives(id, f, byVerdict), mode, by, pl)
}
