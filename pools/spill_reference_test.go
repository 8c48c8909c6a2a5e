package pools

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// spillReference says who takes the clients of lost regions, slowly: by names, with
// maps and floating point. Of the tree it reads what regions keep by their reports, which is
// another matter, and the parts of slow starts. It is of one pool, of one member a region.
type spillReference struct {
	tree   *Tree
	where  *geo.Locator
	load   map[string]float64 // by region; those of unknown load are not in it
	served map[string]float64
	at     map[string]int
	newest int // when somebody reported last; 0: all reports are stale
	up     map[string]bool
	slow   map[string]int
	spills map[string]*referenceSpill
}

type referenceSpill struct {
	served  float64
	of      int
	arcs    map[string][2]int // where it begins, and how long it is
	weights map[string]float64
	loads   map[string]float64
}

func (r *spillReference) regions() []config.Region { return r.tree.cfg.Regions }

func (r *spillReference) capacity(region string) float64 {
	for _, of := range r.regions() {
		if of.Name == region && of.Load != nil {
			return float64(of.Load.Capacity)
		}
	}
	return 0
}

// member is the number of a region's only member.
func (r *spillReference) member(region string) int {
	return slices.IndexFunc(r.tree.cfg.Pools[0].Members, func(m config.Member) bool { return m.Region == region })
}

// part is what a region takes of the clients that come to it, in 256ths.
func (r *spillReference) part(region string) int {
	part := 256
	if slow, ok := r.slow[region]; ok {
		part = slow
	}
	return min(part, int(partOf(r.tree.state.Load().shedding, uint32(r.member(region)))))
}

// owed is what the spills may still bring to a region: its arc, and its share of what
// is on no arc of a region that is up, less what it has got since the first of them.
func (r *spillReference) owed(to string) float64 {
	owed, since := 0., math.Inf(1)
	for lost, sp := range r.spills {
		free, weights := 0, 0.
		for point := range 256 {
			on := false
			for region, arc := range sp.arcs {
				on = on || r.up[region] && (point-arc[0]+256)%256 < arc[1]
			}
			if !on {
				free++
			}
		}
		for region, weight := range sp.weights {
			if r.up[region] && region != lost {
				weights += weight
			}
		}
		if to != lost {
			owed += sp.served * (float64(sp.arcs[to][1])/256 + float64(free)/256*sp.weights[to]/weights)
			since = min(since, sp.loads[to])
		}
	}
	return max(0, owed-max(0, r.load[to]-since))
}

// lose makes the spill of a region that goes down.
func (r *spillReference) lose(region string, part int) {
	served := r.served[region] * math.Exp2(-float64(max(0, r.newest-r.at[region]))/120)
	if r.up[region] = false; served == 0 || r.spills[region] != nil {
		return
	}
	sp := &referenceSpill{served: served, of: part, arcs: map[string][2]int{}, weights: map[string]float64{}, loads: map[string]float64{}}
	begin, rooms, capacities, known := 0, 0., 0., 0
	left := map[string]float64{}
	for _, other := range r.regions() {
		load, ok := r.load[other.Name]
		switch {
		case !r.up[other.Name]:
			sp.weights[other.Name] = 0
			continue
		case !ok:
			sp.arcs[other.Name] = [2]int{begin, 256}
			continue
		}
		sp.loads[other.Name] = load
		load += r.owed(other.Name)
		low, high := max(0, 0.7*r.capacity(other.Name)-load), max(0, 0.9*r.capacity(other.Name)-load)
		long := int(256 * min(1, low/sp.served))
		sp.arcs[other.Name] = [2]int{begin, long}
		left[other.Name] = max(0, high-sp.served*float64(long)/256)
		begin, rooms, capacities, known = (begin+long)%256, rooms+left[other.Name], capacities+r.capacity(other.Name), known+1
	}
	for _, other := range r.regions() {
		if !r.up[other.Name] {
			continue
		}
		_, ok := r.load[other.Name]
		switch {
		case known == 0:
			sp.weights[other.Name] = 1
		case rooms == 0 && ok:
			sp.weights[other.Name] = r.capacity(other.Name)
		case rooms == 0:
			sp.weights[other.Name] = capacities / float64(known)
		case ok:
			sp.weights[other.Name] = left[other.Name]
		default:
			sp.weights[other.Name] = rooms / float64(known)
		}
	}
	most := 1e-9
	for _, w := range sp.weights {
		most = max(most, w)
	}
	for name := range sp.weights { // a millionth at least: somebody must do
		sp.weights[name] = max(1, math.Floor(1<<20*sp.weights[name]/most))
	}
	r.spills[region] = sp
}

// find brings a region back: with all of its clients, or a part of them.
func (r *spillReference) find(region string, part int) {
	r.up[region] = true
	if delete(r.slow, region); part > 0 {
		r.slow[region] = part
		return
	}
	delete(r.spills, region)
}

// takes is which region takes a client; empty: none is up.
func (r *spillReference) takes(client netip.Addr) string {
	at := r.where.Locate(client)
	var ranking []string
	for _, region := range r.regions() {
		ranking = append(ranking, region.Name)
	}
	km := func(name string) float64 {
		for _, region := range r.regions() {
			if region.Name == name {
				return geo.Distance(config.Location{Lat: at.Lat, Lon: at.Lon}, region.Location)
			}
		}
		panic(name)
	}
	slices.SortStableFunc(ranking, func(a, b string) int { return cmp.Compare(km(a), km(b)) })
	admits := func(region string, part int) bool {
		return part == 256 || (&Scratch{client: client}).admits(uint32(r.member(region)), uint64(part))
	}
	home := ranking[0]
	sp := r.spills[home]
	network, _ := networkOf(client)
	score := func(region, of string) uint64 {
		return mix(network ^ keyOf("web\x00"+region, of))
	}
	first, best, lowest := "", "", math.Inf(1)
	for _, region := range ranking {
		if !r.up[region] {
			continue
		}
		if first == "" {
			first = region
		}
		on := true
		if sp != nil && region != home && admits(home, sp.of) {
			point := int(float64(score(home, home)) / math.Exp2(64) * 256)
			arc := sp.arcs[region]
			on = (point-arc[0]+256)%256 < arc[1]
		}
		if on && admits(region, r.part(region)) {
			return region
		}
		if sp == nil || region == home {
			continue
		}
		u := float64(score(home, region)) / math.Exp2(64)
		if s := -math.Log(u) / (sp.weights[region] * float64(max(1, r.part(region)))); s < lowest {
			best, lowest = region, s
		}
	}
	return cmp.Or(best, first)
}

// Whatever is lost, found and reported, each client gets whom the reference says, and
// whoever is in the scope of an answer gets the same.
func TestSpillsAreThoseOfTheReference(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	spilled, compared := 0, 0
	for range 25 {
		r := randomSpillWorld(t, rnd)
		s := r.tree.Scratch()
		for at := range 30 {
			r.happen(t, rnd, at+1)
			spilled += len(r.spills)
			expect(t, "regions with a spill", len(spills(r.tree)), len(r.spills))
			for range 40 {
				client := netip.AddrFrom4([4]byte{11, byte(rnd.IntN(40)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
				q := Question{Family: Family(rnd.IntN(2)), Answers: 1, Client: client, Draw: rnd.Uint64()}
				d := r.tree.Decide(q, s)
				compared++
				if want := r.takes(client); regionAnswered(r.tree, s) != want && (want != "" || d.Mode == Normal) {
					t.Fatalf("seed %d: %s went to %q, want %q; up %v, starting %v, spills %v", seed, client, regionAnswered(r.tree, s), want, r.up, r.slow, r.spills)
				}
				q.Client = randomWithin(rnd, client, int(d.Scope))
				want := answerOf(s)
				if r.tree.Decide(q, s); answerOf(s) != want {
					t.Fatalf("seed %d: %s got %s, and %s, in its scope of %d, %s", seed, client, want, q.Client, d.Scope, answerOf(s))
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d: up %v, spills %v", seed, r.up, r.spills)
			}
		}
	}
	if spilled < 200 {
		t.Errorf("seed %d: only %d spills in %d comparisons", seed, spilled, compared)
	}
}

// regionAnswered is where the only address of an answer stands.
func regionAnswered(tree *Tree, s *Scratch) string {
	for _, m := range tree.cfg.Pools[0].Members {
		if len(s.Addrs) > 0 && slices.Contains(m.Addresses, s.Addrs[0]) {
			return m.Region
		}
	}
	return ""
}

func randomSpillWorld(t *testing.T, rnd *rand.Rand) *spillReference {
	t.Helper()
	text, pool := "", "pool web "+[]string{"proximity", "latency"}[rnd.IntN(2)]+" fail_open=false\n"
	var capacities []string
	for i := range 2 + rnd.IntN(5) {
		text += fmt.Sprintf("region r%d %d %d\n", i, rnd.IntN(120)-60, rnd.IntN(360)-180)
		pool += fmt.Sprintf("  m%d region=r%d 192.0.2.%d 2001:db8::%d\n", i, i, i+1, i+1)
		capacities = append(capacities, fmt.Sprintf("r%d=%d", i, 50+rnd.IntN(500)))
	}
	for i := range 40 {
		text += fmt.Sprintf("net 11.%d.0.0/16 country:%s\n", i, []string{"DE", "US", "JP", "BR", "AU", "ZA", "CA", "IN"}[rnd.IntN(8)])
	}
	cfg := shedding(loaded(t, world(t, text+pool), capacities...))
	tree := compile(t, cfg)
	r := &spillReference{
		tree: tree, where: tree.where, load: map[string]float64{}, served: map[string]float64{}, at: map[string]int{},
		up: map[string]bool{}, slow: map[string]int{}, spills: map[string]*referenceSpill{},
	}
	for _, region := range cfg.Regions {
		r.up[region.Name] = true
	}
	return r
}

// happen is a report, a loss or a return.
func (r *spillReference) happen(t *testing.T, rnd *rand.Rand, at int) {
	t.Helper()
	regions := r.regions()
	region := regions[rnd.IntN(len(regions))].Name
	member := "web/m" + region[1:]
	switch what := rnd.IntN(5); {
	case what < 2:
		loads := make([]float64, len(regions))
		for i := range loads {
			if loads[i] = r.capacity(regions[i].Name) * rnd.Float64() * 1.1; rnd.IntN(10) == 0 {
				loads[i] = -1
			}
		}
		r.reported(loads, at)
		report(r.tree, at, loads...)
	case what < 4 && r.up[region]:
		part := r.part(region)
		turn(t, r.tree, health.Down, member)
		delete(r.slow, region)
		r.lose(region, part)
	default:
		part := uint8(rnd.IntN(256) * rnd.IntN(2))
		start(t, r.tree, part, member)
		r.find(region, int(part))
	}
}

// reported takes loads into account.
func (r *spillReference) reported(loads []float64, at int) {
	r.newest = 0
	for i, region := range r.regions() {
		name := region.Name
		if delete(r.load, name); loads[i] < 0 {
			continue
		}
		r.newest = at
		if r.load[name] = loads[i]; r.up[name] {
			r.served[name] = max(loads[i], r.served[name]*math.Exp2(-float64(at-r.at[name])/120))
			r.at[name] = at
		}
	}
}
