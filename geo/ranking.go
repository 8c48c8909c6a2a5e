package geo

import (
	"cmp"
	"encoding/binary"
	"slices"

	"meridian/config"
)

// rankings holds orders of the regions of one table, nearest first, each once.
type rankings struct {
	regions int
	flat    []uint16 // regions entries for each ranking
}

// of returns the ranking with number id.
func (r *rankings) of(id uint32) []uint16 {
	at := int(id) * r.regions
	return r.flat[at : at+r.regions : at+r.regions]
}

// shared returns the length of the common head of two rankings.
func (r *rankings) shared(a, b uint32) int {
	if a == b {
		return r.regions
	}
	x, y := r.of(a), r.of(b)
	for i := range x {
		if x[i] != y[i] {
			return i
		}
	}
	return r.regions
}

// rank ranks the regions for each place and returns the number of each place's ranking. The place nowhere gets the
// configured order.
func rank(regions []config.Region, places []config.Location, nowhere int) (rankings, []uint32) {
	r := newRanker(regions)
	ids := make([]uint32, len(places))
	for i, at := range places {
		ids[i] = r.number(newPoint(at), i == nowhere)
	}
	return r.rankings, ids
}

// ranker makes rankings of one set of regions.
type ranker struct {
	rankings
	points  []point
	biases  []int
	numbers map[string]uint32 // of existing rankings, by their bytes
	order   []ranked          // scratch
	key     []byte            // scratch
}

// ranked is a region and its biased distance in kilometres.
type ranked struct {
	region uint16
	km     float64
	ms     float64 // for ranking by round trips, see quickestFirst
}

func newRanker(regions []config.Region) ranker {
	r := ranker{
		rankings: rankings{regions: len(regions)},
		numbers:  map[string]uint32{},
		order:    make([]ranked, len(regions)),
		key:      make([]byte, 2*len(regions)),
	}
	for _, region := range regions {
		r.points = append(r.points, newPoint(region.Location))
		r.biases = append(r.biases, region.Bias)
	}
	return r
}

// number returns the number of the ranking for a client at p, or of the configured order without a location.
func (r *ranker) number(p point, nowhere bool) uint32 {
	for i, q := range r.points {
		r.order[i] = ranked{region: uint16(i)}
		if !nowhere {
			r.order[i].km = Biased(p.distance(q), r.biases[i])
		}
	}
	slices.SortFunc(r.order, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.km, b.km), cmp.Compare(a.region, b.region))
	})
	return r.intern()
}

// intern returns the number of the ranking in order, new or existing.
func (r *ranker) intern() uint32 {
	for i, o := range r.order {
		binary.NativeEndian.PutUint16(r.key[2*i:], o.region)
	}
	if id, ok := r.numbers[string(r.key)]; ok {
		return id
	}
	id := uint32(len(r.numbers))
	r.numbers[string(r.key)] = id
	for _, o := range r.order {
		r.flat = append(r.flat, o.region)
	}
	return id
}
