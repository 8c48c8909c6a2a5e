package plan

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// totals adds up a part of the traffic. The zero value is ready to use.
type totals struct {
	weight, moved float64
	affected      float64
	km            Change // weighted
	placed        Change // weight of the traffic with a distance: that to a region
	flows         map[route]float64
	regions       []Change // by region number, weighted
}

// route is a pair of region numbers, from and to.
type route struct{ from, to int }

// add adds clients with a weight, a delta and distances to the regions on either side.
func (s *totals) add(weight float64, d *delta, km *distances) {
	s.weight += weight
	s.moved += weight * d.moved
	s.affected += weight * d.affected()
	if s.regions == nil {
		s.regions = make([]Change, len(d.before))
	}
	for r, share := range d.before {
		s.regions[r].Before += weight * share
		if at := km.before[r]; !math.IsNaN(at) {
			s.km.Before += weight * share * at
			s.placed.Before += weight * share
		}
	}
	for r, share := range d.after {
		s.regions[r].After += weight * share
		if at := km.after[r]; !math.IsNaN(at) {
			s.km.After += weight * share * at
			s.placed.After += weight * share
		}
	}
	if len(d.flows) > 0 && s.flows == nil {
		s.flows = make(map[route]float64)
	}
	for way, share := range d.flows {
		s.flows[way] += weight * share
	}
}

// distance returns the mean distance of the traffic to regions.
func (s *totals) distance() Distances {
	return Distances{mean(s.km.Before, s.placed.Before), mean(s.km.After, s.placed.After)}
}

// ratio returns a/b, or 0 if b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// part returns s as a part of all traffic.
func (s *totals) part(name string, all float64, regions []string) Part {
	p := Part{Name: name, Share: ratio(s.weight, all), Moved: ratio(s.moved, all), Km: s.distance()}
	if ways := s.flowList(); len(ways) > 0 {
		p.From, p.To = regions[ways[0].from], regions[ways[0].to]
	}
	p.Before = s.largest(regions, func(c Change) float64 { return c.Before })
	p.After = s.largest(regions, func(c Change) float64 { return c.After })
	return p
}

// largest returns the region with the largest share on one side; empty without traffic.
func (s *totals) largest(regions []string, side func(Change) float64) (name string) {
	most := 0.0
	for r, c := range s.regions {
		if share := side(c); share > most {
			most, name = share, regions[r]
		}
	}
	return name
}

// flowList returns the routes of moved traffic, the largest flow first.
func (s *totals) flowList() []route {
	return slices.SortedFunc(maps.Keys(s.flows), func(a, b route) int {
		return cmp.Or(compareParts(s.flows[b]/s.weight, s.flows[a]/s.weight), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
}

// parts returns the sums by name, the most moved first.
func parts(sums map[string]*totals, all float64, regions []string) []Part {
	list := make([]Part, 0, len(sums))
	for name, s := range sums {
		list = append(list, s.part(name, all, regions))
	}
	slices.SortFunc(list, func(a, b Part) int {
		return cmp.Or(compareParts(b.Moved, a.Moved), compareParts(b.Share, a.Share), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// worsened returns the parts with a larger distance, the largest increase first.
func worsened(list []Part) []Part {
	list = slices.DeleteFunc(slices.Clone(list), func(p Part) bool { return p.Name == unknown || !(p.Km.After-p.Km.Before >= 1) })
	slices.SortStableFunc(list, func(a, b Part) int {
		return cmp.Compare(b.Km.After-b.Km.Before, a.Km.After-a.Km.Before)
	})
	return list
}

// compareParts compares shares. Shares that differ only by rounding are equal, so that
// names decide and the order is reproducible.
func compareParts(a, b float64) int {
	if math.Abs(a-b) < epsilon {
		return 0
	}
	return cmp.Compare(a, b)
}
