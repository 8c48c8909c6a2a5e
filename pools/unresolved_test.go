package pools

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// A tree that is resolved again and again equals a tree of a configuration that has the last
// addresses itself.
func TestResolveMatchesCompile(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	for range rounds(30) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg := world(t, text)
		names := giveTargets(rnd, cfg)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			found := randomResolved(rnd, names)
			if tree, err = tree.Resolve(found); err != nil {
				t.Fatal(err)
			}
			if len(found) == len(names) { // a configuration cannot have a member without an address
				compareResolved(t, rnd, tree, written(t, cfg, where, found))
			}
			tree.Apply(randomVerdicts(rnd, tree)) // must not change what the next tree begins with
		}
		if t.Failed() {
			t.Fatalf("seed %d, targets %v, world:\n%s", seed, tree.resolved, text)
		}
	}
}

// giveTargets gives some endpoints a target in place of their addresses, and returns the targets.
func giveTargets(rnd *rand.Rand, cfg *config.Config) []config.Target {
	names := []config.Target{"a.example.net.", "b.example.net.", "c.example.net."}
	for i := range cfg.Pools {
		if rnd.IntN(3) == 0 {
			cfg.Pools[i].MaxEjection = config.MaxEjection{Percent: 50, Window: time.Minute}
		}
		for j := range cfg.Pools[i].Members {
			if m := &cfg.Pools[i].Members[j]; len(m.Addresses) > 0 && rnd.IntN(2) == 0 {
				m.Target, m.Addresses = names[rnd.IntN(len(names))], nil
			}
		}
	}
	return names
}

// randomResolved returns addresses for most of the targets.
func randomResolved(rnd *rand.Rand, names []config.Target) map[config.Target]Resolved {
	found := map[config.Target]Resolved{}
	for _, name := range names {
		var r Resolved
		for range 1 + rnd.IntN(3) {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(16))}) // some of them those of other members
			if rnd.IntN(3) == 0 {
				a = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(rnd.IntN(16))})
			}
			if !slices.Contains(r.Addresses, a) {
				r.Addresses = append(r.Addresses, a)
			}
		}
		if rnd.IntN(8) > 0 {
			found[name] = r
		}
	}
	return found
}

// written returns a tree of cfg with the addresses of targets as if they were configured.
func written(t *testing.T, cfg *config.Config, where *geo.Locator, found map[config.Target]Resolved) *Tree {
	t.Helper()
	copied := *cfg
	copied.Pools = slices.Clone(cfg.Pools)
	for i := range copied.Pools {
		p := &copied.Pools[i]
		p.Members = slices.Clone(p.Members)
		for j := range p.Members {
			if m := &p.Members[j]; m.Target != "" {
				m.Addresses, m.Target = found[m.Target].Addresses, ""
			}
		}
	}
	tree, err := Compile(&copied, where)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// randomVerdicts returns a change of each target.
func randomVerdicts(rnd *rand.Rand, tree *Tree) []health.Transition {
	var changes []health.Transition
	for i, target := range tree.Targets() {
		changes = append(changes, health.Transition{Index: i, Target: target, To: []health.Verdict{health.Up, health.Down}[rnd.IntN(2)], Response: time.Duration(1+rnd.IntN(3)) * 10 * time.Millisecond})
	}
	return changes
}

// compareResolved compares two trees in their first state, and in one with random verdicts.
func compareResolved(t *testing.T, rnd *rand.Rand, got, want *Tree) {
	t.Helper()
	expect(t, "targets", sortedTargets(got), sortedTargets(want))
	expect(t, "modes", got.Modes(), want.Modes())
	compareAnswers(t, rnd, got, want)
	changes := randomVerdicts(rnd, want)
	want.Apply(changes)
	for i := range changes {
		changes[i].Index = slices.Index(got.Targets(), changes[i].Target)
	}
	got.Apply(changes)
	expect(t, "modes with verdicts", got.Modes(), want.Modes())
	for i := range want.Targets() {
		at := slices.Index(got.Targets(), want.Targets()[i])
		expect(t, "users", sortedUses(got, at), sortedUses(want, i))
	}
	compareAnswers(t, rnd, got, want)
}

func compareAnswers(t *testing.T, rnd *rand.Rand, got, want *Tree) {
	t.Helper()
	g, w := got.Scratch(), want.Scratch()
	for _, p := range want.cfg.Pools {
		for range 12 {
			q := ask(t, want, p.Name, Family(rnd.IntN(2)), clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))])
			q.Draw, q.Both = rnd.Uint64(), rnd.IntN(4) == 0
			of, wanted := got.Decide(q, g), want.Decide(q, w)
			expect(t, fmt.Sprintf("answer of %+v", q), fmt.Sprint(of, g.Addrs, g.CName), fmt.Sprint(wanted, w.Addrs, w.CName))
		}
	}
}

func sortedTargets(tree *Tree) []health.Target {
	return slices.SortedFunc(slices.Values(tree.Targets()), func(a, b health.Target) int { return a.Addr.Compare(b.Addr) })
}

func sortedUses(tree *Tree, target int) []TargetUse {
	return slices.SortedFunc(slices.Values(tree.TargetUses(target)), func(a, b TargetUse) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Member, b.Member), cmp.Compare(a.Region, b.Region))
	})
}

func TestResolveLimitsTheAddressesOfATarget(t *testing.T) {
	tree := compile(t, world(t, named))
	many := Resolved{Addresses: make([]netip.Addr, 1<<16)}
	for i := range many.Addresses {
		many.Addresses[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	_, err := tree.Resolve(map[config.Target]Resolved{"lb.example.net.": many})
	if err == nil {
		t.Fatal("65536 addresses of one target are accepted")
	}
	expect(t, "the old tree", answers(tree, ask(t, tree, "web", IPv4, "10.0.0.1")), "192.0.2.2")
}

func TestResolveSharesWhatDoesNotDependOnTargets(t *testing.T) {
	tree := compile(t, world(t, named))
	next := resolve(t, tree, "lb.example.net.=192.0.2.10")
	if &tree.groups[0] != &next.groups[0] || &tree.weights[0] != &next.weights[0] || &tree.parents.items[0] != &next.parents.items[0] {
		t.Error("the pools were compiled again")
	}
}

func TestResolveUpdatesResponseTimesAndLoadReports(t *testing.T) {
	cfg := world(t, "pool web fastest\n  a load=100 target=lb.example.net.\n  b 192.0.2.2\nbind web\n")
	cfg.Loads[0].URL = "" // reported at the address of the member
	tree := resolve(t, compile(t, cfg), "lb.example.net.=192.0.2.10,192.0.2.11")
	expect(t, "targets with response times", len(tree.timed.of(0)), 2)
	expect(t, "load targets", len(tree.LoadTargets()), 1)
	expect(t, "reported at", tree.LoadTargets()[0].Addr, "192.0.2.10")
}
