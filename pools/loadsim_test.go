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
	"meridian/geo"
	"meridian/health"
)

// simulation runs the code of this package against a model of clients, servers and load
// reports, in simulated time. Reports go in and decisions come out:
//
//	clients   networks with a weight each; a part of them, 1 / TTL, asks again each second and
//	          keeps its answer for the TTL
//	servers   have the load that their clients bring, divided evenly by the members of a region
//	reports   of each member on its own, every interval, a tenth early or late, spread over the interval
type simulation struct {
	tree *Tree
	rnd  *rand.Rand

	ttl      int // seconds
	interval float64
	demand   float64 // of all clients

	places  [][]string // members, as POOL/MEMBER, by place: those of a place have equal parts of its load
	weights []float64  // by network
	asks    []Request
	odds    bool // the clients draw: their answers are shares, not networks

	now     int
	cohorts [][]float64 // by second of the TTL: the load that those clients bring to each place
	next    []float64   // by load target: when it reports next
	loads   []Load
	placeOf []int        // by load target
	lost    map[int]bool // places that are down
	silent  bool         // places that are down do not report
	answers []float64    // the distribution of the current state
	of      *state
	changed bool // by other than loads
}

// row is a combination of parameters for the controllers.
type row struct {
	where     *geo.Locator // made once: it takes longer than a simulation
	ttl       int          // seconds
	interval  int          // in seconds
	reporters int
	demand    float64 // in per cent
}

func (r row) simulate(t *testing.T, cfg *config.Config, places [][]string) *simulation {
	t.Helper()
	ttl, interval := r.ttl, r.interval
	cfg.Zones[0].Names[0].TTL = uint32(ttl)
	for i := range cfg.Loads {
		cfg.Loads[i].Interval = time.Duration(interval) * time.Second
	}
	tree, err := Compile(cfg, r.where)
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{tree: tree, rnd: rand.New(rand.NewPCG(1, 0)), places: places, lost: map[int]bool{}, ttl: ttl, interval: float64(interval), silent: r.reporters == 3}
	s.placeOf, s.next, s.loads = make([]int, len(tree.loadTargets)), make([]float64, len(tree.loadTargets)), make([]Load, len(tree.loadTargets))
	for place, members := range places {
		for _, name := range members {
			tree.eachMember(func(u memberRef, _ *member) {
				p := &tree.cfg.Pools[u.pool]
				if p.Name+"/"+p.Members[u.member].Name == name {
					s.placeOf[tree.memberLoads[tree.pools[u.pool].first+u.member].target] = place
				}
			})
		}
	}
	return s
}

// distribution returns the load of each place if all clients asked now.
func (s *simulation) distribution() []float64 {
	st := s.tree.state.Load()
	if s.answers != nil && !s.odds && slices.Equal(st.slow, s.of.slow) && !s.changed {
		return s.answers
	}
	s.of, s.changed, s.answers = st, false, make([]float64, len(s.places))
	sum := 0.
	for _, w := range s.weights {
		sum += w
	}
	scratch := s.tree.Scratch()
	for i, q := range s.asks {
		if s.odds {
			_, shares := s.tree.Probabilities(q, scratch)
			for _, share := range shares {
				s.answers[placeIn(share.Addr)] += share.P * s.demand * s.weights[i] / sum
			}
			continue
		}
		s.tree.Decide(q, scratch)
		s.answers[placeIn(scratch.Addrs[0])] += s.demand * s.weights[i] / sum
	}
	return s.answers
}

// placeIn returns the place of an address 192.0.PLACE.n.
func placeIn(a netip.Addr) int { return int(a.As4()[2]) }

// tick runs one second: some clients ask, and some members report.
func (s *simulation) tick() []float64 {
	loads := s.serve()
	if s.poll(loads) {
		s.tree.SetLoads(s.loads)
	}
	s.now++
	return loads
}

// serve answers the clients that ask in this second, and returns the loads that all clients bring.
func (s *simulation) serve() []float64 {
	now := s.distribution()
	if s.cohorts == nil {
		for range s.ttl {
			s.cohorts = append(s.cohorts, now)
		}
		for i := range s.next {
			s.next[i] = s.interval * float64(i) / float64(len(s.next))
		}
	}
	s.cohorts[s.now%s.ttl] = now
	loads := make([]float64, len(s.places))
	for _, c := range s.cohorts {
		for place := range loads {
			loads[place] += c[place] / float64(s.ttl)
		}
	}
	return loads
}

// poll takes the reports of the members that report now, and reports whether there is any.
func (s *simulation) poll(loads []float64) (reported bool) {
	for i := range s.loads {
		place := s.placeOf[i]
		if s.lost[place] && s.silent {
			if at := s.loads[i].At; s.loads[i].Fresh && float64(s.now)-float64(at.Unix()) > 3*s.interval {
				s.loads[i].Fresh, reported = false, true
			}
			continue
		}
		if float64(s.now) < s.next[i] && s.loads[i].Fresh {
			continue
		}
		for s.next[i] <= float64(s.now) {
			s.next[i] += s.interval * (0.9 + 0.2*s.rnd.Float64())
		}
		s.loads[i] = Load{Load: loads[place] / float64(len(s.places[place])), At: time.Unix(int64(s.now), 0), Fresh: true}
		reported = true
	}
	return reported
}

// settle runs for ten TTLs, then compares each load with its fixed point for three TTLs and rounds.
// It returns the largest relative deviation from a fixed point.
func (s *simulation) settle(t *testing.T, fixed []float64) (worst float64) {
	t.Helper()
	var from, to []float64
	end := s.now + 10*s.ttl
	for watched := end + 3*max(s.ttl, int(s.interval)); s.now < watched; {
		loads := s.tick()
		if s.now <= end {
			continue
		}
		for place, load := range loads {
			if from == nil {
				from, to = append(from, loads...), append(to, loads...)
			}
			from[place], to[place] = min(from[place], load), max(to[place], load)
		}
	}
	if fixed == nil {
		for place := range from {
			fixed = append(fixed, (from[place]+to[place])/2)
		}
	}
	for place := range fixed {
		if fixed[place] < s.demand/15 { // one network is too large a part of so few clients
			continue
		}
		worst = max(worst, 1-from[place]/fixed[place], to[place]/fixed[place]-1)
	}
	if worst > 0.1 {
		t.Errorf("loads between %.1f and %.1f, want %.1f", from, to, fixed)
	}
	return worst
}

// lose sets a place down, or up again.
func (s *simulation) lose(t *testing.T, place int, down bool) {
	t.Helper()
	verdict := health.Up
	if s.lost[place] = down; down {
		verdict = health.Down
	}
	setVerdicts(t, s.tree, verdict, s.places[place]...)
	s.changed = true
}

// loseAndReturn settles, loses the first place, settles, and restores it.
func (s *simulation) loseAndReturn(t *testing.T, at, lost, back []float64) (worst float64) {
	t.Helper()
	worst = s.settle(t, at)
	s.lose(t, 0, true)
	worst = max(worst, s.settle(t, lost))
	s.lose(t, 0, false)
	return max(worst, s.settle(t, back))
}

// networksOf returns n client networks of equal weight.
func (s *simulation) networksOf(t *testing.T, pool string, n int) {
	t.Helper()
	for i := range n {
		s.asks = append(s.asks, ask(t, s.tree, pool, IPv4, fmt.Sprintf("11.%d.%d.7", i/256, i%256)))
		s.weights = append(s.weights, 1)
	}
}

// simulated calls f for every combination of parameters.
func simulated(t *testing.T, regions string, reporters []int, f func(t *testing.T, r row) (worst float64)) {
	where := openSmall(t, world(t, regions))
	worst := 0.
	for _, ttl := range []int{5, 15, 60} {
		for _, interval := range []int{5, 15} {
			for _, n := range reporters {
				for _, demand := range []float64{100, 120, 160} {
					if raceEnabled && (ttl != 15 || interval != 5 || demand != 120) {
						continue // the simulation has one goroutine, so that all rows run the same code
					}
					t.Run(fmt.Sprintf("ttl=%d/interval=%d/reporters=%d/demand=%.0f", ttl, interval, n, demand), func(t *testing.T) {
						worst = max(worst, f(t, row{where, ttl, interval, n, demand}))
					})
				}
			}
		}
	}
	t.Logf("no load is off its fixed point by more than %.1f %%", 100*worst)
}

// shedAt returns the steady load of a region of capacity 100 that sheds between 70 and 90 %, and
// what it passes on.
func shedAt(demand, capacity float64) (load, rest float64) {
	kept := min(1, 0.9/(0.2+demand/capacity))
	return demand * kept, demand * (1 - kept)
}

func TestSheddingIsStable(t *testing.T) {
	simulated(t, nearMidFar, []int{1, 3, 8}, func(t *testing.T, r row) float64 {
		var b strings.Builder
		b.WriteString(nearMidFar + "pool web proximity\n")
		places := make([][]string, 3)
		for place, region := range []string{"near", "mid", "far"} {
			for i := range r.reporters {
				fmt.Fprintf(&b, "  %s%d region=%s load=%d 192.0.%d.%d\n", region, i, region, []int{2400, 2400, 24000}[place]/r.reporters, place, i)
				places[place] = append(places[place], fmt.Sprintf("web/%s%d", region, i))
			}
		}
		s := r.simulate(t, shedding(world(t, b.String()+"bind web\n")), places)
		s.demand = 24 * r.demand
		s.networksOf(t, "web", 1000)
		fixed := make([]float64, 3)
		fixed[0], fixed[1] = shedAt(s.demand, 2400)
		fixed[1], fixed[2] = shedAt(fixed[1], 2400)
		return s.loseAndReturn(t, fixed, nil, fixed) // a lost region's clients are spread by capacity, and not by shedding
	})
}

// TestBoundedHashIsStable has one member with clients that are twice as heavy as those of the others.
func TestBoundedHashIsStable(t *testing.T) {
	simulated(t, "", []int{3, 8}, func(t *testing.T, r row) float64 {
		text := "pool web hash bound=125\n"
		var places [][]string
		for place := range r.reporters {
			text += fmt.Sprintf("  m%d load=1000 192.0.%d.1\n", place, place)
			places = append(places, []string{fmt.Sprintf("web/m%d", place)})
		}
		s := r.simulate(t, world(t, text+"bind web\n"), places)
		s.demand = r.demand * float64(r.reporters)
		s.networksOf(t, "web", 1000)
		scratch := s.tree.Scratch()
		for i, q := range s.asks {
			if s.tree.Decide(q, scratch); placeIn(scratch.Addrs[0]) == 1 {
				s.weights[i] = 2
			}
		}
		unbound := s.distribution()
		s.answers = nil
		fixed := slices.Clone(unbound)
		fixed[1] = min(unbound[1], 1.25*r.demand)
		for place := range fixed {
			if place != 1 {
				fixed[place] += (unbound[1] - fixed[1]) / float64(r.reporters-1)
			}
		}
		return s.loseAndReturn(t, fixed, nil, fixed)
	})
}

func TestLeastLoadIsStable(t *testing.T) {
	simulated(t, "", []int{2, 3, 8}, func(t *testing.T, r row) float64 {
		text, sum := "pool web least-load\n", 0.
		var places [][]string
		for place := range r.reporters {
			capacity := 100 * (1 + place%2*(r.interval/5-1)) // equal ones, and unequal ones
			sum += float64(capacity)
			text += fmt.Sprintf("  m%d load=%d 192.0.%d.1\n", place, capacity, place)
			places = append(places, []string{fmt.Sprintf("web/m%d", place)})
		}
		s := r.simulate(t, world(t, text+"bind web\n"), places)
		s.demand, s.odds = r.demand*sum/200, true
		s.networksOf(t, "web", 1)
		fixed := func(lost int) []float64 {
			loads := make([]float64, r.reporters)
			for place := range loads {
				loads[place] = s.demand * s.tree.memberLoads[uint32(place)].capacity / sum
				if lost >= 0 {
					loads[place] *= sum / (sum - s.tree.memberLoads[uint32(lost)].capacity)
				}
			}
			if lost >= 0 {
				loads[lost] = 0
			}
			return loads
		}
		return s.loseAndReturn(t, fixed(-1), fixed(0), fixed(-1))
	})
}
