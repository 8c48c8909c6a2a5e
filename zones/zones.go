// Package zones holds zone data and the lookup in it.
//
// Compile compiles a configuration into Data: zones from master files (RFC 1035), names bound to pools, and their
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
// Compile. Update makes other data for a dynamic update, which shares all but a few pages with the one before: see pages. Merge
// makes compact data of it again.
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
)

// Data holds the compiled zones of a configuration. It is immutable and safe for concurrent use.
type Data struct {
	config *config.Config

	seed       maphash.Seed // of the index; random, so that an attacker cannot choose colliding names
	index      []uint64     // the hash's upper half as a tag, then a NodeID; 0: free; its length is a power of two
	maxLabels  int          // of the deepest node, the root label not counted
	names      []byte       // wire form, lower case
	nodes      []node       // by NodeID; 0 means none
	spans      []span       // of the nodes before created, by zone
	created    NodeID       // the first node that an update creates
	sets       []rrset
	data       []byte
	bindings   []Binding
	boundECS   bool // the client subnet is used at one of them
	cuts       []cut
	cutGlue    []GlueID
	glue       []glue       // by GlueID
	zones      []zone       // by ZoneID
	memberSets []memberSet  // in their order
	presigned  []*Presigned // by ZoneID; nil: no zone is presigned
	masters    []string     // the paths of the files read
	parsed     *Masters
	access     []*access     // by ZoneID; nil: every zone answers all clients
	views      *views        // nil: no view is configured
	viewed     []uint32      // by ViewsID and ViewID: see InView
	copies     []*Copy       // by ZoneID; nil: no zone has primaries
	configured []ZoneSummary // of what was compiled
	live       int           // nodes in the index, of what was compiled
	updated    *pages        // what updates changed; nodes and index are then nil. nil: nothing
	merged     merged
	origin     *origin
	numbers    *numbering // of the nodes: data that updates make shares it
}

// MasterFiles returns the absolute paths of all master files that were read, including $INCLUDE files.
func (s *Data) MasterFiles() []string {
	files := slices.Clone(s.masters)
	slices.Sort(files)
	return slices.Compact(files)
}

// NodeID is a name that exists: one with data, an empty non-terminal, or a wildcard.
type NodeID uint32

// ZoneID is a zone of the snapshot: its index in the configuration's Zones.
type ZoneID uint32

// Compile compiles the zones of a configuration, and reads its master files and the copies of zones that have primaries.
// It returns nil if there are errors.
func Compile(cfg *config.Config) (*Data, *Report) { return CompileWith(cfg, nil, nil) }

// CompileWith is Compile with some copies that are in memory already, and with the master files as they were parsed before: those
// with the same content are not parsed again. Its result is that of Compile.
func CompileWith(cfg *config.Config, have Copies, before *Masters) (*Data, *Report) {
	return compileCopies(cfg, have, source{fsys: os.DirFS(cmp.Or(cfg.Root, "/")), before: before})
}

// Masters returns the master files as they were parsed, for CompileWith.
func (s *Data) Masters() *Masters { return s.parsed }

// WithCopies compiles the zones again, with these copies of zones that have primaries, and with those zones of catalogs that cfg, which is
// otherwise the configuration of s, has now. It reads no master file: they are as they were when s was compiled.
func (s *Data) WithCopies(cfg *config.Config, have Copies) (*Data, *Report) {
	if !hasPrimaries(s.config) {
		return s, &Report{cfg: s.config}
	}
	return compileCopies(cfg, have, source{before: s.parsed, frozen: true})
}

// hasPrimaries reports whether any zone has primaries.
func hasPrimaries(cfg *config.Config) bool {
	for i := range cfg.Zones {
		if len(cfg.Zones[i].Primaries) > 0 {
			return true
		}
	}
	return false
}

// compileCopies compiles the zones with copies, those in memory and those that are read.
func compileCopies(cfg *config.Config, have Copies, from source) (*Data, *Report) {
	copies, unreadable := ReadCopies(cfg, have)
	from.copies = copies
	data, report := compileFrom(cfg, from, time.Now())
	report.AddWarnings(unreadable...)
	return data, report
}
