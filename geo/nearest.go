package geo

import "math/bits"

// nearest finds no more than the first region of a ranking and its scope, which
// is all that a decision needs while that region is up. Where Table's leaves differ
// in the regions behind the first or in their scopes they are one here, so it is a
// third of the size, and what a lookup waits for is memory.
//
// It keeps no scopes, but for those in the root: a run of slots with one region is
// as long as it can be, so the scope follows from where the run begins and ends.
type nearest struct{ poptrie }

// A leaf of nearest has the region in its lower half and, in the root only, the
// scope above that. apartFlag keeps private leaves and public ones in different runs.
const rootScope = 16

// lookup is the nearest region of k, and the scope of an answer from there.
func (p *nearest) lookup(k key) (region uint16, scope uint8) {
	r := p.root[k.hi>>(64-rootBits)]
	if r.isLeaf() {
		return uint16(r), uint8(r >> rootScope)
	}
	n := &p.nodes[r.index()]
	word, rest := k.hi<<rootBits|k.lo>>(64-rootBits), k.lo<<rootBits
	depth := uint8(rootBits)
	for {
		slot := word >> (64 - stride)
		bit := uint64(1) << slot
		if n.inner&bit == 0 {
			return uint16(p.leaves[n.leaf(bit)]), depth + n.block(slot, bit)
		}
		n = &p.nodes[n.child(bit)]
		word, rest = word<<stride|rest>>(64-stride), rest<<stride
		depth += stride
	}
}

// block is how many bits of the node lead to the largest aligned block of slots
// around slot that lies within its run: one bit more than slot has in common with
// the slot before the run and with the one behind it. There is at least one of
// these: a node that is all one run would be a leaf above.
func (n *popnode) block(slot, bit uint64) uint8 {
	edges := n.starts | n.inner | n.inner<<1
	upTo := bit<<1 - 1
	before := uint64(bits.Len64(edges&upTo|1)) - 2        // beyond all slots where the run is the first
	behind := uint64(bits.TrailingZeros64(edges &^ upTo)) // likewise, where it is the last
	apart := min(bits.Len64(slot^before), bits.Len64(slot^behind))
	return uint8(stride + 1 - apart)
}

// newNearest makes the nearest of a merged trie, whose leaves are rankings with
// apartFlag where private.
func newNearest(t *trie, root ref, r *rankings) nearest {
	first, root := t.project(root, func(leaf ref) ref { return r.first(leaf&^privateFlag) | leaf&privateFlag })
	n := nearest{newPoptrie(first, root)}
	first.setScopes(n.root, root, 0)
	return n
}

// first is the first region of a ranking; 0 where there are no regions, and nobody asks.
func (r *rankings) first(ranking ref) ref {
	if r.regions == 0 {
		return 0
	}
	return ref(r.of(uint32(ranking))[0])
}

// project is the trie of root with to of each leaf in its place.
func (t *trie) project(root ref, to func(leaf ref) ref) (*trie, ref) {
	projected := &trie{}
	at := make([]ref, len(t.halves)) // by inner node: what has become of it
	of := func(r ref) ref {
		if r.isLeaf() {
			return to(r)
		}
		return at[r.index()]
	}
	for i, h := range t.halves { // children come before their parents
		at[i] = projected.join(of(h[0]), of(h[1]))
	}
	return projected, of(root)
}

// setScopes notes in those slots of the root that are leaves how deep they lie in
// the trie below r, a prefix of depth bits.
func (t *trie) setScopes(slots []ref, r ref, depth int) {
	switch {
	case r.isLeaf():
		for i := range slots {
			slots[i] |= ref(depth) << rootScope
		}
	case len(slots) > 1:
		half := len(slots) / 2
		a, b := t.split(r)
		t.setScopes(slots[:half], a, depth+1)
		t.setScopes(slots[half:], b, depth+1)
	}
}
