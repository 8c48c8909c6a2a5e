// Package geo says where a client is and which regions are near it.
package geo

import (
	"net/netip"

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
	From        string       // what placed it: "networks", "database", "built-in", "default"
	Network     netip.Prefix // the entry that placed it
}

// Locator places clients: networks first, then the database or built-in table, then the default region.
// It is immutable and safe for concurrent use until Close.
type Locator struct{}

// Open reads what cfg.Geo names. A missing, corrupt or foreign database is a config.Fault.
func Open(cfg *config.Config) (*Locator, error) { panic("skeleton") }

// Close lets go of the databases; tables made before stay valid.
func (l *Locator) Close() error { panic("skeleton") }

// Locate places addr, slowly: for explaining. Serving uses a Table.
func (l *Locator) Locate(addr netip.Addr) Location { panic("skeleton") }

// PrivateECS reports whether addr, from a client-subnet option, says nothing of
// where the client is (private, loopback, link-local, unspecified) and no entry of networks places it
// (DESIGN 5.3); scope is then the shortest prefix around addr of which that is true throughout.
func (l *Locator) PrivateECS(addr netip.Addr) (scope int, private bool) { panic("skeleton") }

// Distance is the great-circle distance in kilometres (haversine, mean Earth radius 6371.0088).
func Distance(a, b config.Location) float64 { panic("skeleton") }

// Biased is distance d in kilometres under a region's bias (DESIGN 5.1).
func Biased(d float64, bias int) float64 { panic("skeleton") }

// Table compiles, or finds already compiled, the prefix table that ranks regions (order breaks ties).
// At most 65535 regions. Locators share tables between equal calls; safe for concurrent use.
func (l *Locator) Table(regions []config.Region) (*Table, error) { panic("skeleton") }

// Table maps a client to a ranking of the regions it was compiled for (DESIGN 6). Immutable.
type Table struct{}

// Leaf is where a client falls in a Table.
type Leaf uint32

// Lookup finds the leaf of addr (IPv4-mapped addresses count as IPv4). No allocation.
func (t *Table) Lookup(addr netip.Addr) Leaf { panic("skeleton") }

// Ranking is the indices, into the regions given to Locator.Table, nearest first; all of them. Do not change it.
func (t *Table) Ranking(leaf Leaf) []uint16 { panic("skeleton") }

// Scope is the length of the shortest prefix around the leaf inside which all
// rankings share their first k+1 regions.
func (t *Table) Scope(leaf Leaf, k int) uint8 { panic("skeleton") }

// Bytes is the memory the table holds.
func (t *Table) Bytes() int { panic("skeleton") }
