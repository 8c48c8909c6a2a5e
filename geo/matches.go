package geo

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// NoMatch ends the list of the matches that a client has.
const NoMatch = 1<<16 - 1

// maxMatches is how many matches one table can tell apart.
const maxMatches = NoMatch

// MatchError is a match that no client can ever have.
type MatchError struct {
	Match      int              // its index
	Term       config.MatchTerm // that nobody can have
	What, Hint string
}

// MatchErrors are all that are wrong with some matches.
type MatchErrors []MatchError

func (f MatchErrors) Error() string {
	return fmt.Sprintf("match %d: %s: %s; %s", f[0].Match, f[0].Term.Text, f[0].What, f[0].Hint)
}

// Matches compiles, or finds already compiled, the prefix table that lists for
// every client the matches that it has, as Matching does. A ranking of that table
// is the indices of those matches, most specific first, and then NoMatch to its
// end, at least once; its scopes are those of the client's first k+1 matches. Cities
// are known where a match of the Locator's configuration names any. The
// error is MatchFaults where matches name what no source knows.
func (l *Locator) Matches(matches []config.Match) (*Table, error) {
	if len(matches) > maxMatches {
		return nil, fmt.Errorf("%d different matches in one pool, at most %d can be told apart", len(matches), maxMatches)
	}
	return l.tables.table(matchSignature(matches), func() (*Table, error) {
		var t *Table
		var faults error
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
	})
}

// matchSignature is the same for matches that give the same table.
func matchSignature(matches []config.Match) string {
	var b strings.Builder
	for i := range matches {
		b.WriteString(matches[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// matchCompiler merges what tells clients apart into one trie of lists of matches:
// where they stand (its own sources, or only their private space where no match
// asks), what autonomous system announces them, which of the matches' networks they are in.
type matchCompiler struct {
	*matcher
	l       *Locator
	sources *sources
	ids     []uint32       // by place: the list that it gives
	systems map[record]ref // 1 + the match of the ASN that a record of the ASN file names; nil where no match asks
	lists   matchLists
}

// gather reads the sources that the matches ask.
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

// single is sources that place nobody, and tell private space from the rest.
func (n *networks) single() *sources {
	s := &sources{places: newPlaces(config.Location{}), networks: n, builtin: &builtin{}, builtinCountry: []uint32{defaultPoint}}
	s.override = make([]uint32, len(n.entries))
	return s
}

// unknown faults terms of a kind that no source knows anything of. That there is
// no record of the very one is a warning, see UnknownTerms.
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

// family is the trie of one family, whose leaves are lists.
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

// ownNetworks is the trie of the networks that matches name: each leaf is the list
// of those around it, longest first.
func (c *matchCompiler) ownNetworks(v4 bool) (ref, *trie) {
	t := &trie{}
	root := ref(c.lists.number(nil))
	for _, p := range slices.Backward(c.networks) { // shorter first, so that longer ones know them
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

// change is r, a prefix of depth bits, with what is under the first bits of k
// replaced by what to makes of each leaf there.
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

// systemWalk reads an ASN file into a trie.
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

// walk is what the file says of the prefix of depth bits that r stands for.
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

// merger lays two tries over each other.
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

// matchLists numbers lists of matches; 0 is the empty one.
type matchLists struct {
	all     [][]uint16
	numbers map[string]uint32
	key     []byte // scratch
}

func newMatchLists() matchLists {
	return matchLists{all: [][]uint16{nil}, numbers: map[string]uint32{"": 0}}
}

// number is that of a list, new or met before.
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

// rankings is the lists filled up to one length, so that each ends in NoMatch.
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

// mergeLists is a and what of b is not in it.
func mergeLists(a, b []uint16) []uint16 {
	list := slices.Clone(a)
	for _, i := range b {
		if !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	return list
}

// indices is the matches that were found, each once.
func indices(found []Matched) []uint16 {
	var list []uint16
	for _, f := range found {
		list = mergeLists(list, []uint16{uint16(f.Index)})
	}
	return list
}
