package pools

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bounded compiles a world with max_withdraw, every target up since long.
func bounded(t *testing.T, limit config.MaxWithdraw, text string) *Tree {
	t.Helper()
	cfg := world(t, text)
	cfg.Health.MaxWithdraw = limit
	tree := compile(t, cfg)
	for i := range tree.Targets() {
		turnAt(tree, i, health.Unknown, health.Up, noon.Add(-time.Hour))
	}
	return tree
}

func turnAt(tree *Tree, target int, from, to health.Verdict, at time.Time) {
	tree.Apply([]health.Turn{{Index: target, Target: tree.Targets()[target], From: from, To: to, At: at, Reason: "status 500"}})
}

// ten members in a row, whose targets have the same numbers
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

// standing is a letter a target: + up, - down, ? held.
func standing(tree *Tree) string {
	st, text := tree.state.Load(), ""
	for i := range tree.Targets() {
		text += map[health.Verdict]string{health.Unknown: ".", health.Up: "+", health.Down: "-", health.Uncertain: "?"}[st.verdict(uint32(i))]
	}
	return text
}

var quarter = config.MaxWithdraw{Percent: 25, Window: time.Minute}

func TestMoreThanTheBoundIsHeldUntilItFits(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	for i := range 5 {
		turnAt(tree, i, health.Up, health.Down, noon.Add(time.Duration(i)*time.Second))
	}
	expect(t, "two of ten", standing(tree), "--???+++++")
	expect(t, "eligible", tree.state.Load().countEligible(0, IPv4, asIs), 8)
	tree.Tick(noon.Add(59 * time.Second))
	expect(t, "before the window is over", standing(tree), "--???+++++")
	tree.Tick(noon.Add(60 * time.Second))
	expect(t, "one more, the first that was held", standing(tree), "---??+++++")
	turnAt(tree, 4, health.Down, health.Up, noon.Add(60*time.Second))
	expect(t, "one recovers", standing(tree), "---?++++++")
	tree.Tick(noon.Add(61 * time.Second))
	expect(t, "the other follows", standing(tree), "----++++++")
	tree.Tick(noon.Add(10 * time.Minute))
	expect(t, "and nothing else", standing(tree), "----++++++")

	got := ""
	for _, h := range tree.Withholdings() {
		got += fmt.Sprintf("%s %s %s %s\n", h.Turn.Target.Addr, h.Ended, h.Users[0].Member, h.Turn.Reason)
	}
	expect(t, "told", got, `192.0.2.2 withheld m2 status 500
192.0.2.3 withheld m3 status 500
192.0.2.4 withheld m4 status 500
192.0.2.2 heeded m2 status 500
192.0.2.4 recovered m4 status 500
192.0.2.3 heeded m3 status 500
`)
	expect(t, "told once", len(tree.Withholdings()), 0)
}

func TestWhatIsNoWithdrawalIsNotHeld(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		limit     config.MaxWithdraw
		world     string
		before    func(*Tree)
		from      health.Verdict
		at        time.Time
		want      string
	}{
		{"without a bound", config.MaxWithdraw{}, tenMembers, nil, health.Up, noon, "----------"},
		{"what is reported down after a lease that ended is a withdrawal", quarter, tenMembers, func(tree *Tree) { turnAll(tree, health.Up, health.Unknown) }, health.Unknown, noon, "--????????"},
		{"what was down, then not known, then down again", quarter, tenMembers, func(tree *Tree) {
			for i := range tree.Targets() {
				turnAt(tree, i, health.Up, health.Down, noon.Add(time.Duration(i-60)*time.Minute))
			}
			turnAll(tree, health.Down, health.Unknown)
		}, health.Unknown, noon, "----------"},
		{"rehearsals", quarter, tenMembers, nil, health.Up, time.Time{}, "----------"},
		{"one at least", config.MaxWithdraw{Percent: 1, Window: time.Minute}, tenMembers, nil, health.Up, noon, "-?????????"},
		{"all of them, where all may", config.MaxWithdraw{Percent: 100, Window: time.Minute}, tenMembers, nil, health.Up, noon, "----------"},
		{"drained members", quarter, tenMembers, func(tree *Tree) { tree.SetOverrides([]Override{{Pool: "web", Kind: Drained}}) }, health.Up, noon, "----------"},
		{"forced members", quarter, tenMembers, func(tree *Tree) { tree.SetOverrides([]Override{{Pool: "web", Kind: ForcedUp}}) }, health.Up, noon, "----------"},
		{"disabled members and such of no weight", quarter, "pool web weighted\n  a disabled 192.0.2.1\n  b weight=0 192.0.2.2\n  c 192.0.2.3\n", nil, health.Up, noon, "---"},
		{"an endpoint with another address that is up", quarter, "pool web weighted\n  a 192.0.2.1 192.0.2.2\n  b 192.0.2.3 192.0.2.4\n", nil, health.Up, noon, "---?"},
		{"both families of one member", quarter, "pool web weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.3 2001:db8::3\n", nil, health.Up, noon, "--??"},
		{"members of a region that is down", quarter, "region near 0 0 0 192.0.2.1\npool web weighted\n  r 192.0.2.1\npool in weighted\n  a region=near 192.0.2.2\n  b region=near 192.0.2.3\n", nil, health.Up, noon, "---"},
		{"of two regions one", quarter, "region near 0 0 0 192.0.2.1\nregion far 0 0 0 192.0.2.2 192.0.2.3\npool web weighted\n  a 192.0.2.9\n", nil, health.Up, noon, "---?"},
		{"two members of one address: nobody else", quarter, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.1\n  c 192.0.2.2\n", nil, health.Up, noon, "-?"},
		{"a pool that has room does not help one that has not", quarter, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\npool roomy weighted min_up=1\n  c 192.0.2.2\n", nil, health.Up, noon, "-?"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, c.limit, c.world)
			if c.before != nil {
				c.before(tree)
			}
			for i := range tree.Targets() {
				turnAt(tree, i, c.from, health.Down, c.at)
			}
			expect(t, "verdicts", standing(tree), c.want)
		})
	}
}

func turnAll(tree *Tree, from, to health.Verdict) {
	for i := range tree.Targets() {
		turnAt(tree, i, from, to, noon)
	}
}

func TestFirstVerdictsAreHeeded(t *testing.T) {
	cfg := world(t, tenMembers)
	cfg.Health.MaxWithdraw = quarter
	tree := compile(t, cfg)
	turnAll(tree, health.Unknown, health.Down)
	expect(t, "all are down", standing(tree), "----------")
}

func TestAHeldTurnIsHeededWhenItsMemberIsForcedDown(t *testing.T) {
	tree := bounded(t, quarter, tenMembers)
	for i := range 5 {
		turnAt(tree, i, health.Up, health.Down, noon)
	}
	tree.SetOverrides([]Override{{Pool: "web", Member: "m3", Kind: ForcedDown}})
	tree.Tick(noon.Add(time.Second))
	expect(t, "forced down", standing(tree), "--?-?+++++")
	tree.SetOverrides(nil)
	expect(t, "and no longer", standing(tree), "--?-?+++++")
}

func TestWhatIsHeldOutlivesAReload(t *testing.T) {
	tree := bounded(t, quarter, "region near 0 0 0 192.0.2.200\n"+tenMembers)
	tree.SetOverrides([]Override{{Pool: "web", Member: "m9", Kind: Drained}})
	for i := range 4 {
		turnAt(tree, i, health.Up, health.Down, noon)
	}
	expect(t, "before", standing(tree), "--??+++++++")
	cfg := world(t, "pool other weighted\n  x 192.0.2.77\n"+tenMembers) // m0 is at 1 now
	cfg.Health.MaxWithdraw = quarter
	next := compile(t, cfg)
	next.Inherit(tree)
	expect(t, "known before any turn", standing(next), "...??......")
	for i := range 5 { // as a new watch tells what is known
		turnAt(next, i, health.Unknown, health.Down, noon.Add(time.Second))
	}
	expect(t, "after", standing(next), "---??......")
	turnAt(next, 5, health.Up, health.Down, noon.Add(2*time.Second))
	expect(t, "who was withdrawn counts", standing(next), "---???.....")
	expect(t, "overrides", len(next.Overrides()), 1)
	next.Tick(noon.Add(time.Minute))
	expect(t, "in time", standing(next), "-----?.....")
}

func TestInheritingTwiceIsInheritingOnce(t *testing.T) {
	cfg := world(t, "region near 0 0 0 192.0.2.200\npool web weighted\n  lb target=lb.example.net.\n"+strings.ReplaceAll(tenMembers, "pool web", "pool ten"))
	cfg.Health.MaxWithdraw = quarter
	tree := resolve(t, compile(t, cfg), "lb.example.net.=192.0.2.77")
	turnAll(tree, health.Unknown, health.Up)
	for i := range 5 {
		turnAt(tree, i+2, health.Up, health.Down, noon)
	}
	before := standing(tree)
	next := resolve(t, tree, "lb.example.net.=192.0.2.77,192.0.2.78")
	next.Inherit(tree)
	next.Inherit(tree)
	expect(t, "withdrawals", len(next.Withdrawals().Recent), len(tree.Withdrawals().Recent))
	expect(t, "withheld", len(next.Withdrawals().Withheld), len(tree.Withdrawals().Withheld))
	for i, target := range next.Targets() {
		if j := slices.Index(tree.Targets(), target); j >= 0 {
			turnAt(next, i, health.Unknown, map[byte]health.Verdict{'+': health.Up, '-': health.Down, '?': health.Up}[before[j]], noon)
		}
	}
	next.Tick(noon.Add(time.Minute))
	expect(t, "all that was withheld recovered", len(next.Withdrawals().Withheld), 0)
}

func TestAReloadThatEditsACheckIsNoWayAroundTheBound(t *testing.T) {
	const world3 = "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n"
	for _, c := range []struct{ behaviour, before, after, want string }{
		{"edited", world3, world3, "-??-"},
		{"added", strings.Replace(world3, "weighted", "weighted check=none", 1), world3, "-???"},
		{"other addresses", world3, strings.ReplaceAll(world3, "192.0.2", "192.0.3"), "----"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, quarter, c.before)
			if len(tree.Targets()) > 0 {
				turnAt(tree, 3, health.Up, health.Down, noon.Add(-time.Hour))
			}
			cfg := world(t, c.after)
			cfg.Health.MaxWithdraw = quarter
			next := compile(t, cfg)
			next.Inherit(tree)
			turnAll(next, health.Unknown, health.Down)
			expect(t, "the first results", standing(next), c.want)
		})
	}
}

func TestWhatIsWithheldOutlivesAProcess(t *testing.T) {
	tree := bounded(t, quarter, "region near 0 0 0 192.0.2.200\n"+tenMembers)
	turnAll(tree, health.Up, health.Down)
	expect(t, "before", standing(tree), "--????????-")
	file, err := json.Marshal(tree.Withdrawals())
	if err != nil {
		t.Fatal(err)
	}
	var kept Withdrawals
	if err := json.Unmarshal(file, &kept); err != nil {
		t.Fatal(err)
	}
	cfg := world(t, "region near 0 0 0 192.0.2.200\n"+tenMembers)
	cfg.Health.MaxWithdraw = quarter
	next := compile(t, cfg)
	next.Recall(kept, noon.Add(10*time.Second))
	turnAll(next, health.Unknown, health.Down) // as the prober remembers them
	expect(t, "after", standing(next), "--????????-")
	next.Tick(noon.Add(59 * time.Second))
	expect(t, "as long as before", standing(next), "--????????-")
	next.Tick(noon.Add(60 * time.Second))
	expect(t, "and no longer", standing(next), "----??????-")

	early := compile(t, cfg)
	early.Recall(kept, noon.Add(-24*time.Hour))
	for _, w := range early.Withdrawals().Recent {
		expect(t, "by a clock that was set back, of now", w.At, noon.Add(-24*time.Hour))
	}
}

func TestExplainAndStatusTellOfHeldTurns(t *testing.T) {
	tree := bounded(t, quarter, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n")
	turnAt(tree, 0, health.Up, health.Down, noon)
	turnAt(tree, 1, health.Up, health.Down, noon)
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "8.8.8.8"), tree.Scratch())
	expect(t, "explained", told(steps), "web/a! [down] down: its IPv4 address is down\nweb/b* [uncertain] first eligible in the order written; uncertain, counts as up: max_withdraw withholds its turn to down: status 500\n")
	for p := range tree.Status() {
		expect(t, "state", p.Members[1].State, "uncertain")
		expect(t, "held", p.Members[1].Addresses[0].Withheld.Reason, "status 500")
	}
}

// slowWithdrawals is max_withdraw for one pool of endpoints with one address
// each, said plainly: a list of all that happened.
type slowWithdrawals struct {
	limit   config.MaxWithdraw
	down    map[int]bool
	held    map[int]time.Time
	when    map[int]time.Time // last withdrawn
	drained map[int]bool
	members int
}

func (s *slowWithdrawals) fits(m int, now time.Time) bool {
	undrained := s.members - len(s.drained)
	if s.drained[m] {
		return true
	}
	others := 0
	for other, at := range s.when {
		if other != m && now.Before(at.Add(s.limit.Window)) {
			others++
		}
	}
	if others > 0 && others+1 > max(1, undrained*s.limit.Percent/100) {
		return false
	}
	s.when[m] = now
	return true
}

func (s *slowWithdrawals) turn(m int, down bool, now time.Time) {
	if _, held := s.held[m]; !down {
		delete(s.held, m)
		s.down[m] = false
	} else if !held && !s.down[m] {
		if s.fits(m, now) {
			s.down[m] = true
		} else {
			s.held[m] = now
		}
	}
}

func (s *slowWithdrawals) tick(now time.Time) {
	var waiting []int
	for m := range s.held {
		waiting = append(waiting, m)
	}
	slices.SortFunc(waiting, func(a, b int) int {
		if c := s.held[a].Compare(s.held[b]); c != 0 {
			return c
		}
		return a - b
	})
	for _, m := range waiting {
		if s.fits(m, now) {
			delete(s.held, m)
			s.down[m] = true
		}
	}
}

func (s *slowWithdrawals) standing() string {
	text := ""
	for m := range s.members {
		_, held := s.held[m]
		text += map[bool]string{true: "?", false: map[bool]string{true: "-", false: "+"}[s.down[m]]}[held]
	}
	return text
}

func TestWithdrawalsMatchTheReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		limit := config.MaxWithdraw{Percent: 1 + rnd.IntN(100), Window: time.Duration(1+rnd.IntN(30)) * time.Second}
		tree := bounded(t, limit, tenMembers)
		slow := &slowWithdrawals{limit: limit, members: 10, down: map[int]bool{}, held: map[int]time.Time{}, when: map[int]time.Time{}, drained: map[int]bool{}}
		now, verdicts := noon, make([]health.Verdict, 10)
		for range 200 {
			switch m := rnd.IntN(10); rnd.IntN(8) {
			case 0:
				now = now.Add(time.Duration(rnd.IntN(10)) * time.Second)
				tree.Tick(now)
				slow.tick(now)
			case 1:
				var overrides []Override
				clear(slow.drained)
				for i := range rnd.IntN(3) {
					slow.drained[(m+i)%10] = true
					overrides = append(overrides, Override{Pool: "web", Member: fmt.Sprint("m", (m+i)%10), Kind: Drained})
				}
				tree.SetOverrides(overrides)
			default:
				to := []health.Verdict{health.Up, health.Down}[rnd.IntN(2)]
				if verdicts[m] == to {
					continue
				}
				turnAt(tree, m, max(verdicts[m], health.Up), to, now)
				slow.turn(m, to == health.Down, now)
				verdicts[m] = to
			}
			if got, want := standing(tree), slow.standing(); got != want {
				t.Fatalf("seed %d: %v: got %s, want %s", seed, limit, got, want)
			}
		}
	}
}
