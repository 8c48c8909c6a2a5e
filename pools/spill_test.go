package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

// fourRegions has clients of each, by their second octet, and near that of all in 11/8.
const fourRegions = `region near 39 -77
region mid 45 -70
region far 60 10
region end -33 151
net 11.0.0.0/8 near
net 12.0.0.0/8 mid
net 13.0.0.0/8 far
net 14.0.0.0/8 end
pool web proximity
  a region=near 192.0.2.1
  b region=mid 192.0.2.2
  c region=far 192.0.2.3
  d region=end 192.0.2.4
`

// fourLoaded is fourRegions of capacities of 200, 100, 100 and 1000, with loads;
// a negative one is not known.
func fourLoaded(t testing.TB, loads ...float64) *Tree {
	t.Helper()
	tree := compile(t, shedding(loaded(t, world(t, fourRegions), "near=200", "mid=100", "far=100", "end=1000")))
	report(tree, 1, loads...)
	return tree
}

// spills is those of a pool's regions, as status has them.
func spills(tree *Tree) []Spill {
	var all []Spill
	for p := range tree.Status() {
		all = append(all, p.Spills...)
	}
	return all
}

func TestALostRegionsClientsGoWhereThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		loads     []float64
		parts     string             // and what no region has room for below its low mark
		want      map[string]float64 // of the lost region's clients
	}{
		{
			"room for all at the nearest",
			[]float64{40, 10, 10, 10},
			"mid=1.00 far=1.00 end=1.00 rest=0.00",
			map[string]float64{"192.0.2.2": 1},
		},
		{
			"each takes what it has room for, the farthest what is left",
			[]float64{80, 30, 50, 0},
			"mid=0.50 far=0.25 end=1.00 rest=0.00",
			map[string]float64{"192.0.2.2": 0.5, "192.0.2.3": 0.25, "192.0.2.4": 0.25},
		},
		{
			"more than there is room for goes by the room up to high",
			[]float64{80, 30, 60, 690},
			"mid=0.50 far=0.12 end=0.12 rest=0.25",
			map[string]float64{"192.0.2.2": 0.5 + 0.25*20/240, "192.0.2.3": 0.125 + 0.25*20/240, "192.0.2.4": 0.125 + 0.25*200/240},
		},
		{
			"nobody has room: by capacity",
			[]float64{80, 200, 200, 2000},
			"mid=0.00 far=0.00 end=0.00 rest=1.00",
			map[string]float64{"192.0.2.2": 1. / 12, "192.0.2.3": 1. / 12, "192.0.2.4": 10. / 12},
		},
		{
			"who is not known keeps all",
			[]float64{80, 30, -1, 0},
			"mid=0.50 far=1.00 end=1.00 rest=0.00",
			map[string]float64{"192.0.2.2": 0.5, "192.0.2.3": 0.5},
		},
		{
			"what the lost one served is not known: as if nobody shed",
			[]float64{-1, 30, 50, 0},
			"",
			map[string]float64{"192.0.2.2": 1},
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := fourLoaded(t, c.loads...)
			turn(t, tree, health.Down, "web/a")
			expect(t, "parts", partsOf(spills(tree)), c.parts)
			const n = 20_000
			got := clients(t, tree, "web", n)
			for addr, want := range c.want {
				if off := math.Abs(float64(got[addr])/n - want); off > 0.02 {
					t.Errorf("%s has %.3f of the clients, want %.3f", addr, float64(got[addr])/n, want)
				}
			}
			expect(t, "addresses", len(got), len(c.want))
		})
	}
}

func partsOf(all []Spill) string {
	var words []string
	for _, sp := range all {
		for _, p := range sp.Parts {
			words = append(words, fmt.Sprintf("%s=%.2f", p.Region, p.Part))
		}
		words = append(words, fmt.Sprintf("rest=%.2f", sp.Rest))
	}
	return strings.Join(words, " ")
}

// Whatever takes a region away spreads its clients, and what brings it back ends it.
func TestARegionIsLostByWhateverTakesItsLastMember(t *testing.T) {
	text := strings.Replace(fourRegions, "region near 39 -77\n", "region near 39 -77 0 192.0.2.99\n", 1)
	text = strings.Replace(text, "a region=near 192.0.2.1\n", "a region=near pool=inner\n", 1) + "pool inner weighted\n  a 192.0.2.1\n  a2 192.0.2.11\n"
	override := func(o Override) func(*Tree) { return func(tree *Tree) { tree.SetOverrides([]Override{o}) } }
	undo := func(tree *Tree) { tree.SetOverrides(nil) }
	verdict := func(member string, to health.Verdict) func(*Tree) {
		return func(tree *Tree) { turn(t, tree, to, strings.Fields(member)...) }
	}
	region := func(to health.Verdict) func(*Tree) {
		return func(tree *Tree) {
			for i, target := range tree.Targets() {
				if target.Addr == netip.MustParseAddr("192.0.2.99") {
					tree.Apply([]health.Turn{{Index: i, Target: target, To: to}})
				}
			}
		}
	}
	for _, c := range []struct {
		cause      string
		lose, find func(*Tree)
	}{
		{"verdicts in a nested pool", verdict("inner", health.Down), verdict("inner/a2", health.Up)},
		{"the region's own check", region(health.Down), region(health.Up)},
		{"a drain", override(Override{Region: "near", Kind: Drained}), undo},
		{"a drain in a nested pool", override(Override{Pool: "inner", Kind: Drained}), undo},
		{"forced down", override(Override{Pool: "web", Member: "a", Kind: ForcedDown}), undo},
	} {
		t.Run(c.cause, func(t *testing.T) {
			tree := compile(t, shedding(loaded(t, world(t, text), "near=200", "mid=100", "far=100", "end=1000")))
			report(tree, 1, 80, 30, 50, 0)
			before := clients(t, tree, "web", 500)
			c.lose(tree)
			expect(t, "parts", partsOf(spills(tree)), "mid=0.50 far=0.25 end=1.00 rest=0.00")
			lost := tree.Spills()[0]
			expect(t, "spill", fmt.Sprint(lost.Pool, " ", lost.Region, " ", lost.Load), "web near 80")
			c.find(tree)
			expect(t, "spills afterwards", len(spills(tree)), 0)
			if c.cause != "verdicts in a nested pool" { // half of which is down still
				expect(t, "clients afterwards", clients(t, tree, "web", 500), before)
			}
		})
	}
}

// Part of a region that goes is no loss.
func TestARegionWithAMemberLeftIsNotLost(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, strings.Replace(fourRegions, "  b region=mid", "  a2 region=near 192.0.2.5\n  b region=mid", 1)), "near=200", "mid=100")))
	report(tree, 1, 80, 10)
	turn(t, tree, health.Down, "web/a")
	expect(t, "spills", len(spills(tree)), 0)
	turn(t, tree, health.Down, "web/a2")
	expect(t, "parts", partsOf(spills(tree)), "mid=0.75 far=1.00 end=1.00 rest=0.00")
}

// What a region served is remembered while its reports die away, and forgotten in time.
func TestADyingRegionsLoadIsRemembered(t *testing.T) {
	for _, c := range []struct {
		seconds int // for which it reports nothing to do
		served  float64
	}{{15, 80 * math.Exp2(-15./120)}, {120, 40}, {1200, 80. / 1024}} {
		tree := fourLoaded(t, 80, 30, 50, 0)
		for at := range c.seconds {
			report(tree, 2+at, 0, 30, 50, 0)
		}
		turn(t, tree, health.Down, "web/a")
		all := spills(tree)
		if len(all) != 1 || math.Abs(all[0].Load-c.served) > 1e-6 {
			t.Errorf("after %d s: %+v, want a load of %.3f", c.seconds, all, c.served)
		}
		report(tree, 3000, 70, 30, 50, 0)
		expect(t, "what a lost region reports", tree.shedding[0].served, all[0].Load)
	}
}

// What a region served is forgotten while nobody hears of it, too.
func TestALoadThatIsStaleForLongIsNotKnown(t *testing.T) {
	for seconds, want := range map[int]string{60: "56.57", 600: "2.50", 7200: ""} {
		tree := fourLoaded(t, 80, 30, 50, 0)
		report(tree, 1+seconds, -1, 30, 50, 0)
		turn(t, tree, health.Down, "web/a")
		got := ""
		for _, s := range tree.Spills() {
			got = fmt.Sprintf("%.2f", s.Load)
		}
		expect(t, fmt.Sprintf("load after %d s", seconds), got, want)
	}
}

// Where there is no other region there is nobody to spread clients over.
func TestAPoolOfOneRegionSpreadsNobody(t *testing.T) {
	tree := compile(t, shedding(loaded(t, world(t, "region near 0 0\npool web proximity\n  a region=near 192.0.2.1\n"), "near=200")))
	report(tree, 1, 80)
	turn(t, tree, health.Down, "web/a")
	expect(t, "spills", len(tree.Spills()), 0)
}

// A network has one answer, whatever the draw; those of other regions stay.
func TestASpillMovesOnlyTheLostRegionsClients(t *testing.T) {
	tree := fourLoaded(t, 80, 30, 50, 100)
	turn(t, tree, health.Down, "web/a")
	s := tree.Scratch()
	for i := range 2000 {
		natives := i%4 + 11
		q := ask(t, tree, "web", IPv4, fmt.Sprintf("%d.0.%d.%d", natives, i/8, i%256))
		q.Draw = rand.Uint64()
		tree.Decide(q, s)
		want := answerOf(s)
		if natives > 11 && want != fmt.Sprintf("192.0.2.%d", natives-10) {
			t.Fatalf("%s, whose region is there, got %s", q.Client, want)
		}
		q.Draw = rand.Uint64()
		q.Client = netip.MustParseAddr(fmt.Sprintf("%d.0.%d.%d", natives, i/8, 255-i%256))
		if tree.Decide(q, s); answerOf(s) != want {
			t.Fatalf("%s got %s, another of its network %s", q.Client, answerOf(s), want)
		}
		sum := 0.
		_, shares := tree.Odds(q, s)
		for _, share := range shares {
			if share.Addr.String() == want {
				sum += share.P
			}
		}
		expect(t, "odds of what is answered", sum, 1.)
	}
	if !tree.LooksAtAddress(0) {
		t.Error("who takes a client depends on its address")
	}
}

// Those whom the lost region had shed stay where they are.
func TestASpillLeavesWhomTheRegionHadShed(t *testing.T) {
	tree := fourLoaded(t, 160, 10, 10, 10)
	for at := range 100 {
		report(tree, at+2, 160, 10, 10, 10)
	}
	before := byNetwork(t, tree, 1000)
	turn(t, tree, health.Down, "web/a")
	if of := spills(tree)[0].Of; of < 0.4 || of > 0.6 {
		t.Errorf("the spill is of %.2f of the clients, want about half", of)
	}
	moved := moves(t, "near lost", before, byNetwork(t, tree, 1000), func(from, _ string) bool { return from == "192.0.2.1" })
	if moved < 0.4 || moved > 0.6 {
		t.Errorf("%.2f of the clients moved, want about half", moved)
	}
}

// byNetwork is the answers to networks of near.
func byNetwork(t testing.TB, tree *Tree, n int) []string {
	t.Helper()
	s := tree.Scratch()
	var got []string
	for i := range n {
		tree.Decide(ask(t, tree, "web", IPv4, fmt.Sprintf("11.%d.%d.7", i/256, i%256)), s)
		got = append(got, answerOf(s))
	}
	return got
}

// A region that comes back slowly takes its part; the others wait where they are.
func TestClientsGoHomeAsTheRegionStarts(t *testing.T) {
	tree := fourLoaded(t, 80, 30, 50, 0)
	home := byNetwork(t, tree, 2000)
	turn(t, tree, health.Down, "web/a")
	away := byNetwork(t, tree, 2000)
	for _, part := range []uint8{32, 128, 224} {
		start(t, tree, part, "web/a")
		got := byNetwork(t, tree, 2000)
		share := moves(t, "starting", away, got, func(_, to string) bool { return to == "192.0.2.1" })
		if want := float64(part) / whole; math.Abs(share-want) > 0.05 {
			t.Errorf("%.3f are home, want %.3f", share, want)
		}
		expect(t, "spills", len(spills(tree)), 1)
	}
	turn(t, tree, health.Down, "web/a")
	moves(t, "lost again", away, byNetwork(t, tree, 2000), func(string, string) bool { return false })
	start(t, tree, 0, "web/a")
	moves(t, "home", home, byNetwork(t, tree, 2000), func(string, string) bool { return false })
	expect(t, "spills", len(spills(tree)), 0)
}

func TestAReloadKeepsSpills(t *testing.T) {
	tree := fourLoaded(t, 80, 30, 50, 0)
	turn(t, tree, health.Down, "web/a")
	want := byNetwork(t, tree, 1000)
	reload := func(text string, to health.Verdict) *Tree {
		next := compile(t, shedding(loaded(t, world(t, text), "near=200", "mid=100", "far=100", "end=1000")))
		next.Inherit(tree)
		turn(t, next, to, "web/a")
		report(next, 9, 0, 60, 60, 600) // by which it would be another
		return next
	}
	next := reload("region before 0 0\npool before weighted\n  a 192.0.2.9\n"+fourRegions, health.Down)
	expect(t, "parts", partsOf(spills(next)), partsOf(spills(tree)))
	moves(t, "reload", want, byNetwork(t, next, 1000), func(string, string) bool { return false })
	expect(t, "found up by the reload", len(spills(reload(fourRegions, health.Up))), 0)
	without := reload(strings.Replace(fourRegions, "  c region=far 192.0.2.3\n", "  e region=new 192.0.2.5\n", 1)+"region new 45 -71\n", health.Down)
	expect(t, "a region that is new takes whom it gets", partsOf(spills(without)), "mid=0.50 end=1.00 new=1.00 rest=0.00")
}

func TestASpilledDecisionAllocatesNothing(t *testing.T) {
	tree := fourLoaded(t, 80, 30, 60, 750)
	turn(t, tree, health.Down, "web/a")
	s, q, i := tree.Scratch(), ask(t, tree, "web", IPv4, "11.0.0.1"), byte(0)
	if n := testing.AllocsPerRun(300, func() {
		i++
		q.Client = netip.AddrFrom4([4]byte{11, 0, i, 1})
		tree.Decide(q, s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplainTellsOfASpill(t *testing.T) {
	told := func(tree *Tree) map[string]string {
		turn(t, tree, health.Down, "web/a")
		told := map[string]string{}
		for i := range 256 {
			_, steps := tree.Explain(ask(t, tree, "web", IPv4, fmt.Sprintf("11.0.%d.1", i)), tree.Scratch())
			for _, s := range steps {
				if s.Chosen {
					told[s.Member] = steps[1].Reason + "\n" + steps[2].Reason + "\n" + steps[3].Reason
				}
			}
		}
		return told
	}
	some := told(fourLoaded(t, 80, 46, 56, 0))
	expect(t, "by the nearest", some["b"], `"near" is lost; "mid" takes 30 % of its clients, this network among them: 882 km
region "far" is farther: 6180 km
region "end" is farther: 15696 km`)
	expect(t, "by the next", some["c"], `region "mid" takes 30 % of the clients of "near", which is lost; this network is not among them
"near" is lost; "far" takes 17 % of its clients, this network among them: 6180 km
region "end" is farther: 15696 km`)
	rest := told(fourLoaded(t, 80, 70, 70, 700))
	expect(t, "nobody's turn", rest["d"], `region "mid" takes 0 % of the clients of "near", which is lost; this network is not among them
region "far" takes 0 % of the clients of "near", which is lost; this network is not among them
"near" is lost, and no region takes this network in its turn; "end" has 83 % of such by the room that was left: 15696 km`)
	shed := fourLoaded(t, 160, 10, 10, 10)
	for at := range 30 {
		report(shed, 2+at, 160, 10, 10, 10)
	}
	turn(t, shed, health.Down, "web/a")
	_, steps := shed.Explain(ask(t, shed, "web", IPv4, awayFrom(t, fourLoaded(t, 160, 10, 10, 10), 30)), shed.Scratch())
	expect(t, "shed before", steps[1].Reason, `"near" is lost, and had shed this network; the nearest region that takes it is "mid": 882 km`)
}

// awayFrom is a client that near sheds after some reports of 160.
func awayFrom(t *testing.T, tree *Tree, reports int) string {
	t.Helper()
	for at := range reports {
		report(tree, 2+at, 160, 10, 10, 10)
	}
	for i, to := range byNetwork(t, tree, 256) {
		if to != "192.0.2.1" {
			return fmt.Sprintf("11.0.%d.7", i)
		}
	}
	t.Fatal("nobody is shed")
	return ""
}

// Regions of all sizes and loads, clients of all places: nobody is above its low mark
// while all that is lost has room below them, nor above high while it has room there, but
// for the luck of 3,000 networks. Of a second region lost, what the first one's clients
// had there goes by the room up to high, too.
func TestASpillFillsNobodyAboveItsMark(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 12 {
		m := newSpillModel(t, rnd, 6)
		shared := m.lose(t, rnd, seed, 1)
		if shared > 0 {
			m.lose(t, rnd, seed, 2)
		}
	}
}

// spillModel is clients whose load comes to the region that answers them.
type spillModel struct {
	tree     *Tree
	clients  []netip.Addr
	each     []float64 // the load of a client, by its own region
	first    []int     // by client: its own region
	capacity []float64
	lost     map[int]bool
}

func newSpillModel(t *testing.T, rnd *rand.Rand, regions int) *spillModel {
	t.Helper()
	text, pool := "", "pool web proximity\n"
	m := &spillModel{lost: map[int]bool{}}
	var capacities []string
	for i := range regions {
		m.capacity = append(m.capacity, float64(100+rnd.IntN(900)))
		text += fmt.Sprintf("region r%d %d %d\n", i, rnd.IntN(120)-60, rnd.IntN(360)-180)
		pool += fmt.Sprintf("  m%d region=r%d 192.0.2.%d\n", i, i, i+1)
		capacities = append(capacities, fmt.Sprintf("r%d=%.0f", i, m.capacity[i]))
	}
	for i := range 200 {
		text += fmt.Sprintf("net 11.%d.0.0/16 country:%s\n", i, []string{"DE", "US", "JP", "BR", "AU", "ZA", "CA", "IN", "NG", "CN"}[rnd.IntN(10)])
	}
	m.tree = compile(t, shedding(loaded(t, world(t, text+pool), capacities...)))
	for i := range 3000 {
		m.clients = append(m.clients, netip.AddrFrom4([4]byte{11, byte(i % 200), byte(i / 200), 1}))
	}
	m.first = m.answers(t)
	of := make([]int, regions)
	for _, r := range m.first {
		of[r]++
	}
	for r, n := range of {
		m.each = append(m.each, m.capacity[r]*(0.2+0.4*rnd.Float64())/float64(max(1, n)))
	}
	m.report(t, 1)
	return m
}

// answers is which region each client is answered.
func (m *spillModel) answers(t *testing.T) []int {
	t.Helper()
	s := m.tree.Scratch()
	got := make([]int, len(m.clients))
	for i, c := range m.clients {
		m.tree.Decide(Question{Family: IPv4, Answers: 1, Client: c}, s)
		b := s.Addrs[0].As4()
		got[i] = int(b[3]) - 1
	}
	return got
}

func (m *spillModel) loads(t *testing.T) []float64 {
	t.Helper()
	loads := make([]float64, len(m.capacity))
	for i, r := range m.answers(t) {
		loads[r] += m.each[m.first[i]]
	}
	return loads
}

func (m *spillModel) report(t *testing.T, at int) { report(m.tree, at, m.loads(t)...) }

// lose takes a region away and holds the loads against the marks. It returns by how
// many others its clients were taken.
func (m *spillModel) lose(t *testing.T, rnd *rand.Rand, seed uint64, at int) int {
	t.Helper()
	region := rnd.IntN(len(m.capacity))
	before := m.loads(t)
	for m.lost[region] || before[region] == 0 {
		region = rnd.IntN(len(m.capacity))
	}
	m.lost[region] = true
	was := m.answers(t)
	turn(t, m.tree, health.Down, fmt.Sprintf("web/m%d", region))
	after, now := m.loads(t), m.answers(t)
	room := [2]float64{}
	for r := range before {
		if !m.lost[r] {
			room[0] += max(0, 0.7*m.capacity[r]-before[r])
			room[1] += max(0, 0.9*m.capacity[r]-before[r])
		}
	}
	takers := map[int]bool{}
	for i := range was {
		if was[i] != now[i] {
			takers[now[i]] = true
			if was[i] != region {
				t.Fatalf("seed %d: %s moved from r%d, which is there", seed, m.clients[i], was[i])
			}
		}
	}
	// An arc's clients are a sample: six standard deviations of as many as are on it, in load.
	luck := 6 * math.Sqrt(before[region]*m.biggest())
	for r := range after {
		mark := 2.
		switch {
		case at == 1 && room[0] >= 1.05*before[region]:
			mark = 0.7
		case at == 1 && room[1] >= 1.05*before[region], room[1] >= 1.5*before[region]:
			mark = 0.9
		}
		if limit := max(before[r], mark*m.capacity[r]); !m.lost[r] && after[r] > limit+luck {
			t.Errorf("seed %d: with r%d lost r%d has %.0f of %.0f, before %.0f; lost %.0f, room %.0f", seed, region, r, after[r], m.capacity[r], before[r], before[region], room)
		}
	}
	m.report(t, at+1)
	return len(takers)
}

// biggest is the load of the heaviest client.
func (m *spillModel) biggest() float64 {
	most := 0.
	for i := range m.first {
		most = max(most, m.each[m.first[i]])
	}
	return most
}
