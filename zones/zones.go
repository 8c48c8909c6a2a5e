// Package zones holds what is answered: zone data, and the lookup in it.
package zones

import (
	"github.com/miekg/dns"

	"meridian/config"
	"meridian/geo"
	"meridian/pools"
)

// Snapshot is a whole configuration compiled: the zones, the pools, the geo
// data. It is immutable but for the verdicts in Pools; safe for concurrent use.
type Snapshot struct {
	Config *config.Config
	Geo    *geo.Locator
	Pools  *pools.Tree
}

// Build compiles a configuration. Every fault of every stage (databases,
// certificates, master files) is in the one *multierror.Error that comes back;
// warnings come as config.Faults with or without an error.
func Build(cfg *config.Config) (*Snapshot, []config.Fault, error) { panic("skeleton") }

// Close lets go of files. Call it when no query reads the snapshot any more.
func (s *Snapshot) Close() error { panic("skeleton") }

// NodeID is a name that exists: one with data, an empty non-terminal, or a wildcard.
type NodeID uint32

// ZoneID is a zone of the snapshot.
type ZoneID uint32

// Kind is what a lookup found.
type Kind uint8

// The kinds, each the DNS outcome it leads to.
const (
	Refused  Kind = iota // no zone of ours holds the name
	Exact                // Node is the name itself
	Wildcard             // Node is the wildcard that covers the name (RFC 4592)
	NXDomain             // neither the name nor anything below it exists
	Referral             // Node is the zone cut at or above the name
	DName                // Node, above the name, has a DNAME (RFC 6672)
)

// Match is the outcome of a lookup by name.
type Match struct {
	Kind Kind
	Zone ZoneID
	Node NodeID
}

// Lookup finds name, in wire form and lower case. No allocation, no lock.
// A DS question at a cut belongs to the parent: it is Exact there (RFC 4035 3.1.4.1), so Lookup takes the type.
func (s *Snapshot) Lookup(name []byte, qtype uint16) Match { panic("skeleton") }

// Binding is a name's pool.
type Binding struct {
	Pool    pools.ID
	TTL     uint32
	Answers int
}

// Balanced tells the pool that answers A and AAAA at node.
func (s *Snapshot) Balanced(node NodeID) (Binding, bool) { panic("skeleton") }

// RRset is pre-rendered: Data holds Count times RDLENGTH RDATA (uncompressed) in a row.
type RRset struct {
	Type  uint16
	TTL   uint32
	Count int
	Data  []byte // do not change
}

// RRset finds the static records of a type at node.
func (s *Snapshot) RRset(node NodeID, qtype uint16) (RRset, bool) { panic("skeleton") }

// RRsets lists all static record sets at node (for ANY); balanced A and AAAA are not among them.
func (s *Snapshot) RRsets(node NodeID) []RRset { panic("skeleton") }

// RRs unpacks an RRset for the full path.
func (set RRset) RRs(owner string) []dns.RR { panic("skeleton") }

// Negative is the SOA of a zone as negative answers carry it, TTL = min(SOA TTL, SOA minimum) (RFC 2308 3).
func (s *Snapshot) Negative(zone ZoneID) RRset { panic("skeleton") }

// Apex is a zone's name in wire form. Do not change it.
func (s *Snapshot) Apex(zone ZoneID) []byte { panic("skeleton") }

// NodeName is a node's name in wire form. Do not change it.
func (s *Snapshot) NodeName(node NodeID) []byte { panic("skeleton") }

// Glue is the additional section of a referral at node: whole records in wire form, uncompressed owner names.
func (s *Snapshot) Glue(node NodeID) (count int, records []byte) { panic("skeleton") }
