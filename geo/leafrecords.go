package geo

import (
	"encoding/binary"
	"slices"
)

// leafRecords holds each distinct leaf record once: four bytes for the number of a ranking, then one scope for each
// position of it. All data of one answer is adjacent, because cache misses dominate a lookup.
type leafRecords struct {
	size int // bytes of a record
	flat []byte
}

func (l *leafRecords) ranking(leaf Leaf) uint32 {
	return binary.NativeEndian.Uint32(l.flat[int(leaf)*l.size:])
}

func (l *leafRecords) scope(leaf Leaf, k int) uint8 {
	return l.flat[int(leaf)*l.size+4+k]
}

// leafBuilder replaces the rankings at the leaves of a merged trie by numbers of leaf records.
//
// The scope of position k is the length of the shortest prefix around the leaf inside which all rankings share their
// first k+1 regions. Two passes over the trie find it. The upward pass counts the regions that all leaves of a node
// share (shared). In the downward pass, a node at depth d that shares n regions while its parent shares p < n sets
// the scope d of positions p to n-1 for all leaves below it.
type leafBuilder struct {
	leafRecords
	rankings rankings
	numbers  map[label]uint32     // of existing leaf records
	recent   [1 << 12]internEntry // a cache of numbers: with a City database, five of six lookups hit it
	paths    map[label]uint32     // of existing paths
	path     []uint8              // scopes set by the nodes on the way down

	*trie              // of the family being labelled
	shared     []int32 // regions that all leaves below an inner node share
	sampleLeaf []ref   // any leaf below it
}

// label identifies a leaf record or a path with few bytes. A path is the previous path and a node that sets further
// scopes, the first n, to its depth. A leaf record is a path and its final leaf, with depth and ranking.
type label struct{ path, depth, n uint32 }

// internEntry holds a label and its number.
type internEntry struct {
	label
	number uint32
	used   bool
}

func newLeafBuilder(r rankings) *leafBuilder {
	return &leafBuilder{
		leafRecords: leafRecords{size: 4 + r.regions},
		rankings:    r,
		numbers:     map[label]uint32{},
		paths:       map[label]uint32{{}: 0},
		path:        make([]uint8, r.regions),
	}
}

// label labels the leaves of t and returns its root.
func (l *leafBuilder) label(t *trie, root ref) ref {
	l.trie = t
	l.shared = slices.Grow(l.shared[:0], len(t.halves))
	l.sampleLeaf = slices.Grow(l.sampleLeaf[:0], len(t.halves))
	for _, h := range t.halves {
		shared := min(l.sharedBelow(h[0]), l.sharedBelow(h[1]), l.common(l.leafOf(h[0]), l.leafOf(h[1])))
		l.shared = append(l.shared, int32(shared))
		l.sampleLeaf = append(l.sampleLeaf, l.leafOf(h[0]))
	}
	return l.descend(root, cursor{})
}

// sharedBelow returns the number of regions that all leaves below r share.
func (l *leafBuilder) sharedBelow(r ref) int {
	if r.isLeaf() {
		return l.rankings.regions
	}
	return int(l.shared[r.index()])
}

// leafOf returns a leaf below r.
func (l *leafBuilder) leafOf(r ref) ref {
	if r.isLeaf() {
		return r
	}
	return l.sampleLeaf[r.index()]
}

// common returns the number of regions that two leaves share. A private leaf shares none with a public one, because
// the address of a private client subnet is not used for the decision.
func (l *leafBuilder) common(a, b ref) int {
	if (a^b)&privateFlag != 0 {
		return 0
	}
	return l.rankings.shared(uint32(a&^privateFlag), uint32(b&^privateFlag))
}

// cursor is the position of descend: its depth, the number of scopes set, and the path.
type cursor struct{ depth, set, path uint32 }

// descend labels the leaves below r.
func (l *leafBuilder) descend(r ref, w cursor) ref {
	if r.isLeaf() {
		return ref(l.record(w, uint32(r&^privateFlag)))
	}
	if shared := uint32(l.shared[r.index()]); shared > w.set {
		l.fill(w, shared)
		w.path = number(l.paths, label{w.path, w.depth, shared})
		w.set = shared
	}
	h := &l.halves[r.index()]
	w.depth++
	h[0] = l.descend(h[0], w)
	h[1] = l.descend(h[1], w)
	return r
}

// fill sets the scopes from w.set up to the n-th.
func (l *leafBuilder) fill(w cursor, n uint32) {
	for k := w.set; k < n; k++ {
		l.path[k] = uint8(w.depth)
	}
}

// record returns the number of the leaf record with this ranking at w.
func (l *leafBuilder) record(w cursor, ranking uint32) uint32 {
	what := label{w.path, w.depth, ranking}
	hash := (uint64(what.path)<<32 ^ uint64(what.depth)<<24 ^ uint64(what.n)) * 0x9e3779b97f4a7c15
	recent := &l.recent[hash>>52]
	if recent.used && recent.label == what {
		return recent.number
	}
	n := number(l.numbers, what)
	*recent = internEntry{what, n, true}
	if int(n)*l.size == len(l.flat) {
		l.fill(w, uint32(l.rankings.regions))
		l.flat = binary.NativeEndian.AppendUint32(l.flat, ranking)
		l.flat = append(l.flat, l.path...)
	}
	return n
}

// number returns the number of a label, new or existing.
func number(numbers map[label]uint32, what label) uint32 {
	n, ok := numbers[what]
	if !ok {
		n = uint32(len(numbers))
		numbers[what] = n
	}
	return n
}
