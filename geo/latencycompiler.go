package geo

import (
	"fmt"
	"slices"

	"meridian/config"
)

// LatencyTable compiles, or finds already compiled, the prefix table that ranks
// regions by the round trips of t, and by distance where t has none: see Estimates.
// At most 65535 regions. A Latency keeps its tables, and is for one Locator; without
// one it is Table. Safe for concurrent use.
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

// latencySignature is signature with the names, by which round trips are told.
func latencySignature(regions []config.Region) string {
	key := signature(regions)
	for _, r := range regions {
		key += fmt.Sprintf("%q", r.Name)
	}
	return key
}

// latencyCompiler merges what tells clients apart into one trie of rankings: where they
// stand, what autonomous system announces them, which of the table's networks they are in.
type latencyCompiler struct {
	ranker
	table     *Latency
	numberOf  []int // by region of the table: which of the ranked it is; -1: none
	wanted    int   // samples
	tolerance float64
	told      []bool // scratch: regions that a row was found for
	sources   *sources
	nowhere   bool     // the place unplaced is none: all regions are equally far
	places    []uint32 // all of the sources', as numbers of themselves

	chains  []rowSet          // the rows that a client has; 0: those of its country at most
	known   map[rowSet]ref    // chains met before
	met     map[[2]ref]uint32 // rankings by chain and place
	alone   []uint32          // rankings by place for chain 0; 0: not made yet, else one more
	systems map[record]ref    // by record of the ASN file: a chain
}

// rowSet is the rows of a network or an autonomous system, and those around it.
type rowSet struct {
	rows   uint32 // where in table.rows they begin
	around ref    // the next wider chain
}

// mostMet bounds the memory that quickest.met takes.
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

// announce makes the chains of the autonomous systems that have rows.
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

// chain is the number of a chain, new or met before.
func (q *latencyCompiler) chain(c rowSet) ref {
	n, ok := q.known[c]
	if !ok {
		n = ref(len(q.chains))
		q.chains = append(q.chains, c)
		q.known[c] = n
	}
	return n
}

// family is the trie of one family, whose leaves are rankings.
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

// rowWalk lays the networks of a table over the autonomous systems: the leaves
// of its trie are chains.
type rowWalk struct {
	trie
	*latencyCompiler
	systems *trie
	within  []uint32 // where the rows of the networks around begin, the widest first
}

// walk is the trie of a prefix of depth bits: the rows of the networks in it, sorted,
// and the autonomous systems there.
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

// ranking is that of a client with the rows of a chain who stands at a place.
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

// rank ranks the regions by what the rows tell, the most specific first, and by
// the distance from the place.
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

// applyRows mixes rows in, for the regions of which none was told before.
func (q *latencyCompiler) applyRows(rows []roundTrip) {
	for i := range rows {
		if n := q.numberOf[rows[i].region]; n >= 0 && !q.told[n] {
			q.told[n] = true
			q.order[n].ms = rows[i].mixed(q.order[n].ms, q.wanted)
		}
	}
}
