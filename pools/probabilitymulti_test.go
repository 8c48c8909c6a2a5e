package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/config"
	"meridian/health"
)

// inAnswer returns the shown probability of each member to be in an answer, in thousandths.
func inAnswer(steps []Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, fmt.Sprintf("%s %.0f", s.Member, 1000*s.InAnswer))
	}
	return strings.Join(all, ", ")
}

func TestExplainShowsProbabilityInAnswer(t *testing.T) {
	for _, c := range []struct{ behaviour, world, want string }{
		{"one is drawn", "pool web weighted\n  a weight=3 192.0.2.1\n  b 192.0.2.2\n", "a 750, b 250"},
		{"two of three, by weight", "pool web weighted answers=2\n  a weight=2 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "a 833, b 583, c 583"},
		{"all", "pool web weighted answers=0\n  a weight=2 192.0.2.1\n  b 192.0.2.2\n  c weight=0 192.0.2.3\n", "a 1000, b 1000, c 0"},
		{"two turns of three", "pool web round-robin answers=2\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "a 667, b 667, c 667"},
		{"failover", "pool web failover answers=2\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "a 1000, b 1000, c 0"},
		{"failover with a trickle", "pool web failover answers=2 trickle=10\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n", "a 990, b 910, c 100"},
		{"a region each", "pool web weighted answers=2 spread\n  a region=near 192.0.2.1\n  b region=near 192.0.2.2\n  c region=far 192.0.2.3\n", "a 500, b 500, c 1000"},
		{"two addresses are two answers", "pool web weighted answers=2\n  a 192.0.2.1 192.0.2.2\n  b 192.0.2.3\n  c 192.0.2.4\n", "a 667, b 500, c 500"},
		{"a pool in a pool", "pool web all answers=2\n  in pool=inner\n  b 192.0.2.2\n  c 192.0.2.3\npool inner weighted\n  d weight=3 192.0.2.4\n  e 192.0.2.5\n", "in 667, b 667, c 667, d 500, e 167"},
		{"a substitute", "pool web weighted answers=2\n  a 2001:db8::1\n  b 192.0.2.2\n  c 192.0.2.3\n", "a 0, b 1000, c 1000"},
		{"many, as one of 40 is left out", "pool web weighted answers=39\n  heavy weight=1000 192.0.2.250\n" + strings.Repeat("  light weight=2 192.0.2.X\n", 39), "heavy 1000" + strings.Repeat(", light 974", 39)},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			for i := range 39 {
				c.world = strings.Replace(c.world, "light weight=2 192.0.2.X\n", fmt.Sprintf("light%d weight=2 192.0.2.%d\n", i, i), 1)
			}
			tree := compile(t, world(t, nearAndFar+c.world))
			_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
			if i := strings.Index(steps[0].Member, "in"); i == 0 { // the nested pool's steps exist only if it was drawn
				q := ask(t, tree, "web", IPv4, "8.8.8.8")
				for len(steps) == 3 {
					q.Draw++
					_, steps = tree.Explain(q, tree.Scratch())
				}
			}
			got := inAnswer(steps)
			for i := range 39 {
				got = strings.Replace(got, fmt.Sprintf("light%d ", i), "light ", 1)
			}
			expect(t, "in the answer", got, c.want)
		})
	}
}

// The shown probabilities of answers with several members match the frequencies under every policy: 1,000
// draws, within five standard deviations and the error of the approximation.
func TestProbabilityInAnswerMatchesFrequency(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	const draws = 1000
	for range rounds(20) {
		text := randomWorld(rnd)
		cfg := world(t, text)
		tellApart(cfg)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		tree.Apply(randomTurns(rnd, tree, r))
		q := ask(t, tree, fmt.Sprintf("p%d", rnd.IntN(len(cfg.Pools))), Family(rnd.IntN(2)), clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))])
		s := tree.Scratch()
		s.begin(tree)
		whole := s.answerDistribution(q)
		counted := map[memberRef]int{}
		for range draws {
			q.Draw, s.Time, s.TTL = rnd.Uint64(), rnd.Int64(), 30
			s.SeedTurns(q.Draw)
			s.begin(tree)
			s.record = &recorder{tree: tree, state: s.state}
			s.decide(q)
			seen := map[memberRef]bool{}
			for _, step := range s.record.steps {
				if step.Chosen && !seen[step.is] {
					counted[step.is]++
					seen[step.is] = true
				}
			}
			s.record = nil
		}
		for u, n := range counted {
			if nestedTwice(tree, u.pool) {
				continue // its paths may be walked in one answer, and add up
			}
			p, got := whole.reached[u], float64(n)/draws
			if math.Abs(got-p) > 5*math.Sqrt(p*(1-p)/draws)+0.012 {
				t.Fatalf("seed %d: member %s/%s is in %.3f of the answers, told %.3f; asked %+v, world:\n%s",
					seed, cfg.Pools[u.pool].Name, cfg.Pools[u.pool].Members[u.member].Name, got, p, q, text)
			}
		}
	}
}

// The number of draws computed is bounded over all pools and admissions:
// a running server answers while it explains.
func TestExplainWorkIsBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("pool web all answers=10\n")
	for i := range 40 {
		fmt.Fprintf(&text, "  m%d 192.0.2.%d 198.51.100.%d\n", i, i+1, i+1)
	}
	tree := compile(t, world(t, text.String()))
	for i := range 10 {
		tree.Apply([]health.Transition{{Index: 2 * i, To: health.Up, SlowStartWeight: 100}, {Index: 2*i + 1, To: health.Up, SlowStartWeight: 100}})
	}
	s := tree.Scratch()
	s.begin(tree)
	o := s.answerDistribution(ask(t, tree, "web", IPv4, "8.8.8.8"))
	if most := 40; o.left < -most {
		t.Errorf("%d draws more than are to be gone through", -o.left)
	}
}

// Members of probability 0 are in an answer that the others do not fill.
func TestApproximationContinuesWithZeroProbabilityMembers(t *testing.T) {
	var text strings.Builder
	text.WriteString("pool web least-load answers=25\n")
	var capacities []string
	loads := make([]float64, 40)
	for i := range loads {
		fmt.Fprintf(&text, "  m%d weight=%d 192.0.2.%d\n", i, 1+i*i, i+1)
		capacities = append(capacities, fmt.Sprintf("web/m%d=100", i))
		if i >= 20 {
			loads[i] = 100
		}
	}
	tree := compile(t, loaded(t, world(t, text.String()), capacities...))
	report(tree, 1, loads...)
	s := tree.Scratch()
	s.begin(tree)
	o := s.answerDistribution(ask(t, tree, "web", IPv4, "8.8.8.8"))
	for m := range loads {
		p := o.reached[memberRef{0, uint32(m)}]
		if full := m >= 20; !full && p != 1 || full && (p <= 0 || p >= 1) {
			t.Errorf("m%d is in %.3f of the answers", m, p)
		}
	}
}

// tellApart gives no address to two members: an address that is in an answer already is
// not repeated, which leaves room for others.
func tellApart(cfg *config.Config) {
	n := byte(0)
	for p := range cfg.Pools {
		for m := range cfg.Pools[p].Members {
			addrs := cfg.Pools[p].Members[m].Addresses
			for i := range addrs {
				n++
				if addrs[i].Is4() {
					addrs[i] = netip.AddrFrom4([4]byte{198, 18, 0, n})
				} else {
					addrs[i] = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: n})
				}
			}
		}
	}
}

// nestedTwice reports whether a pool, or one around it, is nested in more than one place.
func nestedTwice(t *Tree, pool uint32) bool {
	var around []uint32
	t.eachMember(func(u memberRef, m *member) {
		if m.child == pool {
			around = append(around, u.pool)
		}
	})
	return len(around) > 1 || len(around) == 1 && nestedTwice(t, around[0])
}

// The reason of a member without the family does not depend on the draw; its substitute has the probability.
func TestSubstituteReasonDoesNotDependOnDraw(t *testing.T) {
	tree := compile(t, world(t, nearAndFar+"pool web weighted\n  a region=near 192.0.2.1\n  b region=near 2001:db8::2\n  c region=far 2001:db8::3\n  d region=far 192.0.2.4\n  e 192.0.2.5\n"))
	q := ask(t, tree, "web", IPv6, "8.8.8.8")
	for q.Draw = range 20 {
		s := tree.Scratch()
		_, steps := tree.Explain(q, s)
		expect(t, "a", steps[0].Reason, `has no IPv6 address; "b" of the same region is used instead`)
		expect(t, "d", steps[3].Reason, `has no IPv6 address; "c" of the same region is used instead`)
		expect(t, "e", steps[4].Reason, `has no IPv6 address, nor has another without a region: it adds nothing`)
		expect(t, "odds", inAnswer(steps), "a 0, b 400, c 400, d 0, e 0")
		expect(t, "NODATA", fmt.Sprintf("%.1f", s.PoolAnswers[0].NoData), "0.2")
		chosen := false
		for _, step := range steps {
			chosen = chosen || step.Chosen
		}
		if why := s.PoolAnswers[0].NoDataWhy; chosen != (why == "") || !chosen && why != `pool "web": "e" was drawn, which has no IPv6 address, nor has another without a region` {
			t.Errorf("draw %d: %s", q.Draw, why)
		}
	}
}

func TestExplainShowsHowRequestedPoolAnswers(t *testing.T) {
	for _, c := range []struct{ behaviour, world, down, want string }{
		{"normal", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a", "normal by web: live (1 of 2 members up, needs 1)"},
		{
			"its fallback", "pool web failover min_up=60% fallback=sorry\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\npool sorry weighted\n  s 192.0.2.4\n", "web/a web/b",
			`fallback by sorry: not live (1 of 3 members up, needs 2, min_up 60%): its fallback "sorry" answers`,
		},
		{
			"open", "pool web failover\n  a 192.0.2.1\n  b disabled 192.0.2.2\n", "web/a",
			`fail-open by web: not live (0 of 1 member up, needs 1), and it has no fallback. It fails open: all its members count as up`,
		},
		{
			"open, with members that are up", "pool web failover min_up=2\n  a 192.0.2.1\n  b 192.0.2.2\n", "web/a",
			`fail-open by web: not live (1 of 2 members up, needs 2), and it has no fallback. It fails open: its members that are up answer, whatever min_up is`,
		},
		{
			"open with its fallback down", "pool web failover fallback=sorry\n  a 192.0.2.1\npool sorry weighted\n  s 192.0.2.4\n", "web/a sorry/s",
			`fail-open by web: not live (0 of 1 member up, needs 1), nor is its fallback "sorry": not live (0 of 1 member up, needs 1). It fails open: all its members count as up`,
		},
		{
			"fail_open: never", "pool web failover fail_open=never\n  a 192.0.2.1\n", "web/a",
			`nodata by : not live (0 of 1 member up, needs 1), and it has no fallback. fail_open: never, so the answer is NODATA`,
		},
		{
			"nobody", "pool web failover\n  a weight=0 192.0.2.1\n", "",
			`nodata by : not live (no member can be eligible), and it has no fallback. All its members are disabled, drained, forced down, unresolved or of weight 0, so the answer is NODATA`,
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			s := tree.Scratch()
			_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), s)
			expect(t, "standings", len(s.PoolAnswers), 1)
			got := s.PoolAnswers[0]
			expect(t, "standing", fmt.Sprintf("%s by %s: %s", got.Mode, got.By, got.Why), c.want)
			expect(t, "first step is of the pool asked", steps[0].Pool, "web")
			expect(t, "NODATA has a reason", got.NoDataWhy != "", got.Mode == "nodata")
		})
	}
}

func TestExplainShowsWhyGeolocationHasNoAnswer(t *testing.T) {
	const pool = "net 11.0.0.0/8 country:DE\nnet 12.0.0.0/8 country:JP\n"
	for _, c := range []struct{ behaviour, world, client, down, want string }{
		{"no match", "pool web geolocation\n  a match=country:DE 192.0.2.1\n", "12.0.0.1", "", `pool "web": the client matches no member, and default: nodata`},
		{"fence", "pool web geolocation fence\n  a match=country:DE 192.0.2.1\n  b match=continent:EU 192.0.2.2\n", "11.0.0.1", "web/a", `pool "web": the client matches country DE, which has no eligible member, and on_down: fence keeps to it`},
		{"no member up", "pool web geolocation\n  a match=country:DE 192.0.2.1\n  b match=continent:EU 192.0.2.2\n  c match=country:JP 192.0.2.3\n", "11.0.0.1", "web/a web/b", `pool "web": the client has 2 matches, and none has an eligible member`},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, pool+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			s := tree.Scratch()
			tree.Explain(ask(t, tree, "web", IPv4, c.client), s)
			expect(t, "why", s.PoolAnswers[0].NoDataWhy, c.want)
			expect(t, "how likely", s.PoolAnswers[0].NoData, 1.0)
		})
	}
}

func TestExplainShowsMatchesAndRanks(t *testing.T) {
	tree := compile(t, world(t, "net 11.0.0.0/8 country:DE\npool web geolocation\n  others match=default 192.0.2.3\n  lab match=network:11.7.0.0/16 192.0.2.1\n  eu match=continent:EU 192.0.2.2\n  jp match=country:JP 192.0.2.4\npool cache hash\n  a 192.0.2.5\n  b 192.0.2.6\n  c 192.0.2.7\n"))
	setVerdicts(t, tree, health.Down, "web/lab")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "11.7.0.1"), tree.Scratch())
	got := ""
	for _, s := range steps {
		if s.Match != nil {
			got += fmt.Sprintf("%s %d %s; ", s.Member, s.Match.Place, s.Match.By)
		}
	}
	expect(t, "matches", got, "others 3 default; lab 1 network 11.7.0.0/16; eu 2 continent EU; ")

	q := ask(t, tree, "cache", IPv4, "8.8.8.8")
	for place := 1; place <= 3; place++ {
		_, steps = tree.Explain(q, tree.Scratch())
		for _, s := range steps {
			if s.Chosen {
				expect(t, "rank of the chosen one", s.Rank, 1)
				setVerdicts(t, tree, health.Down, "cache/"+s.Member) // the next one replaces it
			} else if s.Eligible {
				expect(t, "reason of choice", s.Reason, ordinal(s.Rank)+" choice of this network")
			}
		}
	}
	expect(t, "ordinals", []string{ordinal(2), ordinal(6), ordinal(11), ordinal(21), ordinal(113)}, "[second 6th 11th 21st 113th]")
}
