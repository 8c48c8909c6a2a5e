package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"meridian/config"
)

// askBoth asks for both families.
func askBoth(t testing.TB, tree *Tree, pool, client string) Request {
	q := ask(t, tree, pool, IPv4, client)
	q.Both = true
	return q
}

// TestBothFamiliesMatchSingleFamilies compares answers for both families with those
// of A and AAAA requests of the same draw, in worlds of all kinds.
func TestBothFamiliesMatchSingleFamilies(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	for range rounds(20) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		for range 4 {
			compareBoth(t, rnd, tree, cfg)
			tree.Apply(randomTurns(rnd, tree, r))
			randomOverrides(rnd, tree, r)
			randomLoads(rnd, tree, r)
		}
		if t.Failed() {
			t.Fatalf("seed %d, world:\n%s", seed, text)
		}
	}
}

func compareBoth(t *testing.T, rnd *rand.Rand, tree *Tree, cfg *config.Config) {
	t.Helper()
	for id := range cfg.Pools {
		q := Request{Pool: ID(id), Answers: rnd.IntN(4), Client: netip.AddrFrom4([4]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), 0, 1}), Draw: rnd.Uint64()}
		four, six := tree.Scratch(), tree.Scratch()
		d4 := tree.Decide(q, four)
		q.Family = IPv6
		d6 := tree.Decide(q, six)
		q.Both = true
		both := tree.Scratch()
		d := tree.Decide(q, both)

		want, scope := Scratch{CName: four.CName}, d4.Scope
		if four.CName == nil {
			want.Addrs, scope = append(four.Addrs, six.Addrs...), max(d4.Scope, d6.Scope)
			if len(want.Addrs) == 0 {
				want.CName = six.CName
			}
		}
		if fmt.Sprint(both.Addrs, both.CName) != fmt.Sprint(want.Addrs, want.CName) || d.Scope != scope {
			t.Errorf("pool %s, %+v\nboth %v %q, scope %d\nwant %v %q, scope %d", cfg.Pools[id].Name, q,
				both.Addrs, both.CName, d.Scope, want.Addrs, want.CName, scope)
		}
		again := tree.Scratch()
		if explained, _ := tree.Explain(q, again); explained != d || fmt.Sprint(again.Addrs, again.CName) != fmt.Sprint(both.Addrs, both.CName) {
			t.Errorf("pool %s, %+v: explained %+v %v, decided %+v %v", cfg.Pools[id].Name, q, explained, again.Addrs, d, both.Addrs)
		}
	}
}

func TestOneDrawForBothFamiliesGivesOneMember(t *testing.T) {
	const members = "  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n  c 192.0.2.3 2001:db8::3\n"
	for _, policy := range []string{"weighted", "round-robin", "failover trickle=50", "hash", "fastest", "all answers=1"} {
		tree := compile(t, world(t, "pool web "+policy+"\n"+members))
		s := tree.Scratch()
		q := askBoth(t, tree, "web", "8.8.8.8")
		for i := range 50 {
			if i%3 == 0 { // its turns are not those of requests for both
				tree.Decide(ask(t, tree, "web", Family(i%2), "8.8.8.8"), s)
			}
			q.Draw++
			tree.Decide(q, s)
			if len(s.Addrs) != 2 || s.Addrs[0].As4()[3] != s.Addrs[1].As16()[15] {
				t.Fatalf("%s: %v", policy, s.Addrs)
			}
		}
	}
}

func TestQuestionsForBothFamiliesTakeTurns(t *testing.T) {
	for _, c := range []struct{ behaviour, world, want string }{
		{"one for the two", "pool web round-robin\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n", "11 22 11 22"},
		{"each of a pool that is walked twice", "pool web failover answers=2\n  a pool=in\n  b pool=in\npool in round-robin\n" +
			"  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n  c 192.0.2.3 2001:db8::3\n", "1212 3131 2323 1212"},
		{"of a pool that has one family only", "pool web weighted\n  in pool=in\npool in round-robin\n  a 192.0.2.1\n  b 192.0.2.2\n", "1 2 1 2"},
	} {
		tree := compile(t, world(t, c.world))
		expect(t, c.behaviour, sequence(tree, tree.Scratch(), askBoth(t, tree, "web", "8.8.8.8"), 4), c.want)
	}
}

// Requests for both leave no turns to AAAA requests.
func TestTurnsOfBothFamiliesEndWithTheQuestion(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  in pool=in\n  six 2001:db8::9\npool in round-robin\n  a 192.0.2.1\n  b 192.0.2.2 2001:db8::2\n"))
	s := tree.Scratch()
	tree.Decide(askBoth(t, tree, "web", "8.8.8.8"), s)
	expect(t, "left", len(s.taken), 0)
	expect(t, "AAAA", sequence(tree, s, ask(t, tree, "in", IPv6, "8.8.8.8"), 2), "2 2")
}

func TestDualStackAnswerNeverMixesCNAMEAndAddresses(t *testing.T) {
	tree := compile(t, world(t, `
pool alias weighted
  host cname=host.example.net.
pool mixed failover
  a 192.0.2.1
  host cname=host.example.net.
pool six failover
  a 2001:db8::1
  host cname=host.example.net.
`))
	for _, c := range []struct{ pool, want string }{
		{"alias", "host.example.net."},
		{"mixed", "[192.0.2.1]"},
		{"six", "host.example.net."}, // A alone has this answer already
	} {
		expect(t, c.pool, answersOrAlias(t, tree, askBoth(t, tree, c.pool, "8.8.8.8"), 20), c.want)
	}
}

func TestStepsShowFamilyIfBothAreDecided(t *testing.T) {
	tree := compile(t, world(t, "pool web weighted\n  a 192.0.2.1 2001:db8::1\n"))
	_, steps := tree.Explain(askBoth(t, tree, "web", "8.8.8.8"), tree.Scratch())
	if len(steps) != 2 || steps[0].Family != "IPv4" || steps[1].Family != "IPv6" || steps[0].Probability != 1 || steps[1].Probability != 1 {
		t.Errorf("%+v", steps)
	}
	if _, steps = tree.Explain(ask(t, tree, "web", IPv6, "8.8.8.8"), tree.Scratch()); steps[0].Family != "" {
		t.Errorf("one family: %+v", steps)
	}
}

func TestDecidingForBothFamiliesAllocatesNothing(t *testing.T) {
	tree := compile(t, world(t, "pool web round-robin answers=2\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\n"))
	s, q := tree.Scratch(), askBoth(t, tree, "web", "8.8.8.8")
	expect(t, "allocations", testing.AllocsPerRun(200, func() { q.Draw++; tree.Decide(q, s) }), 0.0)
}
