package geo

import "net/netip"

// Block is a network all of whose addresses stand at one place and, where there
// is an ASN file, belong to one autonomous system.
type Block struct {
	Prefix netip.Prefix
	At     *Location // shared between tracts, without ASN and Network; do not change it
	ASN    uint32    // 0: unknown
}

// Tracts calls visit with all that the sources place of a family, in the order
// of addresses: what Locate says of each address, without asking for each. Left
// out is what nothing but the default region places, and private space that
// networks does not name. It ends early when visit returns false. The error is of a
// database that can be read no more. Not beside Close.
func (l *Locator) Tracts(v4 bool, visit func(Block) bool) error {
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

// blockWalk walks all sources at once, as a compiler does, and keeps what they
// say of a client instead of its ranking.
type blockWalk struct {
	*sources
	asn     *database // nil without one
	v4      bool
	placed  []*Location // by number of an offset of the database; nil: it places nobody
	homes   []*Location // by value of the built-in table, likewise
	systems map[record]uint32
	visit   func(Block) bool
	budget  int // nodes of the tries that may still be visited
	over    bool
	err     error
}

// sourceState is what each source says of a prefix.
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

// placed is what each record of the database says.
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

// withSource is what find finds, with whence it is; nil for nothing.
func withSource(from string, find func() (Location, bool)) *Location {
	at, ok := find()
	if !ok {
		return nil
	}
	at.From = from
	return &at
}

// start is what the sources say of all addresses of the family.
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

// walk visits the tracts of the prefix of k with depth bits, of which the sources
// say at.
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

// place is where all of a prefix stands, nil for nowhere; whole is false where
// parts of it may differ.
//
//	networks      database   built-in   place
//	parts differ  -          -          not whole
//	private       -          -          nowhere
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

// divides reports whether a database may say different things of the halves of
// what r stands for. Where IPv4 lies in IPv6 it says nothing of IPv6.
func (w *blockWalk) divides(db *database, r record) bool {
	return db != nil && db.isNode(r) && (w.v4 || !db.alias(r))
}

// halve is what a database says of the halves of r.
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
