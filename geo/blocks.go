package geo

import "net/netip"

// Block is a network of addresses that all have one location and, with an ASN file, one autonomous system.
type Block struct {
	Prefix netip.Prefix
	At     *Location // shared between blocks, without ASN and Network; do not change it
	ASN    uint32    // 0: unknown
}

// Blocks calls visit with every block of a family that the sources place, in address order. The result equals Locate
// of each address, without a lookup for each. It omits what only the default region places, and private space that
// networks does not name. It ends early if visit returns false. It returns an error if a database can no longer be
// read. It must not run concurrently with Close.
func (l *Locator) Blocks(v4 bool, visit func(Block) bool) error {
	err := recoverFault(func() error {
		w, err := l.newBlockWalk(v4, visit)
		if err != nil {
			return err
		}
		w.walk(w.start(), key{}, 0)
		return w.err
	})
	if err != nil {
		return l.databaseError(err)
	}
	return nil
}

// blockWalk walks all sources at once, as a compiler does, and keeps their locations instead of a ranking.
type blockWalk struct {
	*sources
	asn     *database // nil without one
	v4      bool
	placed  []*Location // by number of an offset of the database; nil: no location
	homes   []*Location // by value of the built-in table; nil: no location
	systems map[record]uint32
	visit   func(Block) bool
	budget  int // nodes of the tries that may still be visited
	over    bool
	err     error
}

// sourceState holds the position in each source for one prefix.
type sourceState struct {
	own     ref
	db, asn record
	home    ref
}

func (l *Locator) newBlockWalk(v4 bool, visit func(Block) bool) (*blockWalk, error) {
	s, err := l.gathered()
	if err != nil {
		return nil, err
	}
	w := &blockWalk{sources: s, v4: v4, visit: visit, homes: []*Location{nil}}
	w.budget = maxVisitsPerNode * (len(s.networks.halves) + len(s.builtin.halves))
	for _, code := range s.builtin.countries {
		w.homes = append(w.homes, withSource(fromBuiltin, func() (Location, bool) { return l.centroids.country(code) }))
	}
	if s.db != nil {
		w.budget += maxVisitsPerNode * int(s.db.nodes)
		if w.placed, err = l.placed(s); err != nil {
			return nil, err
		}
	}
	if l.asn != nil {
		w.asn = l.asn.database
		w.budget += maxVisitsPerNode * int(l.asn.nodes)
		w.systems, err = l.asn.numbers()
	}
	return w, err
}

// placed returns the location of each record of the database.
func (l *Locator) placed(s *sources) (all []*Location, err error) {
	s.offsets.each(func(offset uint32) bool {
		var e entry
		if e, err = l.schema(s.db.reader.LookupOffset(uintptr(offset))); err == nil {
			all = append(all, withSource(fromDatabase, func() (Location, bool) { return l.centroids.standing(e) }))
		}
		return err == nil
	})
	return all, err
}

// withSource returns the result of find with its source, or nil if find finds nothing.
func withSource(from string, find func() (Location, bool)) *Location {
	at, ok := find()
	if !ok {
		return nil
	}
	at.From = from
	return &at
}

// start returns the state for all addresses of the family.
func (w *blockWalk) start() sourceState {
	at := sourceState{own: *w.networks.roots.of(w.v4), home: *w.builtin.roots.of(w.v4)}
	if w.db != nil {
		at.db = w.db.start(w.v4)
	}
	if w.asn != nil {
		at.asn = w.asn.start(w.v4)
	}
	return at
}

// walk visits the blocks of the prefix of k with depth bits. at is the state of the sources there.
func (w *blockWalk) walk(at sourceState, k key, depth int) {
	place, whole := w.place(&at)
	switch {
	case w.over, whole && place == nil:
		return
	case whole && !w.divides(w.asn, at.asn):
		w.over = !w.visit(Block{Prefix: k.prefix(w.v4, depth), At: place, ASN: w.systems[at.asn]})
		return
	}
	if w.budget--; w.budget < 0 || depth == w.width() {
		w.over, w.err = true, errLoop
		return
	}
	low, high := at, at
	low.own, high.own = w.networks.split(at.own)
	low.home, high.home = w.builtin.split(at.home)
	low.db, high.db = w.halve(w.db, at.db)
	low.asn, high.asn = w.halve(w.asn, at.asn)
	w.walk(low, k, depth+1)
	w.walk(high, k.set(depth), depth+1)
}

// place returns the location of a whole prefix, or nil if it has none. whole is false if parts of the prefix may
// differ.
//
//	networks      database   built-in   place
//	parts differ  -          -          not whole
//	private       -          -          none
//	an entry      -          -          the entry's
//	none          differ     -          not whole
//	none          a place    -          the database's
//	none          none       differ     not whole
//	none          none       any        the built-in table's
func (w *blockWalk) place(at *sourceState) (place *Location, whole bool) {
	switch {
	case !at.own.isLeaf():
		return nil, false
	case at.own == privateRange:
		return nil, true
	case at.own != unset:
		return &w.networks.entries[at.own-firstOverride], true
	case w.divides(w.db, at.db):
		return nil, false
	}
	if w.db != nil {
		if offset, ok := w.db.offset(at.db); ok && w.offsets.has(offset) {
			if place := w.placed[w.offsets.number(offset)]; place != nil {
				return place, true
			}
		}
	}
	if !at.home.isLeaf() {
		return nil, false
	}
	return w.homes[at.home.value()], true
}

// divides reports whether the halves of r may differ in a database. Where IPv4 is mapped into IPv6, the database has
// no data for IPv6.
func (w *blockWalk) divides(db *database, r record) bool {
	return db != nil && db.isNode(r) && (w.v4 || !db.alias(r))
}

// halve returns the records of both halves of r.
func (w *blockWalk) halve(db *database, r record) (low, high record) {
	if !w.divides(db, r) {
		return r, r
	}
	return db.split(r)
}

func (w *blockWalk) width() int {
	if w.v4 {
		return bitsV4
	}
	return bitsV6
}
