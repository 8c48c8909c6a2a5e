package zones

import (
	"slices"
	"sync"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// numbering is shared by data and all data that updates make of it. It finds the delegations to a
// nameserver, so that a change of its address does not look at all names. It may have more than exist.
type numbering struct {
	mu     sync.Mutex // updates are made one after the other; guards the fields below
	known  bool
	sorted []delegation // by nameserver
	more   map[uint64][]NodeID
}

// delegation is a nameserver of a cut.
type delegation struct {
	host uint64 // a hash of its name
	cut  NodeID
}

// number begins another numbering. All nodes are those of the slice.
func (s *Data) number() {
	s.spans, s.created, s.numbers = spansOf(s.nodes), NodeID(len(s.nodes)), new(numbering)
	s.live = 0
	for i := 1; i < len(s.nodes); i++ {
		if !s.nodes[i].flags.has(isAbove) && !s.nodes[i].flags.has(isHashed) {
			s.live++
		}
	}
}

// inUse reports whether servedBy was called.
func (n *numbering) inUse() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known
}

// find is findLocked.
func (n *numbering) find(s *Data) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.findLocked(s)
}

// origin is what was compiled once.
type origin struct{ _ byte }

// SameOrigin reports whether updates and merges alone make one of the other.
func (s *Data) SameOrigin(other *Data) bool { return s.origin == other.origin }

// noteCut records the nameservers of a new cut.
func (n *numbering) noteCut(s *Data, cut NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known {
		return // servedBy will find them
	}
	for host := range s.hostsOf(cut) {
		if !slices.Contains(n.cutsLocked(host), cut) {
			n.more[host] = append(n.more[host], cut)
		}
	}
}

// hostsOf yields the hashes of the nameservers of a cut.
func (s *Data) hostsOf(cut NodeID) func(yield func(uint64) bool) {
	set, _ := s.RRset(cut, dns.TypeNS)
	return func(yield func(uint64) bool) {
		for rdata := range set.rdata {
			if !yield(s.hash(dnsname.Wire(rdata).Folded())) {
				return
			}
		}
	}
}

// servedBy returns the cuts with a nameserver. The first call looks at all nodes.
func (n *numbering) servedBy(s *Data, host dnsname.Wire) (cuts []NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known {
		n.findLocked(s)
	}
	hash := s.hash(host)
	for _, cut := range n.cutsLocked(hash) {
		if cut < s.count() && s.node(cut).flags.has(isCut) && slices.Contains(slices.Collect(s.hostsOf(cut)), hash) {
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

func (n *numbering) findLocked(s *Data) {
	n.known, n.more = true, map[uint64][]NodeID{}
	for id := NodeID(1); id < s.count(); id++ {
		if !s.node(id).flags.has(isCut) {
			continue
		}
		for host := range s.hostsOf(id) {
			n.sorted = append(n.sorted, delegation{host, id})
		}
	}
	slices.SortFunc(n.sorted, func(a, b delegation) int { return compareHosts(a, b.host) })
}

func compareHosts(d delegation, host uint64) int {
	switch {
	case d.host < host:
		return -1
	case d.host > host:
		return 1
	}
	return 0
}

// cutsLocked returns the cuts that have, or had, a nameserver.
func (n *numbering) cutsLocked(host uint64) (cuts []NodeID) {
	at, _ := slices.BinarySearchFunc(n.sorted, host, compareHosts)
	for ; at < len(n.sorted) && n.sorted[at].host == host; at++ {
		cuts = append(cuts, n.sorted[at].cut)
	}
	return append(cuts, n.more[host]...)
}
