package geo

import (
	"fmt"
	"slices"

	"meridian/config"
)

// LatencyTable compiles the prefix table that ranks regions by the round trips of t, or returns a compiled one.
// Regions without a round trip rank by distance: see Estimates. It accepts at most 65535 regions. A Latency keeps its
// tables and belongs to one Locator. With a nil t it equals Table. It is safe for concurrent use.
func (l *Locator) LatencyTable(t *Latency, regions []config.Region) (*Table, error) {
	if t == nil || len(t.rows) == 0 {
		return l.Table(regions)
	}
	if len(regions) > maxRegions {
		return nil, fmt.Errorf("%d regions in one pool, at most %d can be ranked", len(regions), maxRegions)
	}
	return t.tables.table(latencySignature(regions), func() (*Table, error) {
		var made *Table
		err := recoverFault(func() error {
			s, err := l.gathered()
			if err == nil {
				made, err = l.compileLatency(s, t, regions)
			}
			return err
		})
		if err != nil {
			return nil, l.databaseError(err)
		}
		return made, nil
	})
}

// latencySignature returns the signature with the region names, which round trips refer to.
func latencySignature(regions []config.Region) string {
	key := signature(regions)
	for _, r := range regions {
		key += fmt.Sprintf("%q", r.Name)
	}
	return key
}

// latencyCompiler merges the differences between clients into one trie of rankings: location, autonomous system, and
// network of the table.
type latencyCompiler struct {
	ranker
	table     *Latency
	numberOf  []int // by region of the table: its index in the ranked regions; -1: not ranked
	wanted    int   // samples
	tolerance float64
	told      []bool // scratch: regions that have a row already
	sources   *sources
	nowhere   bool     // the default place has no location: all regions are equally far
	places    []uint32 // all places of the sources, each as its own number

	chains  []rowSet          // the rows of a client; 0: at most those of its country
	known   map[rowSet]ref    // row sets seen before
	met     map[[2]ref]uint32 // rankings by row set and place
	alone   []uint32          // rankings by place for row set 0; 0: not computed yet, else the ranking plus one
	systems map[record]ref    // by record of the ASN file: a row set
}

// rowSet holds the rows of a network or an autonomous system, and links to those of the next wider one.
type rowSet struct {
	rows   uint32 // index of the first in table.rows
	around ref    // the next wider row set
}

// mostMet bounds the memory of latencyCompiler.met.
const mostMet = 1 << 20

func (l *Locator) compileLatency(s *sources, t *Latency, regions []config.Region) (*Table, error) {
	q := &latencyCompiler{
		ranker: newRanker(regions), table: t, sources: s, nowhere: l.fallback.From == "", told: make([]bool, len(regions)),
		wanted: l.cfg.Latency.Samples, tolerance: milliseconds(l.cfg.Latency.Tolerance),
		chains: make([]rowSet, 1), known: map[rowSet]ref{}, met: map[[2]ref]uint32{}, alone: make([]uint32, len(s.all)),
	}
	for i := range s.all {
		q.places = append(q.places, uint32(i))
	}
	for _, name := range t.regions {
		q.numberOf = append(q.numberOf, slices.IndexFunc(regions, func(r config.Region) bool { return r.Name == name }))
	}
	if err := q.announce(l.asn); err != nil {
		return nil, err
	}
	v4, root4, err := q.family(l.asn, true)
	if err != nil {
		return nil, err
	}
	v6, root6, err := q.family(l.asn, false)
	if err != nil {
		return nil, err
	}
	return newTable(l.parallelism, q.rankings, v4, root4, v6, root6), nil
}

// announce makes the row sets of the autonomous systems that have rows.
func (q *latencyCompiler) announce(file *asnFile) error {
	if file == nil {
		return nil
	}
	numbers, err := file.numbers()
	q.systems = map[record]ref{}
	for at, asn := range numbers {
		if begin, ok := q.table.begin(measuredSystem(asn)); ok {
			q.systems[at] = q.chain(rowSet{uint32(begin), 0})
		}
	}
	return err
}

// chain returns the number of a row set, new or existing.
func (q *latencyCompiler) chain(c rowSet) ref {
	n, ok := q.known[c]
	if !ok {
		n = ref(len(q.chains))
		q.chains = append(q.chains, c)
		q.known[c] = n
	}
	return n
}

// family compiles the trie of one family. Its leaves are rankings.
func (q *latencyCompiler) family(file *asnFile, v4 bool) (*trie, ref, error) {
	places := compiler{sources: q.sources, ids: q.places, v4: v4}
	placed, err := places.compile()
	if err != nil {
		return nil, 0, err
	}
	systems := systemWalk{numbers: q.systems, v4: v4}
	announced := ref(0)
	if len(q.systems) > 0 {
		if announced, err = systems.compile(file.database); err != nil {
			return nil, 0, err
		}
	}
	kind := measuredV6
	if v4 {
		kind = measuredV4
	}
	inner := rowWalk{latencyCompiler: q, systems: &systems.trie}
	root := inner.walk(q.table.networks(kind), announced, 0)
	whole := merger{a: &inner.trie, b: &places.trie, combine: func(rows, place ref) ref {
		return ref(q.ranking(rows, place&^privateFlag)) | place&privateFlag
	}}
	root = whole.merge(root, placed)
	return &whole.trie, root, nil
}

// rowWalk merges the networks of a table with the autonomous systems. The leaves of its trie are row sets.
type rowWalk struct {
	trie
	*latencyCompiler
	systems *trie
	within  []uint32 // index of the first row of each enclosing network, the widest first
}

// walk builds the trie of a prefix of depth bits, from the sorted rows of the networks in it and the autonomous
// systems there.
func (w *rowWalk) walk(rows []roundTrip, system ref, depth int) ref {
	around := len(w.within)
	if len(rows) > 0 && int(rows[0].of.bits) == depth {
		begin, _ := w.table.begin(rows[0].of)
		w.within = append(w.within, uint32(begin))
		rows = rows[len(w.table.from(begin)):]
		defer func() { w.within = w.within[:around] }()
	}
	if len(rows) == 0 && system.isLeaf() {
		c := system
		for _, begin := range w.within {
			c = w.chain(rowSet{begin, c})
		}
		return c
	}
	half, _ := slices.BinarySearchFunc(rows, 1, func(r roundTrip, bit int) int { return r.of.key.bit(depth) - bit })
	low, high := w.systems.split(system)
	a := w.walk(rows[:half], low, depth+1)
	b := w.walk(rows[half:], high, depth+1)
	return w.join(a, b)
}

// ranking returns the ranking of a client with the given row set and place.
func (q *latencyCompiler) ranking(rows, place ref) uint32 {
	if rows == 0 {
		if q.alone[place] == 0 {
			q.alone[place] = 1 + q.rank(rows, place)
		}
		return q.alone[place] - 1
	}
	at := [2]ref{rows, place}
	n, ok := q.met[at]
	if !ok {
		if len(q.met) == mostMet {
			clear(q.met)
		}
		n = q.rank(rows, place)
		q.met[at] = n
	}
	return n
}

// rank ranks the regions by the rows, the most specific first, and by the distance from the place.
func (q *latencyCompiler) rank(rows, place ref) uint32 {
	p := newPoint(q.sources.all[place])
	for i, at := range q.points {
		biased := Biased(p.distance(at), q.biases[i])
		if q.nowhere && place == defaultPoint {
			biased = 0
		}
		q.order[i] = ranked{region: uint16(i), km: biased, ms: expected(biased)}
		q.told[i] = false
	}
	for ; rows != 0; rows = q.chains[rows].around {
		q.applyRows(q.table.from(int(q.chains[rows].rows)))
	}
	q.applyRows(q.table.of(measuredIn(q.sources.who[place].country)))
	quickestFirst(q.order, q.tolerance)
	return q.intern()
}

// applyRows applies rows to the regions that have none yet.
func (q *latencyCompiler) applyRows(rows []roundTrip) {
	for i := range rows {
		if n := q.numberOf[rows[i].region]; n >= 0 && !q.told[n] {
			q.told[n] = true
			q.order[n].ms = rows[i].mixed(q.order[n].ms, q.wanted)
		}
	}
}
