// Package zones holds what is answered: zone data, and the lookup in it.
//
// Build compiles a configuration into a Snapshot: zones from master files
// (RFC 1035), names bound to pools, and what the two make together. It checks
// while it compiles, and says every fault at once. What it keeps is made for one
// question, "what is at this name", asked millions of times a second:
//
//	            hash of the name, seeded
//	                      |
//	index   [ . . . . tag|node . . . . ]          open addressing, at most half full
//	                      |
//	nodes   [ . . {name, zone, cover, wild, sets, extra} . . ]
//	                |            |     |     |      |
//	names   [ ..3www7example3com0..    |     |      +-> bindings: pool, TTL, answers
//	                             |     |     |          or cuts: nameservers
//	zones   [ {apex, SOA, ..} ] <+     |     +-> sets [ {type, TTL, count, data} ]
//	                                   |                                     |
//	    a node: the wildcard below <---+             data [ RDLENGTH RDATA ... ]
//
// The words used: a node is a name that exists, in whichever zone; there is one
// for each name over all zones, in the closest zone that encloses it. An empty
// non-terminal is a node without data (RFC 4592 2.2.2). A cut is a name below an
// apex that has NS records: what is at and below it is another server's, all but
// its DS. A node's cover is the cut at or above it, or the DNAME above it. A
// binding is a name's pool.
//
// Because every name above a name that exists is a node too, up to the apex, a
// name that exists takes one probe of the index, and one that does not takes one
// more for each label up to its closest encloser (RFC 4592 3.3.1), which then
// says what becomes of it.
//
// The slices hold no pointers, so that the garbage collector does not walk a
// million names. Nothing changes after Build.
//
// Not here: messages, CNAME chains, EDNS (server), and which address of a pool
// is answered (pools).
package zones

import (
	"cmp"
	"hash/maphash"
	"os"
	"slices"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
	"meridian/load"
	"meridian/pools"
)

// Snapshot is a whole configuration compiled: the zones, the pools, the geo
// data. It is immutable but for the verdicts in Pools; safe for concurrent use.
type Snapshot struct {
	Config *config.Config
	Geo    *geo.Locator
	Pools  *pools.Tree

	seed      maphash.Seed // of the index; random, so that nobody can choose names that collide
	index     []uint64     // the hash's upper half as a tag, then a NodeID; 0: free; a power of two long
	maxLabels int          // of the deepest node, the root label not counted
	names     []byte       // wire form, lower case
	nodes     []node       // by NodeID; 0 stands for none
	sets      []rrset
	data      []byte
	bindings  []Binding
	boundECS  bool // the client subnet decides at one of them
	cuts      []cut
	cutGlue   []GlueID
	glue      []glue // by GlueID
	zones     []zone // by ZoneID
	masters   []string
}

// MasterFiles returns the absolute paths of all master files that were read, those that
// others include among them.
func (s *Snapshot) MasterFiles() []string {
	files := slices.Clone(s.masters)
	slices.Sort(files)
	return slices.Compact(files)
}

// NodeID is a name that exists: one with data, an empty non-terminal, or a wildcard.
type NodeID uint32

// ZoneID is a zone of the snapshot: its index in the configuration's Zones.
type ZoneID uint32

// Build compiles a configuration. Every fault of every stage (databases,
// certificates, master files) is in the one *multierror.Error that comes back;
// warnings come as config.Faults with or without an error.
func Build(cfg *config.Config) (*Snapshot, []config.Error, error) { return build(cfg, geo.Open) }

// BuildInBackground is Build for a server that answers meanwhile, by the round trips before;
// nil for none. Where the file that they are of is at fault by now they stay, and
// Geo.RefusedLatency tells. It is done on the caller's goroutine alone, which is to be on a
// thread that waits for the others.
func BuildInBackground(before *geo.Latency) Builder {
	return func(cfg *config.Config) (*Snapshot, []config.Error, error) {
		return build(cfg, func(cfg *config.Config) (*geo.Locator, error) { return geo.OpenInBackground(cfg, before) })
	}
}

// Builder is Build or what BuildBeside returns.
type Builder func(*config.Config) (*Snapshot, []config.Error, error)

func build(cfg *config.Config, open opener) (*Snapshot, []config.Error, error) {
	s, report := compile(cfg, os.DirFS(cmp.Or(cfg.Root, "/")), time.Now())
	locator, tree := compilePools(cfg, report, open)
	if err := report.join(); err != nil {
		if locator != nil {
			_ = locator.Close() // what is wrong is told already
		}
		return nil, report.warnings, err
	}
	s.Geo, s.Pools = locator, tree
	return s, report.warnings, nil
}

// opener is geo.Open or geo.OpenBeside.
type opener func(*config.Config) (*geo.Locator, error)

// compilePools compiles what lies below the zones, as far as it can: without
// geo data there is no tree, yet what is wrong with the checks is told.
func compilePools(cfg *config.Config, report *report, open opener) (*geo.Locator, *pools.Tree) {
	report.addError(health.Prepare(cfg))
	report.addError(load.Prepare(cfg))
	locator, err := open(cfg)
	if err != nil {
		report.addError(err)
		return nil, nil
	}
	if roundTrips := locator.Latency(); roundTrips != nil {
		report.warnings = append(report.warnings, roundTrips.Warnings...)
	}
	tree, err := pools.Compile(cfg, locator)
	report.addError(err)
	if tree != nil {
		report.warnOfTables(tree)
	}
	report.warnings = append(report.warnings, locator.UnknownTerms()...)
	locator.Compiled()
	return locator, tree
}

// Close lets go of files. Call it when no query reads the snapshot any more.
func (s *Snapshot) Close() error { return s.Geo.Close() }
