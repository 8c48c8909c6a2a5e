// Package geo locates clients and ranks regions by proximity.
//
// A [Locator] has four sources. The first one with a location for the client is used:
//
//	networks   the operator's own entries; the longest prefix wins
//	database   a City or Country file in MaxMind's format
//	built-in   a table network -> country that is part of the program
//	default    the default region
//
// A client's location is the coordinates from the source, or else the centre of population of the country. It is
// never 0,0 as a placeholder. Locate returns it slowly, for explanations.
//
// The server uses a [Table], compiled from the same sources for one set of regions:
//
//	sources -> places -> rankings        every distinct place ranks the regions once (rank)
//	        \-> merged trie of rankings  one walk over all sources (compiler)
//	              -> nearest             the first region of each ranking, small
//	              -> leaves with scopes  (leafBuilder)
//	                  -> poptrie         a few reads for each lookup
//
// A leaf of a table holds a ranking of all regions, nearest first, and for each position the ECS scope of an answer
// from there. So a health state change does not change the table.
//
// With measured round trips (Latency), LatencyTable ranks by those, and by distance for the rest. Estimates returns
// the same slowly.
//
// The matches of a geolocation pool also have a table, with lists of matches instead of rankings (Matches). Matching
// returns the same slowly.
//
// The package does not depend on pools, members or health.
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"meridian/config"
)

// Location is the location of a client.
type Location struct {
	Continent   string // two letters; may be empty
	Country     string // ISO 3166-1 alpha-2; may be empty
	Subdivision string // ISO 3166-2, e.g. US-CA; may be empty
	City        string
	ASN         uint32 // 0: unknown
	Lat, Lon    float64
	Imprecise   int          // the accuracy radius of the database's record in km, if it is too large to use the coordinates; else 0
	From        string       // its source: "networks", "database", "built-in", "default"; empty: no source, and there is no region
	Network     netip.Prefix // the matching entry; zero for the default
}

// The sources, as in Location.From.
const (
	fromNetworks = "networks"
	fromDatabase = "database"
	fromBuiltin  = "built-in"
	fromDefault  = "default"
)

// Locator locates clients: first by networks, then by the database or built-in table, then by the default region. It
// is immutable and safe for concurrent use until Close.
type Locator struct {
	cfg         *config.Config // for errors
	parallelism parallelism
	centroids   centroids
	networks    *networks
	db          *database    // nil without one
	schema      schema       // of db
	asn         *asnFile     // nil without one
	latency     *Latency     // nil without one
	refused     rejectedFile // of the latency file
	cities      bool         // whether a match of the configuration names a city; otherwise places have no city
	fallback    Location     // location of all other clients; From is empty if there is no region
	tables      tables

	mu      sync.Mutex
	builtin *builtin // nil until needed
	sources *sources // nil until needed

	databaseDigest tableKey // zero without a database
	keptMu         sync.Mutex
	kept           []keptTable // guarded by keptMu
	notLoaded      string      // why the file of a table was not used; guarded by keptMu
}

// Open reads the sources of cfg.Geo. A missing, corrupt or unsupported database is a config.Error.
func Open(cfg *config.Config) (*Locator, error) { return open(cfg, maxParallelism(), nil) }

func open(cfg *config.Config, m parallelism, before *Latency) (*Locator, error) {
	a, err := parseCentroids(placesTSV)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded centroids: %w", err)
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
	cfg.SortErrors(faults)
	faults = append(faults, l.firstLatency(before)...) // firstLatency depends on the ASN file
	if len(faults) > 0 {
		_ = l.Close() // the other errors explain more
		return nil, config.Join(faults)
	}
	return l, nil
}

// openDatabase opens the file and reads all of it once, to find errors now, unless the same content has been read before.
func (l *Locator) openDatabase(name string) error {
	if name == "" {
		return nil
	}
	return recoverFault(func() (err error) {
		if l.db, err = openDatabase(name); err != nil {
			return err
		}
		digest, ok := l.db.digest()
		if !ok {
			return errOverwritten
		}
		l.databaseDigest = digest
		known, ok := sharedSchema(digest)
		if !ok {
			known, ok = l.folder().schema(digest)
		}
		if ok {
			l.schema = schemas()[known]
			shareSchema(digest, known)
			return nil
		}
		_, err = l.gathered() // also finds the schema
		return err
	})
}

func (l *Locator) databaseError(err error) config.Error {
	return l.cfg.ErrorAt(l.cfg.Geo.DatabasePos, "geo.database", fmt.Sprintf("%q %s", l.cfg.Geo.Database, err),
		"name a City or Country file in MaxMind's format, such as GeoLite2-City.mmdb, or leave the key out for the built-in table")
}

// Close closes the databases. Existing tables stay valid. No Locate or Table may run concurrently or later.
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

// Built returns when the database files were built, by their key in the configuration; a missing file has no entry.
func (l *Locator) Built() map[string]time.Time {
	built := map[string]time.Time{}
	if l.db != nil {
		built["database"] = time.Unix(int64(l.db.reader.Metadata.BuildEpoch), 0)
	}
	if l.asn != nil {
		built["asn"] = time.Unix(int64(l.asn.reader.Metadata.BuildEpoch), 0)
	}
	return built
}

// Locate returns the location of addr. It is slow and only for explanations; the server uses a Table.
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

// inDatabase looks k up in the database. It finds nothing if the file can no longer be read.
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
			return err // Open has read every record, so the file has been replaced since
		}
		at, ok = l.centroids.standing(e)
		at.From, at.Network = fromDatabase, k.prefix(v4, depth)
		return nil
	})
	return at, ok && err == nil
}

// inBuiltin looks k up in the built-in table.
func (l *Locator) inBuiltin(k key, v4 bool) (Location, bool) {
	b, err := l.builtinTable()
	if err != nil {
		return Location{}, false // the table is embedded, and a test unpacks it
	}
	value, depth := b.find(*b.of(v4), k)
	if value == 0 {
		return Location{}, false
	}
	at, ok := l.centroids.country(b.countries[value-1])
	at.From, at.Network = fromBuiltin, k.prefix(v4, depth)
	return at, ok
}

// PrivateECS reports whether addr, from a client-subnet option, is useless as a location: private, loopback,
// link-local or unspecified, and not in networks (RFC 7871, section 11.1). scope is then the shortest prefix around
// addr that is entirely private.
func (l *Locator) PrivateECS(addr netip.Addr) (scope int, private bool) {
	k, v4 := keyOf(addr)
	value, depth := l.networks.find(*l.networks.of(v4), k)
	if ref(value) != privateRange {
		return 0, false
	}
	return depth, true
}

// Table compiles the prefix table that ranks regions, or returns a compiled one. The order of regions breaks ties. It
// accepts at most 65535 regions. Equal calls share a table, also those of other Locators with equal sources. It is
// safe for concurrent use.
func (l *Locator) Table(regions []config.Region) (*Table, error) {
	if len(regions) > maxRegions {
		return nil, fmt.Errorf("%d regions in one pool, at most %d can be ranked", len(regions), maxRegions)
	}
	return l.tables.table(signature(regions), func() (*Table, error) {
		return l.obtain(l.rankingKey(regions), tableLimit{number: len(regions)}, func() (*Table, error) { return l.compileTable(regions) })
	})
}

// compileTable compiles the table that ranks regions.
func (l *Locator) compileTable(regions []config.Region) (t *Table, err error) {
	err = recoverFault(func() error {
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
}

// maxRegions is the largest number of regions in one ranking.
const maxRegions = 1<<16 - 1

// ReleaseBuildData releases the memory that only compiling needs, and the pages of the database. A later Table or Locate
// still works and reads the sources again. From then on one goroutine compiles a table alone, because the server
// answers queries at the same time. No other call for a table may run concurrently.
func (l *Locator) ReleaseBuildData() {
	l.mu.Lock()
	l.sources, l.builtin, l.parallelism = nil, nil, 1
	l.mu.Unlock()
	if l.db != nil && l.db.mapped {
		_ = dropPages(l.db.data) // only a hint to the kernel
	}
}

// gathered returns the sources and reads them on first use.
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

// builtinTable returns the built-in table and unpacks it on first use.
func (l *Locator) builtinTable() (*builtin, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.builtinLocked()
}

func (l *Locator) builtinLocked() (*builtin, error) {
	if l.builtin == nil {
		b, err := loadBuiltin()
		if err != nil {
			return nil, err
		}
		l.builtin = b
	}
	return l.builtin, nil
}
