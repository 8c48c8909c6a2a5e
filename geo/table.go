package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"unsafe"

	"meridian/config"
)

// Table maps a client to a ranking of the regions it was compiled for. It is immutable and safe for concurrent use.
type Table struct {
	nearest4, nearest6 nearest
	v4, v6             poptrie
	leaves             leafRecords
	rankings           rankings
	arena              []byte // what the nearest tables are in
}

// Leaf is the position of a client in a Table.
type Leaf uint32

// Nearest returns the first region of the client's Ranking and the scope of position 0. Most decisions need no more,
// and it is cheaper than Lookup. The table must have a region. It does not allocate.
func (t *Table) Nearest(addr netip.Addr) (region uint16, scope uint8) {
	k, v4 := keyOf(addr)
	if v4 {
		return t.nearest4.lookup(k)
	}
	return t.nearest6.lookup(k)
}

// Lookup finds the leaf of addr (IPv4-mapped addresses count as IPv4). It does not allocate.
func (t *Table) Lookup(addr netip.Addr) Leaf {
	k, v4 := keyOf(addr)
	if v4 {
		return t.v4.lookup(k)
	}
	return t.v6.lookup(k)
}

// Ranking returns all indices into the regions given to Locator.Table, nearest first. Do not change it.
func (t *Table) Ranking(leaf Leaf) []uint16 {
	return t.rankings.of(t.leaves.ranking(leaf))
}

// Scope returns the length of the shortest prefix around the leaf inside which all rankings share their first k+1
// regions. k must be below the number of regions. For an IPv4-mapped address it counts within IPv4, 0 to 32. The
// prefix of a public leaf never includes private space.
func (t *Table) Scope(leaf Leaf, k int) uint8 {
	return t.leaves.scope(leaf, k)
}

// Bytes returns the memory size of the table.
func (t *Table) Bytes() int {
	size := len(t.leaves.flat) + len(t.rankings.flat)*2
	for _, p := range []*poptrie{&t.nearest4.poptrie, &t.nearest6.poptrie, &t.v4, &t.v6} {
		size += len(p.root)*4 + len(p.nodes)*int(unsafe.Sizeof(popnode{})) + len(p.leaves)*4
	}
	return size
}

// compileTable compiles the table of the regions. With fixed, a client without a location gets them in the configured
// order, because there is no default region.
func compileTable(m parallelism, s *sources, regions []config.Region, fixed bool) (*Table, error) {
	nowhere := -1
	if fixed {
		nowhere = defaultPoint
	}
	r, ids := rank(regions, s.all, nowhere)
	v4 := compiler{sources: s, ids: ids, v4: true}
	v6 := compiler{sources: s, ids: ids}
	var root4, root6 ref
	var err4, err6 error
	m.runBoth( // both functions return even if the file disappears, so no goroutine leaks
		func() { root4, err4 = v4.compile() },
		func() { root6, err6 = v6.compile() },
	)
	if err4 != nil {
		return nil, err4
	}
	if err6 != nil {
		return nil, err6
	}
	return newTable(m, r, &v4.trie, root4, &v6.trie, root6), nil
}

// newTable builds a table of two merged tries. Their leaves are rankings.
func newTable(m parallelism, r rankings, v4 *trie, root4 ref, v6 *trie, root6 ref) *Table {
	t := &Table{rankings: r}
	m.runBoth(
		func() { t.nearest4 = newNearest(v4, root4, &r) },
		func() { t.nearest6 = newNearest(v6, root6, &r) },
	)
	t.arena = settle(&t.nearest4.poptrie, &t.nearest6.poptrie)
	l := newLeafBuilder(r)
	root4 = l.label(v4, root4)
	root6 = l.label(v6, root6)
	t.v4 = newPoptrie(v4, root4)
	t.v6 = newPoptrie(v6, root6)
	t.leaves = leafRecords{l.size, slices.Clone(l.flat)}
	return t
}

// tables holds the tables of a Locator, one for each distinct set of regions or matches. Its methods are safe for
// concurrent use.
type tables struct {
	mu   sync.Mutex
	made map[string]*pending
}

// pending is a table that is complete or under construction.
type pending struct {
	once  sync.Once
	table *Table
	err   error
}

// table returns the table with signature k. The first call runs make.
func (t *tables) table(k string, make func() (*Table, error)) (*Table, error) {
	t.mu.Lock()
	if t.made == nil {
		t.made = map[string]*pending{}
	}
	p := t.made[k]
	if p == nil {
		p = &pending{}
		t.made[k] = p
	}
	t.mu.Unlock()
	p.once.Do(func() { p.table, p.err = make() })
	return p.table, p.err
}

// signature returns the same string for sets of regions with the same table.
func signature(regions []config.Region) string {
	var b []byte
	for _, r := range regions {
		b = fmt.Appendf(b, "%x %x %d,", r.Location.Lat, r.Location.Lon, r.Bias)
	}
	return string(b)
}
