package geo

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// NoMatch ends the list of a client's matches.
const NoMatch = 1<<16 - 1

// maxMatches is the largest number of matches in one table.
const maxMatches = NoMatch

// MatchError describes a match that no client can have.
type MatchError struct {
	Match      int              // its index
	Term       config.MatchTerm // the unknown term
	What, Hint string
}

// MatchErrors holds all errors of a list of matches.
type MatchErrors []MatchError

func (f MatchErrors) Error() string {
	return fmt.Sprintf("match %d: %s: %s; %s", f[0].Match, f[0].Term.Text, f[0].What, f[0].Hint)
}

// Matches compiles the prefix table that lists the matches of every client, as Matching does, or returns a compiled
// one. A ranking of that table holds the indices of the matches, most specific first, and then NoMatch to its end, at
// least once. The scope at k covers the client's first k+1 matches. The table has cities if a match of the Locator's
// configuration names any. The error is MatchErrors if matches name a term that no source has.
func (l *Locator) Matches(matches []config.Match) (*Table, error) {
	if len(matches) > maxMatches {
		return nil, fmt.Errorf("%d different matches in one pool, at most %d are possible", len(matches), maxMatches)
	}
	return l.tables.table(matchSignature(matches), func() (*Table, error) {
		key, ok := l.matchesKey(matches)
		if !ok {
			return l.compileMatches(matches)
		}
		return l.obtain(key, tableLimit{len(matches), true}, func() (*Table, error) { return l.compileMatches(matches) })
	})
}

// compileMatches compiles the table that lists the matches.
func (l *Locator) compileMatches(matches []config.Match) (t *Table, faults error) {
	err := recoverFault(func() (err error) {
		c := matchCompiler{l: l, matcher: newMatcher(l.cfg, matches), lists: newMatchLists()}
		if faults, err = c.gather(); err == nil && faults == nil {
			t, err = c.compile()
		}
		return err
	})
	if err != nil {
		return nil, l.databaseError(err)
	}
	return t, faults
}

// matchSignature returns the same string for matches with the same table.
func matchSignature(matches []config.Match) string {
	var b strings.Builder
	for i := range matches {
		b.WriteString(matches[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// matchCompiler merges the differences between clients into one trie of lists of matches: location (the sources, or
// only their private space if no match needs more), autonomous system, and networks of the matches.
type matchCompiler struct {
	*matcher
	l       *Locator
	sources *sources
	ids     []uint32       // by place: the number of its list
	systems map[record]ref // 1 + the match of the ASN in a record of the ASN file; nil if no match needs it
	lists   matchLists
}

// gather reads the sources that the matches need.
func (c *matchCompiler) gather() (faults, err error) {
	c.sources = c.l.networks.single()
	if len(c.place)+len(c.groups) > 0 {
		if c.sources, err = c.l.gathered(); err != nil {
			return nil, err
		}
	}
	if found := c.unknown(); len(found) > 0 {
		return found, nil
	}
	for _, who := range c.sources.who {
		at := Location{Continent: who.continent, Country: who.country, Subdivision: who.subdivision, City: who.city}
		c.ids = append(c.ids, c.lists.number(indices(c.byLocation(at))))
	}
	if len(c.asn) == 0 || c.l.asn == nil {
		return nil, nil
	}
	numbers, err := c.l.asn.numbers()
	c.systems = map[record]ref{}
	for at, asn := range numbers {
		if i, ok := c.asn[asn]; ok {
			c.systems[at] = ref(1 + i)
		}
	}
	return nil, err
}

// single returns sources without locations, which only separate private space from the rest.
func (n *networks) single() *sources {
	s := &sources{places: newPlaces(config.Location{}), networks: n, builtin: &builtin{}, builtinCountry: []uint32{defaultPoint}}
	s.override = make([]uint32, len(n.entries))
	return s
}

// unknown returns an error for each term of a kind that no source provides. A missing record for one term is only a
// warning; see UnknownTerms.
func (c *matchCompiler) unknown() MatchErrors {
	var faults MatchErrors
	fault := func(t term, what, hint string) {
		faults = append(faults, MatchError{t.match, t.from.Term(t.kind, t.value), what, hint})
	}
	for _, t := range c.terms {
		switch {
		case t.kind == "subdivision" && !slices.ContainsFunc(c.sources.who, area.subdivided):
			fault(t, "no source knows subdivisions", "name a City database under geo.database, or place networks by subdivision under geo.networks")
		case t.kind == "city" && !slices.ContainsFunc(c.sources.who, area.inCity):
			fault(t, "no source knows cities", "name a City database under geo.database")
		case t.kind == "asn" && c.l.asn == nil:
			fault(t, "asn without geo.asn", "name an ASN file in MaxMind's format under geo.asn")
		}
	}
	return faults
}

func (c *matchCompiler) compile() (*Table, error) {
	v4, root4, err := c.family(true)
	if err != nil {
		return nil, err
	}
	v6, root6, err := c.family(false)
	if err != nil {
		return nil, err
	}
	return newTable(c.l.parallelism, c.lists.rankings(), v4, root4, v6, root6), nil
}

// family compiles the trie of one family. Its leaves are lists.
func (c *matchCompiler) family(v4 bool) (*trie, ref, error) {
	places := compiler{sources: c.sources, ids: c.ids, v4: v4}
	placed, err := places.compile()
	if err != nil {
		return nil, 0, err
	}
	systems := systemWalk{numbers: c.systems, v4: v4}
	announced := ref(0)
	if c.systems != nil {
		if announced, err = systems.compile(c.l.asn.database); err != nil {
			return nil, 0, err
		}
	}
	own, networks := c.ownNetworks(v4)
	joined := merger{a: &systems.trie, b: &places.trie, combine: func(asn, place ref) ref {
		list := c.lists.all[place&^privateFlag]
		if asn > 0 {
			list = mergeLists([]uint16{uint16(asn - 1)}, list)
		}
		return ref(c.lists.number(list)) | place&privateFlag
	}}
	root := joined.merge(announced, placed)
	whole := merger{a: networks, b: &joined.trie, combine: func(network, rest ref) ref {
		list := mergeLists(c.lists.all[network], c.lists.all[rest&^privateFlag])
		if c.without >= 0 {
			list = mergeLists(list, []uint16{uint16(c.without)})
		}
		return ref(c.lists.number(list)) | rest&privateFlag
	}}
	root = whole.merge(own, root)
	return &whole.trie, root, nil
}

// ownNetworks builds the trie of the networks in matches. Each leaf is the list of the networks around it, longest
// first.
func (c *matchCompiler) ownNetworks(v4 bool) (ref, *trie) {
	t := &trie{}
	root := ref(c.lists.number(nil))
	for _, p := range slices.Backward(c.networks) { // shorter first, so that longer ones include them
		k, is4 := keyOf(p.Addr())
		if is4 != v4 {
			continue
		}
		i := uint16(c.network[p])
		root = t.change(root, k, 0, p.Bits(), func(around ref) ref {
			return ref(c.lists.number(mergeLists([]uint16{i}, c.lists.all[around])))
		})
	}
	return root, t
}

// change returns r, a prefix of depth bits, with to applied to each leaf under the first bits of k.
func (t *trie) change(r ref, k key, depth, bits int, to func(ref) ref) ref {
	if depth >= bits && r.isLeaf() {
		return to(r)
	}
	a, b := t.split(r)
	if depth >= bits || k.bit(depth) == 0 {
		a = t.change(a, k, depth+1, bits, to)
	}
	if depth >= bits || k.bit(depth) == 1 {
		b = t.change(b, k, depth+1, bits, to)
	}
	return t.join(a, b)
}

// systemWalk converts an ASN file into a trie.
type systemWalk struct {
	trie
	numbers map[record]ref
	db      *database
	v4      bool
	budget  int // nodes that may still be visited
	err     error
}

func (w *systemWalk) compile(db *database) (ref, error) {
	w.db, w.budget = db, maxVisitsPerNode*int(db.nodes)
	root := w.walk(db.start(w.v4), 0)
	return root, w.err
}

// walk returns the trie of r, a prefix of depth bits.
func (w *systemWalk) walk(r record, depth int) ref {
	if !w.db.isNode(r) {
		return w.numbers[r]
	}
	width := bitsV6
	if w.v4 {
		width = bitsV4
	}
	if w.budget--; w.budget < 0 || depth == width {
		w.err, w.budget = errLoop, 0
		return 0
	}
	if !w.v4 && w.db.alias(r) {
		return 0
	}
	low, high := w.db.split(r)
	a := w.walk(low, depth+1)
	b := w.walk(high, depth+1)
	return w.join(a, b)
}

// merger combines two tries.
type merger struct {
	trie
	a, b    *trie
	combine func(a, b ref) ref // of leaves
}

func (m *merger) merge(a, b ref) ref {
	if a.isLeaf() && b.isLeaf() {
		return m.combine(a, b)
	}
	lowA, highA := m.a.split(a)
	lowB, highB := m.b.split(b)
	low := m.merge(lowA, lowB)
	high := m.merge(highA, highB)
	return m.join(low, high)
}

// matchLists numbers lists of matches. 0 is the empty list.
type matchLists struct {
	all     [][]uint16
	numbers map[string]uint32
	key     []byte // scratch
}

func newMatchLists() matchLists {
	return matchLists{all: [][]uint16{nil}, numbers: map[string]uint32{"": 0}}
}

// number returns the number of a list, new or existing.
func (l *matchLists) number(list []uint16) uint32 {
	l.key = l.key[:0]
	for _, i := range list {
		l.key = binary.NativeEndian.AppendUint16(l.key, i)
	}
	n, ok := l.numbers[string(l.key)]
	if !ok {
		n = uint32(len(l.all))
		l.numbers[string(l.key)] = n
		l.all = append(l.all, list)
	}
	return n
}

// rankings returns the lists, padded to one length so that each ends in NoMatch.
func (l *matchLists) rankings() rankings {
	longest := 0
	for _, list := range l.all {
		longest = max(longest, len(list))
	}
	r := rankings{regions: longest + 1}
	for _, list := range l.all {
		r.flat = append(r.flat, list...)
		r.flat = append(r.flat, slices.Repeat([]uint16{NoMatch}, r.regions-len(list))...)
	}
	return r
}

// mergeLists returns a, followed by the elements of b that a does not have.
func mergeLists(a, b []uint16) []uint16 {
	list := slices.Clone(a)
	for _, i := range b {
		if !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	return list
}

// indices returns the indices of the matches, each once.
func indices(found []Matched) []uint16 {
	var list []uint16
	for _, f := range found {
		list = mergeLists(list, []uint16{uint16(f.Index)})
	}
	return list
}
