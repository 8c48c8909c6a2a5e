package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"meridian/config"
	"meridian/health"
)

func TestApplyTellsWhenNamesBeginAndEndToFailOpenOrFallBack(t *testing.T) {
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
		{"the last member down: the fallback answers", "inner/a", health.Down, "web IPv4 normal>fallback, web IPv6 normal>fallback, "},
		{"said again is no change", "inner/a", health.Down, ""},
		{"the fallback down as well: both fail open", "spare/b", health.Down, "spare IPv4 normal>fail-open, web IPv4 fallback>fail-open, spare IPv6 normal>fail-open, web IPv6 fallback>fail-open, "},
		{"the pool up again", "inner/a", health.Up, "web IPv4 fail-open>normal, web IPv6 fail-open>normal, "},
		{"the fallback up again, which concerns only itself", "spare/b", health.Unknown, "spare IPv4 fail-open>normal, spare IPv6 fail-open>normal, "},
	} {
		changes := turn(t, tree, c.to, c.member)
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
	before := words(tree)
	turn(t, tree, health.Down, "inner/b")
	after := words(tree)
	for id := range tree.pools {
		p := &tree.pools[id]
		from, to := p.state, p.state+p.words*statePerWord
		changed := fmt.Sprint(before[from:to]) != fmt.Sprint(after[from:to])
		expect(t, tree.cfg.Pools[id].Name+" changed", changed, tree.cfg.Pools[id].Name == "inner")
	}
}

func words(tree *Tree) []uint64 {
	var words []uint64
	for i := range tree.state {
		words = append(words, tree.state[i].Load())
	}
	return words
}

// Members that share an address and a check share its verdict.
func TestOneTargetTurnsAllItsMembers(t *testing.T) {
	tree := compile(t, world(t, "pool one weighted fail_open=false\n  a 192.0.2.1\npool two weighted fail_open=false\n  b 192.0.2.1\npool three weighted check=none\n  c 192.0.2.1\n"))
	expect(t, "targets", len(tree.Targets()), 1)
	turn(t, tree, health.Down, "one/a")
	expect(t, "one", answers(tree, ask(t, tree, "one", IPv4, "8.8.8.8")), "nodata")
	expect(t, "two", answers(tree, ask(t, tree, "two", IPv4, "8.8.8.8")), "nodata")
	expect(t, "three, unchecked", answers(tree, ask(t, tree, "three", IPv4, "8.8.8.8")), "192.0.2.1")
}

// Two members of different regions take turns to be down, so that one is always
// up: whatever Apply is doing, every answer must hold an address, and none of a
// member that has been down since before the question.
func TestDecideBesideApply(t *testing.T) {
	tree := compile(t, world(t, nearAndFar+`
pool web failover
  in pool=inner
  last region=far 192.0.2.3
pool inner weighted
  a 192.0.2.1
  b 192.0.2.2
  never disabled 192.0.2.4
bind web
`))
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			s := tree.Scratch()
			q := ask(t, tree, "web", IPv4, "8.8.8.8")
			for {
				select {
				case <-stop:
					return
				default:
				}
				q.Draw++
				if d := tree.Decide(q, s); len(s.Addrs) != 1 || d.Mode != Normal || s.Addrs[0] == netip.MustParseAddr("192.0.2.4") {
					t.Errorf("got %v, mode %s", s.Addrs, d.Mode)
					return
				}
				if _, steps := tree.Explain(q, s); len(steps) < 2 {
					t.Errorf("got %d steps", len(steps))
					return
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		to := health.Verdict(rnd.IntN(3))
		turn(t, tree, to, "inner")
		turn(t, tree, health.Verdict(rnd.IntN(3)), "inner/a")
	}
	close(stop)
	askers.Wait()
}

// State worked out turn by turn is the state worked out from scratch.
func TestManyTurnsLeaveTheStateOfTheLastOnes(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		cfg := world(t, randomWorld(rnd))
		turned, fresh := compileWithout(t, cfg), compileWithout(t, cfg)
		last := make([]health.Turn, len(turned.Targets()))
		for range 20 {
			var turns []health.Turn
			for i := range last {
				last[i] = health.Turn{Index: i, To: health.Verdict(rnd.IntN(3))}
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

// compileWithout compiles pools as if none were of proximity: what is live is
// the same, and no geo table has to be made.
func compileWithout(t *testing.T, cfg *config.Config) *Tree {
	t.Helper()
	for i := range cfg.Pools {
		if cfg.Pools[i].Policy == config.Proximity {
			cfg.Pools[i].Policy = config.Weighted
		}
	}
	tree, err := Compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func liveAndGiving(tree *Tree, id ID, f Family) string {
	return fmt.Sprint(tree.countEligible(id, f, asIs), tree.gives(id, f, asIs), tree.modeOf(id, f))
}
