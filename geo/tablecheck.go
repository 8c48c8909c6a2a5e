package geo

import (
	"errors"
	"math/bits"
)

// tableLimit limits the content of the rankings of a table: regions below a number, or matches, with lists that end in NoMatch.
type tableLimit struct {
	number  int
	matches bool
}

// Errors of a table that was not compiled by this program.
var (
	errTrieBroken     = errors.New("a trie points outside of the table")
	errRankingsBroken = errors.New("a ranking has a wrong region")
)

// check returns an error if a lookup in the table could read outside of it.
func (t *Table) check(limit tableLimit) error {
	if err := t.checkRankings(limit); err != nil {
		return err
	}
	allowed := func(region uint16) bool { return limit.allows(region) || limit.number == 0 && region == 0 }
	for _, n := range []*nearest{&t.nearest4, &t.nearest6} {
		if !n.consistent(func(l Leaf) bool { return allowed(uint16(l)) }) {
			return errTrieBroken
		}
	}
	records := uint64(len(t.leaves.flat) / t.leaves.size)
	for _, p := range []*poptrie{&t.v4, &t.v6} {
		if !p.consistent(func(l Leaf) bool { return uint64(l) < records }) {
			return errTrieBroken
		}
	}
	return nil
}

// allows reports whether a ranking may have the region, or the list the match.
func (l tableLimit) allows(region uint16) bool {
	return int(region) < l.number || l.matches && region == NoMatch
}

// checkRankings checks the rankings and the leaf records, which have their numbers.
func (t *Table) checkRankings(limit tableLimit) error {
	each := t.rankings.regions
	if t.leaves.size != 4+each || len(t.leaves.flat)%t.leaves.size != 0 || (limit.matches && each == 0) || (!limit.matches && each != limit.number) {
		return errRankingsBroken
	}
	for i, region := range t.rankings.flat {
		if !limit.allows(region) || limit.matches && i%each == each-1 && region != NoMatch {
			return errRankingsBroken
		}
	}
	return t.checkLeaves()
}

// checkLeaves checks that each leaf record has a ranking that exists. Without regions, no ranking is ever read.
func (t *Table) checkLeaves() error {
	each := uint64(t.rankings.regions)
	for at := 0; at < len(t.leaves.flat) && each > 0; at += t.leaves.size {
		if (uint64(t.leaves.ranking(Leaf(at/t.leaves.size)))+1)*each > uint64(len(t.rankings.flat)) {
			return errRankingsBroken
		}
	}
	return nil
}

// consistent reports whether every lookup ends at a leaf that is allowed. Children come after their parents, so no lookup goes in
// circles.
func (p *poptrie) consistent(allowed func(Leaf) bool) bool {
	if len(p.root) != 1<<rootBits {
		return false
	}
	for _, r := range p.root {
		if r.isLeaf() && !allowed(Leaf(r)) || !r.isLeaf() && uint64(r.index()) >= uint64(len(p.nodes)) {
			return false
		}
	}
	for i := range p.nodes {
		if n := &p.nodes[i]; !n.within(i, len(p.nodes), len(p.leaves)) {
			return false
		}
	}
	for _, leaf := range p.leaves {
		if !allowed(leaf) {
			return false
		}
	}
	return true
}

// within reports whether the i-th of the nodes of a trie points to nodes after it and to leaves that exist.
func (n *popnode) within(i, nodes, leaves int) bool {
	begins := n.starts&n.inner == 0 && (^n.inner == 0 || n.starts>>bits.TrailingZeros64(^n.inner)&1 == 1) // each leaf belongs to a run
	below, runs := uint64(bits.OnesCount64(n.inner)), uint64(bits.OnesCount64(n.starts))
	return begins && (below == 0 || uint64(n.children) > uint64(i)) &&
		uint64(n.children)+below <= uint64(nodes) && uint64(n.first)+runs <= uint64(leaves)
}
