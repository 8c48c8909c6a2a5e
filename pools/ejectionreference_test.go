package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

// slowEjections is a simple reference of max_ejection for one pool of endpoints: the state of each
// member, and a list of all ejections, summed up each time.
type slowEjections struct {
	bound   config.MaxEjection
	members []slowMember
	log     []slowEjection
	now     time.Time
}

type slowMember struct {
	weight  int
	refs    [2][]int // by family: targets
	drained bool
	lost    [2]bool // by its checks
	down    [2]bool // as treated by the pool
	turn    int     // the order in which members were deferred
}

type slowEjection struct {
	member int
	at     time.Time
}

func (s *slowEjections) isDeferred(m int) bool {
	member := &s.members[m]
	return member.lost[0] && !member.down[0] || member.lost[1] && !member.down[1]
}

// ejected returns the members that went down within the window and are down.
func (s *slowEjections) ejected() map[int]bool {
	found := map[int]bool{}
	for _, e := range s.log {
		if s.now.Before(e.at.Add(s.bound.Window)) {
			found[e.member] = true
		}
	}
	return found
}

func (s *slowEjections) fits(m int) bool {
	total, others := 0, 0
	ejected := s.ejected()
	for i := range s.members {
		if !s.members[i].drained {
			total += s.members[i].weight
		}
		if ejected[i] && i != m {
			others += s.members[i].weight
		}
	}
	return ejected[m] || others == 0 || (others+s.members[m].weight) <= total*s.bound.Percent/100
}

// eject ejects a member for its lost families.
func (s *slowEjections) eject(m int) {
	if !s.ejected()[m] && !s.members[m].drained {
		s.log = append(s.log, slowEjection{m, s.now})
	}
	s.members[m].down = s.members[m].lost
}

func (s *slowEjections) turn(target int, verdicts []health.Verdict, now time.Time, turns *int) {
	s.now = now
	for m := len(s.members) - 1; m >= 0; m-- { // members of one address in the order of Tree.membersByTarget
		member := &s.members[m]
		if !slices.Contains(member.refs[target%2], target) {
			continue
		}
		deferred := s.isDeferred(m)
		for f := range member.lost {
			refs := member.refs[f]
			if len(refs) == 0 {
				refs = member.refs[1-f]
			}
			member.lost[f] = !slices.ContainsFunc(refs, func(r int) bool { return verdicts[r] != health.Down })
			member.down[f] = member.down[f] && member.lost[f]
		}
		if member.lost == [2]bool{} {
			s.log = slices.DeleteFunc(s.log, func(e slowEjection) bool { return e.member == m })
		}
		switch {
		case !s.isDeferred(m):
		case member.drained || s.fits(m):
			s.eject(m)
		case !deferred:
			*turns++
			member.turn = *turns
		}
	}
}

func (s *slowEjections) drain(drained map[int]bool) {
	for m := range s.members {
		if s.members[m].drained = drained[m]; drained[m] {
			s.members[m].down = s.members[m].lost
		}
	}
}

func (s *slowEjections) tick(now time.Time) {
	s.now = now
	var waiting []int
	for m := range s.members {
		if s.isDeferred(m) {
			waiting = append(waiting, m)
		}
	}
	slices.SortFunc(waiting, func(a, b int) int { return s.members[a].turn - s.members[b].turn })
	for _, m := range waiting {
		if !s.fits(m) {
			return
		}
		s.eject(m)
	}
}

func (s *slowEjections) standing() string {
	text := ""
	for m := range s.members {
		member := &s.members[m]
		switch {
		case member.drained, !s.isDeferred(m) && member.lost != [2]bool{}:
			text += "-"
		case s.isDeferred(m):
			text += "?"
		default:
			text += "+"
		}
	}
	return text
}

// randomEjections returns a world of pools that share addresses, and the reference of each.
func randomEjections(t *testing.T, rnd *rand.Rand) (*Tree, []*slowEjections) {
	var text strings.Builder
	var slow []*slowEjections
	used := map[int]bool{}
	for id := range 1 + rnd.IntN(3) {
		fmt.Fprintf(&text, "pool p%d weighted\n", id)
		s := &slowEjections{bound: config.MaxEjection{Percent: 1 + rnd.IntN(99), Window: time.Duration(1+rnd.IntN(30)) * time.Second}, now: noon}
		for m := range 1 + rnd.IntN(8) {
			member := slowMember{weight: 1 + rnd.IntN(4)}
			fmt.Fprintf(&text, "  m%d weight=%d", m, member.weight)
			seen := map[int]bool{}
			for range 1 + rnd.IntN(2) {
				target := rnd.IntN(12)
				if seen[target] {
					continue
				}
				seen[target], used[target] = true, true
				member.refs[target%2] = append(member.refs[target%2], target)
				fmt.Fprintf(&text, " %s", []string{fmt.Sprintf("192.0.2.%d", target), fmt.Sprintf("2001:db8::%d", target)}[target%2])
			}
			text.WriteString("\n")
			s.members = append(s.members, member)
		}
		slow = append(slow, s)
	}
	cfg := world(t, text.String())
	for id := range cfg.Pools {
		cfg.Pools[id].MaxEjection = slow[id].bound
	}
	return compile(t, cfg), slow
}

// targetNumbers returns the number in the address of each target.
func targetNumbers(tree *Tree) []int {
	numbers := make([]int, len(tree.targets))
	for i, target := range tree.targets {
		bytes := target.Addr.AsSlice()
		numbers[i] = int(bytes[len(bytes)-1])
		if target.Addr.Is6() { // written in decimal, read in hexadecimal
			numbers[i] = numbers[i]>>4*10 + numbers[i]&15
		}
	}
	return numbers
}

func TestEjectionsMatchTheReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds(200) {
		tree, slow := randomEjections(t, rnd)
		numbers, verdicts := targetNumbers(tree), make([]health.Verdict, 12)
		for i := range tree.targets {
			setVerdictAt(tree, i, health.Unknown, health.Up, noon.Add(-time.Hour))
			verdicts[numbers[i]] = health.Up
		}
		now, turns := noon, 0
		for range 60 {
			switch rnd.IntN(8) {
			case 0, 1:
				now = now.Add(time.Duration(rnd.IntN(10)) * time.Second)
				tree.Tick(now)
				for _, s := range slow {
					s.tick(now)
				}
			case 2:
				var overrides []Override
				for id, s := range slow {
					drained := map[int]bool{}
					if m := rnd.IntN(12); m < len(s.members) {
						drained[m] = true
						overrides = append(overrides, Override{Pool: fmt.Sprint("p", id), Member: fmt.Sprint("m", m), Kind: Drained})
					}
					s.drain(drained)
				}
				tree.SetOverrides(overrides)
			default:
				i := rnd.IntN(len(tree.targets))
				to := []health.Verdict{health.Up, health.Down}[rnd.IntN(2)]
				if verdicts[numbers[i]] == to {
					continue
				}
				setVerdictAt(tree, i, verdicts[numbers[i]], to, now)
				verdicts[numbers[i]] = to
				for _, s := range slow {
					s.turn(numbers[i], verdicts, now, &turns)
				}
			}
			want := ""
			for _, s := range slow {
				want += s.standing() + " "
			}
			if got := standing(tree); got != strings.TrimSpace(want) {
				t.Fatalf("seed %d: got %s, want %s", seed, got, want)
			}
		}
	}
}

// The bound of one pool does not affect another with the same addresses.
func TestPoolsWithSharedAddressesAreBoundedSeparately(t *testing.T) {
	const web = "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n"
	half := config.MaxEjection{Percent: 50, Window: time.Minute}
	alone := bounded(t, half, web)
	shared := bounded(t, half, web+"pool tight weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\npool free weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n")
	shared.ejections.pools[1].bound.Percent = 25
	shared.ejections.pools[2].bound.Percent = 100
	for i := range 3 {
		setVerdictAt(alone, i, health.Up, health.Down, noon)
		setVerdictAt(shared, i, health.Up, health.Down, noon)
	}
	expect(t, "alone", standing(alone), "--?+")
	expect(t, "beside others", standing(shared), "--?+ -??+ ---+")
}

// manyMembers returns pools of some members each.
func manyMembers(pools, members int) *config.Config {
	cfg := &config.Config{File: "world", Checks: []config.Check{{Name: "web", Type: config.HTTP}}}
	for id := range pools {
		p := config.Pool{
			Name: fmt.Sprint("p", id), Policy: config.Weighted, Check: "web", Answers: 1, MinUp: config.MinUp{N: 1}, FailOpen: config.Remaining,
			MaxEjection: config.MaxEjection{Percent: 10, Window: time.Minute}, Members: make([]config.Member, members),
		}
		for m := range members {
			p.Members[m] = config.Member{Name: fmt.Sprint("m", m), Weight: 1, Enabled: true, Check: "web", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte((id*members + m) >> 16), byte((id*members + m) >> 8), byte(id*members + m)})}}
		}
		cfg.Pools = append(cfg.Pools, p)
	}
	return cfg
}

// The cost of max_ejection does not grow with the size of a pool or the number of pools:
// it visits each change once, and a tick visits the deferred members.
func TestMaxEjectionIsLinear(t *testing.T) {
	for _, c := range []struct{ pools, members int }{{100, 100}, {1, 2000}} {
		tree := compile(t, manyMembers(c.pools, c.members))
		n := len(tree.targets)
		batches := func(to health.Verdict) {
			for from := 0; from < n; from += 4096 {
				var turns []health.Transition
				for i := from; i < min(n, from+4096); i++ {
					turns = append(turns, health.Transition{Index: i, To: to, At: noon, Reason: "status 500"})
				}
				tree.Apply(turns)
			}
		}
		batches(health.Up)
		tree.ejections.work = 0
		batches(health.Down)
		if most := 2 * n; tree.ejections.work > most {
			t.Errorf("%d pools of %d: %d steps for %d turns, want at most %d", c.pools, c.members, tree.ejections.work, n, most)
		}
		expect(t, "deferred", len(tree.Deferrals()), n*9/10)
		for i, want := range []int{n, 2 * n} { // the second of them ejects a tenth more
			tree.ejections.work = 0
			tree.Tick(noon.Add(time.Duration(i) * time.Minute))
			if tree.ejections.work > want {
				t.Errorf("%d pools of %d: %d steps for tick %d, want at most %d", c.pools, c.members, tree.ejections.work, i, want)
			}
		}
		expect(t, "deferred a window later", len(tree.Deferrals()), n*8/10)
	}
}
