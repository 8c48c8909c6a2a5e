package plan

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"meridian/config"
	"meridian/geo"
	"meridian/pools"
)

// compute adds up the effect of the change on every class, for every pair of pools.
func (f *forecaster) compute() {
	f.shares = make([]Change, len(f.regions))
	for _, p := range f.pairs {
		if f.byAddress(p) {
			for _, c := range f.classes.samples {
				if names := f.namesFor(p, c.addr); names > 0 {
					f.count(c.weighed, p, names, f.delta(p, c.addr))
				}
			}
			continue
		}
		deltas, names := make([]*delta, len(f.classes.kindOf)), make([]int, len(f.classes.kindOf))
		for kind, addr := range f.classes.kindOf {
			if names[kind] = f.namesFor(p, addr); names[kind] > 0 {
				deltas[kind] = f.delta(p, addr)
			}
		}
		for _, c := range f.classes.all {
			if names[c.kind] > 0 {
				f.count(c, p, names[c.kind], deltas[c.kind])
			}
		}
	}
	f.names.Unasked = f.unasked()
	f.pairs = slices.DeleteFunc(f.pairs, func(p *pair) bool { return p.sum.weight == 0 }) // of views or families without clients
}

// byAddress reports whether the client address itself decides on either side.
func (f *forecaster) byAddress(p *pair) bool {
	return f.sides[0].Pools.DependsOnAddress(p.pools[0]) || f.sides[1].Pools.DependsOnAddress(p.pools[1])
}

// count adds the effect on a class that queries so many of a pair's names to all sums that include it.
func (f *forecaster) count(c weighed, p *pair, names int, d *delta) {
	weight, km := c.weight*float64(names), f.distances(c.at)
	sums := []*totals{&f.all, &p.sum, sumFor(f.countries, cmp.Or(c.at.Country, unknown))}
	sums = append(sums, sumFor(f.continents, cmp.Or(c.at.Continent, unknown)))
	if c.asn != 0 {
		sums = append(sums, sumFor(f.systems, fmt.Sprintf("AS%d", c.asn)))
	}
	for _, s := range sums {
		s.add(weight, d, km)
	}
	p.impair(weight, d)
	for r := range f.regions {
		f.shares[r].Before += weight * d.before[r]
		f.shares[r].After += weight * d.after[r]
	}
	addTo(f.members, weight, d.members)
	addTo(f.nested, weight, d.nested)
}

// addTo adds the weighted shares of members to their totals.
func addTo(all map[string]Change, weight float64, shares map[string]Change) {
	for name, share := range shares {
		m := all[name]
		all[name] = Change{m.Before + weight*share.Before, m.After + weight*share.After}
	}
}

// sumFor returns the sum for a name, or creates one.
func sumFor(sums map[string]*totals, name string) *totals {
	s := sums[name]
	if s == nil {
		s = new(totals)
		sums[name] = s
	}
	return s
}

// delta computes the effect on a client that queries names of a pair.
func (f *forecaster) delta(p *pair, addr netip.Addr) *delta {
	var odds [2][]pools.Probability
	d := newDelta(len(f.regions))
	for i, s := range f.sides {
		var found pools.Decision
		var nested []pools.Nested
		found, odds[i], nested = s.Pools.NestedProbabilities(pools.Request{Pool: p.pools[i], Family: familyOf(addr), Client: addr}, s.scratch)
		d.modes[i] = found.Mode
		d.pass(i, nested)
	}
	d.add(odds[0], odds[1], 1, f.region)
	return d
}

// familyOf returns the family that a client queries.
func familyOf(client netip.Addr) pools.Family {
	if client.Is4() {
		return pools.IPv4
	}
	return pools.IPv6
}

// region returns the number of the region that receives a share.
func (f *forecaster) region(s pools.Probability) int {
	switch {
	case s.Member == "":
		return noneNumber
	case s.Region == "":
		return elsewhereNumber
	}
	return f.numbers[s.Region]
}

// distances holds the distances in kilometres from a place to the regions of both sides, by
// region number; NaN if a side has no such region.
type distances struct{ before, after []float64 }

func (f *forecaster) distances(at *geo.Location) *distances {
	km := f.far[at]
	if km == nil {
		client := config.Location{Lat: at.Lat, Lon: at.Lon}
		km = &distances{f.from(client, f.sides[0]), f.from(client, f.sides[1])}
		f.far[at] = km
	}
	return km
}

func (f *forecaster) from(client config.Location, s *side) []float64 {
	km := make([]float64, len(f.regions))
	for i, name := range f.regions {
		km[i] = math.NaN()
		if place, ok := s.places[name]; ok {
			km[i] = geo.Distance(client, place)
		}
	}
	return km
}

// forecast builds the forecast from the sums.
func (f *forecaster) forecast() *Forecast {
	all := f.all.weight
	found := f.names
	found.Clients = f.classes.networks
	found.Moved, found.Affected, found.Km = ratio(f.all.moved, all), ratio(f.all.affected, all), f.all.distance()
	f.impairments(&found)
	for i, name := range f.regions {
		if share := f.shares[i].over(all); i >= firstRegion || share != (Change{}) {
			found.Regions = append(found.Regions, Target{name, share})
		}
	}
	for _, way := range f.all.flowList() {
		found.Flows = append(found.Flows, Flow{f.regions[way.from], f.regions[way.to], f.all.flows[way] / all})
	}
	found.served, found.nested = served(f.members, all), served(f.nested, all)
	found.Members = changed(found.served)
	byPool := make(map[string]*totals, len(f.pairs))
	for _, p := range f.pairs {
		byPool[f.title(p)] = &p.sum // titles are unique: one pair for each two pools
	}
	found.Pools = parts(byPool, all, f.regions)
	found.Countries = parts(f.countries, all, f.regions)
	found.Continents = parts(f.continents, all, f.regions)
	found.Systems = parts(f.systems, all, f.regions)
	found.Worst = worsened(found.Countries)
	return &found
}

// over returns c as a share of all.
func (c Change) over(all float64) Change { return Change{ratio(c.Before, all), ratio(c.After, all)} }

// served returns members and their shares, by name.
func served(members map[string]Change, all float64) []Target {
	list := make([]Target, 0, len(members))
	for name, share := range members {
		list = append(list, Target{name, share.over(all)})
	}
	slices.SortFunc(list, func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Served returns every endpoint and its share, by name, changed or not.
func (f *Forecast) Served() []Target { return f.served }

// changed returns the targets with a changed share, the largest change first.
func changed(list []Target) []Target {
	list = slices.DeleteFunc(slices.Clone(list), func(t Target) bool { return t.Share.turnover() < epsilon })
	slices.SortStableFunc(list, func(a, b Target) int { return compareParts(b.Share.turnover(), a.Share.turnover()) })
	return list
}

func (c Change) turnover() float64 { return math.Abs(c.After - c.Before) }

// title returns the names of a pair's pools.
func (f *forecaster) title(p *pair) string {
	before := f.sides[0].Config.Pools[p.pools[0]].Name
	after := f.sides[1].Config.Pools[p.pools[1]].Name
	if before == after {
		return before
	}
	return before + " -> " + after
}
