package geo

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"weak"
)

// digest identifies all inputs of a table.
type digest [sha256.Size]byte

// sharedTables holds the tables that were compiled without a database, for as long as a snapshot uses them. A reload that
// changes none of geo, regions and matches compiles no table. A table from a database is not shared, because the inputs are
// too large to compare.
var sharedTables struct {
	sync.Mutex
	of map[digest]weak.Pointer[Table]
}

// shared returns the table with a signature that another Locator with equal inputs has compiled, or calls compile.
func (l *Locator) shared(signature string, compile func() (*Table, error)) (*Table, error) {
	if l.db != nil || l.asn != nil {
		return compile()
	}
	key := l.digest(signature)
	if t := sharedTable(key); t != nil {
		return t, nil
	}
	t, err := compile()
	if err == nil {
		shareTable(key, t)
	}
	return t, err
}

// digest returns the digest of what the table with a signature depends on without a database. The built-in table is the same
// for all.
func (l *Locator) digest(signature string) (sum digest) {
	h := sha256.New()
	fmt.Fprintf(h, "%s;%s;", signature, describeInputs(l.fallback))
	for _, e := range l.networks.entries {
		fmt.Fprintf(h, "%s;", describeInputs(e))
	}
	for _, g := range l.cfg.Geo.Groups {
		fmt.Fprintf(h, "%q %q;", g.Name, g.Countries)
	}
	h.Sum(sum[:0])
	return sum
}

// describeInputs returns the same string for locations that count as one when a table is compiled.
func describeInputs(at Location) string {
	return fmt.Sprintf("%s %q %q %q %q %x %x %q", at.Network, at.Continent, at.Country, at.Subdivision, at.City, at.Lat, at.Lon, at.From)
}

// sharedTable returns the table of key, or nil if nothing uses it.
func sharedTable(key digest) *Table {
	sharedTables.Lock()
	defer sharedTables.Unlock()
	return sharedTables.of[key].Value()
}

// shareTable makes t the table of key until nothing uses it.
func shareTable(key digest, t *Table) {
	sharedTables.Lock()
	defer sharedTables.Unlock()
	if sharedTables.of == nil {
		sharedTables.of = map[digest]weak.Pointer[Table]{}
	}
	sharedTables.of[key] = weak.Make(t)
	runtime.AddCleanup(t, forgetTable, key)
}

// forgetTable removes the table of key, unless it was compiled again since.
func forgetTable(key digest) {
	sharedTables.Lock()
	defer sharedTables.Unlock()
	if sharedTables.of[key].Value() == nil {
		delete(sharedTables.of, key)
	}
}
