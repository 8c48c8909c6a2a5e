// Package geo says where a client is and which regions are near it.
//
// A [Locator] knows four sources, asked in this order until one places the client:
//
//	networks   the operator's own knowledge; the longest prefix wins
//	database   a City or Country file in MaxMind's format
//	built-in   a table network -> country that is part of the program
//	default    the default region
//
// Who is placed stands at a point on Earth: at the coordinates that a source
// gives, else where the people of the country live, and never at 0,0 for want of
// better. Locate tells it slowly, for explaining.
//
// Serving asks a [Table], compiled from the same sources for one set of regions:
//
//	sources -> places -> rankings        every distinct place ranks the regions once (rank)
//	        \-> merged trie of rankings  one walk over all sources (compiler)
//	              -> nearest             of each ranking the first region alone, small
//	              -> leaves with scopes  (labeller)
//	                  -> poptrie         a few reads to look up
//
// A leaf of a table holds a ranking of all regions, nearest first, and for each
// position of it the scope that an answer from there has (DESIGN 6). So the table
// stays right whatever is up or down: nothing here changes when a verdict turns.
//
// Where round trips are measured (Latency), LatencyTable ranks by those, and by
// distance for the rest; Estimates tells the same slowly.
//
// For the matches of a geolocation pool there is such a table too, of lists of
// matches in place of rankings (Matches); Matching tells the same slowly.
//
// The package knows nothing of pools, members or health.
package geo

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"meridian/config"
)

// Location is where a client stands.
type Location struct {
	Continent   string // two letters; may be empty
	Country     string // ISO 3166-1 alpha-2; may be empty
	Subdivision string // ISO 3166-2, e.g. US-CA; may be empty
	City        string
	ASN         uint32 // 0: unknown
	Lat, Lon    float64
	Imprecise   int          // the accuracy radius of the database's record in km, if its coordinates are not used for it; else 0
	From        string       // what placed it: "networks", "database", "built-in", "default"; empty: nothing, and there is no region
	Network     netip.Prefix // the entry that placed it; zero for the default
}

// what places a client, as Location.From has it.
const (
	fromNetworks = "networks"
	fromDatabase = "database"
	fromBuiltin  = "built-in"
	fromDefault  = "default"
)

// Locator places clients: networks first, then the database or built-in table, then the default region.
// It is immutable and safe for concurrent use until Close.
type Locator struct {
	cfg         *config.Config // for faults
	parallelism parallelism
	centroids   centroids
	networks    *networks
	db          *database    // nil without one
	schema      schema       // of db
	asn         *asnFile     // nil without one
	latency     *Latency     // nil without one
	refused     rejectedFile // of the file of round trips
	cities      bool         // whether a match of the configuration names any: else places have none
	fallback    Location     // of who is not placed; From is empty where there is no region
	tables      tables

	mu      sync.Mutex
	builtin *builtin // nil until needed
	sources *sources // nil until needed
}

// Open reads what cfg.Geo names. A missing, corrupt or foreign database is a config.Fault.
func Open(cfg *config.Config) (*Locator, error) { return open(cfg, maxParallelism(), nil) }

func open(cfg *config.Config, m parallelism, before *Latency) (*Locator, error) {
	a, err := parseCentroids(placesTSV)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded atlas: %w", err)
	}
	a.maxRadius = cfg.Geo.MaxAccuracyRadius
	l := &Locator{cfg: cfg, parallelism: m, centroids: a, cities: namesCities(cfg)}
	for _, r := range cfg.Regions {
		if r.Name == cfg.Geo.Default {
			l.fallback = Location{Lat: r.Location.Lat, Lon: r.Location.Lon, From: fromDefault}
		}
	}
	var faults []config.Error
	l.networks, faults = newNetworks(cfg, a)
	if err := l.openDatabase(cfg.Geo.Database); err != nil {
		faults = append(faults, l.databaseError(err))
	}
	if err := l.openASN(cfg.Geo.ASN); err != nil {
		faults = append(faults, cfg.ErrorAt(cfg.Geo.ASNPos, "geo.asn", fmt.Sprintf("%q %s", cfg.Geo.ASN, err),
			"name an ASN file in MaxMind's format, such as GeoLite2-ASN.mmdb"))
	}
	slices.SortStableFunc(faults, func(a, b config.Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	faults = append(faults, l.firstLatency(before)...) // by what the ASN file is
	if len(faults) > 0 {
		_ = l.Close() // the faults say more
		return nil, config.Join(faults)
	}
	return l, nil
}

// openDatabase opens the file and reads all of it once, so that what is wrong
// with it shows now.
func (l *Locator) openDatabase(name string) error {
	if name == "" {
		return nil
	}
	return recoverFault(func() (err error) {
		if l.db, err = openDatabase(name); err != nil {
			return err
		}
		_, err = l.gathered() // finds the schema too
		return err
	})
}

func (l *Locator) databaseError(err error) config.Error {
	return l.cfg.ErrorAt(l.cfg.Geo.DatabasePos, "geo.database", fmt.Sprintf("%q %s", l.cfg.Geo.Database, err),
		"name a City or Country file in MaxMind's format, such as GeoLite2-City.mmdb, or leave the key out for the built-in table")
}

// Close lets go of the databases; tables made before stay valid. No Locate or Table may run or follow.
func (l *Locator) Close() error {
	var errs []error
	if l.db != nil {
		errs = append(errs, l.db.close())
	}
	if l.asn != nil {
		errs = append(errs, l.asn.close())
	}
	return errors.Join(errs...)
}

// Locate places addr, slowly: for explaining. Serving uses a Table.
func (l *Locator) Locate(addr netip.Addr) Location {
	at := l.locate(addr)
	if l.asn != nil {
		at.ASN = l.asn.number(addr)
	}
	return at
}

func (l *Locator) locate(addr netip.Addr) Location {
	if at, ok := l.networks.locate(addr); ok {
		return at
	}
	k, v4 := keyOf(addr)
	if at, ok := l.inDatabase(k, v4); ok {
		return at
	}
	if _, private := l.PrivateECS(addr); private {
		return l.fallback
	}
	if at, ok := l.inBuiltin(k, v4); ok {
		return at
	}
	return l.fallback
}

// inDatabase is what the database says of k; nothing where it can be read no more.
func (l *Locator) inDatabase(k key, v4 bool) (at Location, ok bool) {
	if l.db == nil {
		return Location{}, false
	}
	err := recoverFault(func() error {
		offset, depth, found := l.db.find(k, v4)
		if !found {
			return nil
		}
		e, err := l.schema(l.db.reader.LookupOffset(uintptr(offset)))
		if err != nil {
			return err // Open has read them all: the file is another one by now
		}
		at, ok = l.centroids.standing(e)
		at.From, at.Network = fromDatabase, k.prefix(v4, depth)
		return nil
	})
	return at, ok && err == nil
}

// inBuiltin is what the built-in table says of k.
func (l *Locator) inBuiltin(k key, v4 bool) (Location, bool) {
	b, err := l.builtinTable()
	if err != nil {
		return Location{}, false // the table is embedded; a test unpacks it
	}
	value, depth := b.find(*b.of(v4), k)
	if value == 0 {
		return Location{}, false
	}
	at, ok := l.centroids.country(b.countries[value-1])
	at.From, at.Network = fromBuiltin, k.prefix(v4, depth)
	return at, ok
}

// PrivateECS reports whether addr, from a client-subnet option, says nothing of
// where the client is (private, loopback, link-local, unspecified) and no entry of networks places it
// (DESIGN 5.3); scope is then the shortest prefix around addr of which that is true throughout.
func (l *Locator) PrivateECS(addr netip.Addr) (scope int, private bool) {
	k, v4 := keyOf(addr)
	value, depth := l.networks.find(*l.networks.of(v4), k)
	if ref(value) != privateRange {
		return 0, false
	}
	return depth, true
}

// Table compiles, or finds already compiled, the prefix table that ranks regions (order breaks ties).
// At most 65535 regions. Locators share tables between equal calls; safe for concurrent use.
func (l *Locator) Table(regions []config.Region) (*Table, error) {
	if len(regions) > maxRegions {
		return nil, fmt.Errorf("%d regions in one pool, at most %d can be ranked", len(regions), maxRegions)
	}
	return l.tables.table(signature(regions), func() (*Table, error) {
		var t *Table
		err := recoverFault(func() error {
			s, err := l.gathered()
			if err == nil {
				t, err = compileTable(l.parallelism, s, regions, l.fallback.From == "")
			}
			return err
		})
		if err != nil {
			return nil, l.databaseError(err)
		}
		return t, nil
	})
}

// maxRegions is how many regions one ranking can tell apart.
const maxRegions = 1<<16 - 1

// Compiled says that all tables needed for now are made: what only compiling
// needs is let go, and the pages of the database with it. A later Table or
// Locate works as before, and reads again what it needs; who asks for a table then
// makes it alone, for questions are answered meanwhile. Nobody may ask for one at the same time.
func (l *Locator) Compiled() {
	l.mu.Lock()
	l.sources, l.builtin, l.parallelism = nil, nil, 1
	l.mu.Unlock()
	if l.db != nil && l.db.mapped {
		_ = dropPages(l.db.data) // only a hint to the kernel
	}
}

// gathered is the sources, read when first needed.
func (l *Locator) gathered() (*sources, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources != nil {
		return l.sources, nil
	}
	s, err := l.gatherLocked()
	if err == nil {
		l.sources = s
	}
	return s, err
}

// builtinTable is the built-in table, unpacked when first needed.
func (l *Locator) builtinTable() (*builtin, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.builtinLocked()
}

func (l *Locator) builtinLocked() (*builtin, error) {
	if l.builtin == nil {
		b, err := unpackBuiltin(networksBin)
		if err != nil {
			return nil, err
		}
		l.builtin = b
	}
	return l.builtin, nil
}
