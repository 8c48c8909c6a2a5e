package geo

import "math/bits"

// nearest maps a client to the first region of its ranking and the scope. A decision needs no more while that region
// is up. Leaves that differ only in later regions or their scopes are one leaf here. So it has a third of the size,
// and lookups are bound by memory.
//
// It stores scopes only in the root. Elsewhere a run of slots with one region has maximal length, so the scope
// follows from its two ends.
type nearest struct{ poptrie }

// A leaf of nearest has the region in its lower half and, in the root only, the scope above that. privateFlag
// separates private leaves from public ones.
const rootScope = 16

// lookup returns the nearest region of k and the scope of an answer from there.
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

// block returns the number of node bits that lead to the largest aligned block of slots around slot within its run.
// It is one more than the bits that slot shares with the slot before the run and the one after it. At least one of
// them exists: a node with a single run would be a leaf above.
func (n *popnode) block(slot, bit uint64) uint8 {
	edges := n.starts | n.inner | n.inner<<1
	upTo := bit<<1 - 1
	before := uint64(bits.Len64(edges&upTo|1)) - 2        // beyond all slots if the run is the first
	behind := uint64(bits.TrailingZeros64(edges &^ upTo)) // beyond all slots if the run is the last
	apart := min(bits.Len64(slot^before), bits.Len64(slot^behind))
	return uint8(stride + 1 - apart)
}

// newNearest builds the nearest table of a merged trie. Its leaves are rankings, with privateFlag where private.
func newNearest(t *trie, root ref, r *rankings) nearest {
	first, root := t.project(root, func(leaf ref) ref { return r.first(leaf&^privateFlag) | leaf&privateFlag })
	n := nearest{newPoptrie(first, root)}
	first.setScopes(n.root, root, 0)
	return n
}

// first returns the first region of a ranking. It returns 0 without regions, when no caller uses the result.
func (r *rankings) first(ranking ref) ref {
	if r.regions == 0 {
		return 0
	}
	return ref(r.of(uint32(ranking))[0])
}

// project returns the trie of root with to applied to each leaf.
func (t *trie) project(root ref, to func(leaf ref) ref) (*trie, ref) {
	projected := &trie{}
	at := make([]ref, len(t.halves)) // by inner node: its new node
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

// setScopes stores in the leaf slots of the root their depth in the trie below r, a prefix of depth bits.
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
