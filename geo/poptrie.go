package geo

import (
	"math/bits"
	"slices"
)

// poptrie finds the leaf of an address in a few reads of memory. The first 18
// bits index an array; below it are nodes of 64 slots, 6 bits each, that keep two
// bit maps and count bits instead of 64 pointers (Asai and Ohara, "Poptrie",
// SIGCOMM 2015):
//
//	root[first 18 bits]  a leaf, or with the top bit set the index of a node
//	node.inner           which slots lead to another node: nodes[children + those before]
//	node.starts          which slots begin a run of equal leaves: leaves[first + runs up to here - 1]
//
// It has three slices and no pointers in them: the collector sees nothing to do.
type poptrie struct {
	root   []ref
	nodes  []popnode
	leaves []Leaf
}

type popnode struct {
	inner    uint64
	starts   uint64
	children uint32
	first    uint32
}

const (
	rootBits = 18
	stride   = 6
	slots    = 1 << stride
)

// lookup is the leaf of k; past the end of an address are zeros.
func (p *poptrie) lookup(k key) Leaf {
	r := p.root[k.hi>>(64-rootBits)]
	if r.isLeaf() {
		return Leaf(r)
	}
	n := &p.nodes[r.index()]
	word, rest := k.hi<<rootBits|k.lo>>(64-rootBits), k.lo<<rootBits
	for {
		bit := uint64(1) << (word >> (64 - stride))
		if n.inner&bit == 0 {
			return p.leaves[n.leaf(bit)]
		}
		n = &p.nodes[n.child(bit)]
		word, rest = word<<stride|rest>>(64-stride), rest<<stride
	}
}

// leaf is where the leaf of the slot of bit is, which leads nowhere further.
func (n *popnode) leaf(bit uint64) uint32 {
	return n.first + uint32(bits.OnesCount64(n.starts&(bit<<1-1))) - 1
}

// child is where the node is that the slot of bit leads to.
func (n *popnode) child(bit uint64) uint32 {
	return n.children + uint32(bits.OnesCount64(n.inner&(bit-1)))
}

// newPoptrie packs the labelled trie under root.
func newPoptrie(t *trie, root ref) poptrie {
	b := popBuilder{trie: t, seen: map[uint64]uint32{}}
	b.root = make([]ref, 1<<rootBits)
	b.spread(b.root, root)
	for i, r := range b.root {
		if !r.isLeaf() {
			n := b.reserve(1)
			b.root[i] = inner | ref(n)
			b.fill(n, r)
		}
	}
	return poptrie{b.root, slices.Clone(b.nodes), slices.Clone(b.leaves)} // without the room that growing left
}

type popBuilder struct {
	poptrie
	*trie
	seen map[uint64]uint32 // where a sequence of leaves is, by its hash
}

// intern is where the leaves stand in a row; a third of all rows are there already.
func (b *popBuilder) intern(row []Leaf) uint32 {
	hash := uint64(len(row))
	for _, leaf := range row {
		hash = bits.RotateLeft64((hash^uint64(leaf))*0x9e3779b97f4a7c15, 29)
	}
	if at, ok := b.seen[hash]; ok && int(at)+len(row) <= len(b.leaves) && slices.Equal(b.leaves[at:int(at)+len(row)], row) {
		return at
	}
	at := uint32(len(b.leaves))
	b.seen[hash] = at
	b.leaves = append(grown(b.leaves, len(row)), row...)
	return at
}

// spread writes to each slot of the root what is below r there.
func (b *popBuilder) spread(slots []ref, r ref) {
	if len(slots) == 1 || r.isLeaf() {
		for i := range slots {
			slots[i] = r
		}
		return
	}
	half := len(slots) / 2
	h := b.halves[r.index()]
	b.spread(slots[:half], h[0])
	b.spread(slots[half:], h[1])
}

// reserve makes room for n nodes, which are neighbours.
func (b *popBuilder) reserve(n int) uint32 {
	first := len(b.nodes)
	b.nodes = grown(b.nodes, n)[:first+n]
	return uint32(first)
}

// fill makes node n of what is below r, and then the nodes below n.
func (b *popBuilder) fill(n uint32, r ref) {
	f := popFill{popBuilder: b, last: inner}
	f.walk(r, 0, slots)
	f.first = b.intern(f.runs[:f.count])
	f.children = b.reserve(f.below)
	b.nodes[n] = f.popnode
	for i, r := range f.refs[:f.below] {
		b.fill(f.children+uint32(i), r)
	}
}

// popFill is one node being made.
type popFill struct {
	*popBuilder
	popnode
	runs  [slots]Leaf
	count int        // of runs
	last  ref        // leaf of the run that goes on; an inner node is none
	refs  [slots]ref // what is below the slots that lead on
	below int        // how many do
}

// walk visits what is below r, which fills width slots from slot on.
func (f *popFill) walk(r ref, slot, width int) {
	switch {
	case r.isLeaf():
		if r != f.last {
			f.starts |= 1 << slot
			f.runs[f.count] = Leaf(r)
			f.count++
			f.last = r
		}
	case width == 1:
		f.inner |= 1 << slot
		f.refs[f.below] = r
		f.below++
	default:
		h := f.halves[r.index()]
		f.walk(h[0], slot, width/2)
		f.walk(h[1], slot+width/2, width/2)
	}
}
