// Package zones holds zone data and the lookup in it.
//
// Build compiles a configuration into a Snapshot: zones from master files (RFC 1035), names bound to pools, and their
// combination. It checks while it compiles, and returns all errors at once. The data is optimized for one query, "the
// records at this name", millions of times a second:
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
// Terms: a node is a name that exists in any zone. Each name has one node over all zones, in the closest enclosing
// zone. An empty non-terminal is a node without data (RFC 4592 2.2.2). A cut is a name below an apex that has NS
// records: another server answers at and below it, except for its DS. A node's cover is the cut at or above it, or
// the DNAME above it. A binding is a name's pool.
//
// Every name above an existing name, up to the apex, is also a node. So an existing name needs one probe of the
// index. A missing name needs one more for each label up to its closest encloser (RFC 4592 3.3.1), which then
// determines the outcome.
//
// The slices have no pointers, so that the garbage collector does not scan a million names. Nothing changes after
// Build.
//
// Messages, CNAME chains and EDNS belong to package server, and the choice of a pool's address to package pools.
package zones

import (
	"cmp"
	"hash/maphash"
	"os"
	"slices"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/health/probe"
	"meridian/load"
	"meridian/pools"
)

// Snapshot is a compiled configuration: the zones, the pools, the geo data. It is immutable except for the health
// states in Pools, and safe for concurrent use.
type Snapshot struct {
	Config *config.Config
	Geo    *geo.Locator
	Pools  *pools.Tree

	seed      maphash.Seed // of the index; random, so that an attacker cannot choose colliding names
	index     []uint64     // the hash's upper half as a tag, then a NodeID; 0: free; its length is a power of two
	maxLabels int          // of the deepest node, the root label not counted
	names     []byte       // wire form, lower case
	nodes     []node       // by NodeID; 0 means none
	sets      []rrset
	data      []byte
	bindings  []Binding
	boundECS  bool // the client subnet is used at one of them
	cuts      []cut
	cutGlue   []GlueID
	glue      []glue // by GlueID
	zones     []zone // by ZoneID
	masters   []string
}

// MasterFiles returns the absolute paths of all master files that were read, including $INCLUDE files.
func (s *Snapshot) MasterFiles() []string {
	files := slices.Clone(s.masters)
	slices.Sort(files)
	return slices.Compact(files)
}

// NodeID is a name that exists: one with data, an empty non-terminal, or a wildcard.
type NodeID uint32

// ZoneID is a zone of the snapshot: its index in the configuration's Zones.
type ZoneID uint32

// Build compiles a configuration. The returned *multierror.Error holds every error of every stage (databases,
// certificates, master files). Warnings are config.Errors, with or without an error.
func Build(cfg *config.Config) (*Snapshot, []config.Error, error) { return build(cfg, geo.Open) }

// BuildInBackground returns a Build for a server that answers queries at the same time. before is the latency table
// in use, or nil. It is kept if its file is now invalid, and Geo.RefusedLatency returns the reason. The build runs on
// the caller's goroutine only, whose thread should have a low priority.
func BuildInBackground(before *geo.Latency) Builder {
	return func(cfg *config.Config) (*Snapshot, []config.Error, error) {
		return build(cfg, func(cfg *config.Config) (*geo.Locator, error) { return geo.OpenInBackground(cfg, before) })
	}
}

// Builder is Build or a result of BuildInBackground.
type Builder func(*config.Config) (*Snapshot, []config.Error, error)

func build(cfg *config.Config, open opener) (*Snapshot, []config.Error, error) {
	s, report := compile(cfg, os.DirFS(cmp.Or(cfg.Root, "/")), time.Now())
	locator, tree := compilePools(cfg, report, open)
	if err := report.join(); err != nil {
		if locator != nil {
			_ = locator.Close() // the errors are reported already
		}
		return nil, report.warnings, err
	}
	s.Geo, s.Pools = locator, tree
	return s, report.warnings, nil
}

// opener is geo.Open or a geo.OpenInBackground with a latency table.
type opener func(*config.Config) (*geo.Locator, error)

// compilePools compiles pools and geo data as far as possible. Without geo data there is no tree, but errors in the
// checks are still reported.
func compilePools(cfg *config.Config, report *report, open opener) (*geo.Locator, *pools.Tree) {
	report.addError(probe.Verify(cfg))
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

// Close closes the snapshot's files. Call it when no query reads the snapshot any more.
func (s *Snapshot) Close() error { return s.Geo.Close() }
