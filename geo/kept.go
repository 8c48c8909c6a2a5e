package geo

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"runtime"
	"slices"
	"sync"
	"weak"

	"meridian/config"
)

// Compiled tables are kept, because compiling one of a City database takes a second: in memory while any Locator of the process
// uses them, and in files of the state directory. A table is kept under a hash of all that it is compiled from, so that a table
// that is found is right.

// tableVersion is the version of the files of tables. Raise it when a table has another form, or when the same sources give another
// table: a test compares the tables of fixed sources.
const tableVersion = 1

// tableKey is a hash of what a table is compiled from.
type tableKey [sha256.Size]byte

// keyHash hashes the parts of a key.
type keyHash struct{ hash.Hash }

func newKeyHash(kind string) keyHash {
	h := keyHash{sha256.New()}
	h.add("meridian geo table %d %s", tableVersion, kind)
	return h
}

// add adds a part, which cannot be confused with the next one.
func (h keyHash) add(format string, values ...any) {
	part := fmt.Sprintf(format, values...)
	fmt.Fprintf(h, "%d:%s", len(part), part)
}

func (h keyHash) key() (k tableKey) {
	h.Sum(k[:0])
	return k
}

// embeddedKey is the hash of the data that is part of the program.
var embeddedKey = sync.OnceValue(func() tableKey {
	h := newKeyHash("embedded")
	h.add("%s", networksBin)
	h.add("%s", placesTSV)
	return h.key()
})

// digest returns the hash of a database's content, and false if it can no longer be read.
func (db *database) digest() (sum tableKey, ok bool) {
	err := recoverFault(func() error {
		sum = sha256.Sum256(db.data)
		return nil
	})
	return sum, err == nil
}

// sourcesKey returns the hash of the sources of all tables except the ASN file.
func (l *Locator) sourcesKey() tableKey {
	h := newKeyHash("sources")
	h.add("%x", embeddedKey())
	h.add("%x", l.databaseDigest)
	if l.db != nil {
		h.add("%d", l.centroids.maxRadius) // of records of the database
	}
	h.add("%v", l.fallback)
	for i := range l.networks.entries {
		h.add("%+v", l.networks.entries[i])
	}
	return h.key()
}

// rankingKey returns the key of the table that ranks regions.
func (l *Locator) rankingKey(regions []config.Region) tableKey {
	h := newKeyHash("regions")
	h.add("%x", l.sourcesKey())
	h.add("%s", signature(regions))
	return h.key()
}

// matchesKey returns the key of the table of matches. ok is false if the ASN file can no longer be read.
func (l *Locator) matchesKey(matches []config.Match) (key tableKey, ok bool) {
	h := newKeyHash("matches")
	h.add("%x", l.sourcesKey())
	for _, g := range l.cfg.Geo.Groups {
		h.add("%s %q", g.Name, g.Countries)
	}
	if l.asn != nil && slices.ContainsFunc(matches, func(m config.Match) bool { return len(m.ASNs) > 0 }) {
		sum, readable := l.asn.digest()
		if !readable {
			return key, false
		}
		h.add("%x", sum)
	}
	h.add("%s", matchSignature(matches))
	return h.key(), true
}

// shared holds the tables of all Locators of the process that are in use, and the schemas of databases that were read without an
// error. A reload thus compiles only tables with other sources.
var shared struct {
	sync.Mutex
	tables  map[tableKey]weak.Pointer[Table]
	schemas map[tableKey]int // by digest of a database: index in schemas()
}

// mostSchemas bounds the number of databases that are known to be readable.
const mostSchemas = 64

// sharedTable returns a table that another Locator uses, or nil.
func sharedTable(key tableKey) *Table {
	shared.Lock()
	defer shared.Unlock()
	return shared.tables[key].Value()
}

// shareTable makes t the table of a key for as long as it is used.
func shareTable(key tableKey, t *Table) {
	shared.Lock()
	defer shared.Unlock()
	if shared.tables == nil {
		shared.tables = map[tableKey]weak.Pointer[Table]{}
	}
	if shared.tables[key].Value() != t {
		shared.tables[key] = weak.Make(t)
		runtime.AddCleanup(t, forgetTable, key)
	}
}

// forgetTable removes the table of a key, unless it was compiled again since.
func forgetTable(key tableKey) {
	shared.Lock()
	defer shared.Unlock()
	if shared.tables[key].Value() == nil {
		delete(shared.tables, key)
	}
}

// sharedSchema returns the schema of a database that has been read without an error.
func sharedSchema(digest tableKey) (index int, ok bool) {
	shared.Lock()
	defer shared.Unlock()
	index, ok = shared.schemas[digest]
	return index, ok
}

func shareSchema(digest tableKey, index int) {
	shared.Lock()
	defer shared.Unlock()
	if shared.schemas == nil || len(shared.schemas) >= mostSchemas {
		shared.schemas = map[tableKey]int{}
	}
	shared.schemas[digest] = index
}

// keptTable is a table of a Locator that may be kept.
type keptTable struct {
	key   tableKey
	table *Table
	from  Origin
}

// Origin is how a Locator got a table.
type Origin int

// The origins of tables.
const (
	Compiled Origin = iota // from the sources
	Loaded                 // from a file of the state directory
	Reused                 // of the configuration before
	origins
)

// Origins returns all origins.
func Origins() [origins]Origin { return [origins]Origin{Compiled, Loaded, Reused} }

func (o Origin) String() string {
	return [origins]string{"compiled", "loaded", "reused"}[o]
}

// Tables is how many tables a Locator has of each origin. Tables with measured round trips are not counted.
type Tables struct {
	From   [origins]int
	Reason string // why a file was not used; empty: each was, or none was needed
}

// TablesMade returns how many tables the Locator has, by origin.
func (l *Locator) TablesMade() (n Tables) {
	l.keptMu.Lock()
	defer l.keptMu.Unlock()
	for i := range l.kept {
		n.From[l.kept[i].from]++
	}
	n.Reason = l.notLoaded
	return n
}

// obtain returns the table of a key: one in use, one of a file, or the result of compile. A table from a file is checked for its
// limit: the number of regions or matches.
func (l *Locator) obtain(key tableKey, limit tableLimit, compile func() (*Table, error)) (*Table, error) {
	if t := sharedTable(key); t != nil {
		l.keep(keptTable{key, t, Reused}, nil)
		return t, nil
	}
	t, unusable := l.folder().load(key, limit)
	if t != nil {
		l.keep(keptTable{key, t, Loaded}, nil)
		return t, nil
	}
	t, err := compile()
	if err != nil {
		return nil, err
	}
	l.keep(keptTable{key, t, Compiled}, unusable)
	return t, nil
}

// keep notes a table, and why its file was not used.
func (l *Locator) keep(t keptTable, unusable error) {
	shareTable(t.key, t.table)
	l.keptMu.Lock()
	defer l.keptMu.Unlock()
	l.kept = append(l.kept, t)
	if unusable != nil && l.notLoaded == "" {
		l.notLoaded = unusable.Error()
	}
}
