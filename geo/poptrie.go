package geo

import (
	"math/bits"
	"slices"
)

// poptrie finds the leaf of an address in a few reads of memory. The first 18 bits index an array. Below it are nodes
// of 64 slots, 6 bits each, which store two bit maps and count bits instead of 64 pointers (Asai and Ohara,
// "Poptrie", SIGCOMM 2015):
//
//	root[first 18 bits]  a leaf, or with the top bit set the index of a node
//	node.inner           slots that lead to another node: nodes[children + those before]
//	node.starts          slots that begin a run of equal leaves: leaves[first + runs up to here - 1]
//
// It consists of three slices without pointers, so the collector does not scan it.
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

// lookup returns the leaf of k. The bits after the end of an address are zero.
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

// leaf returns the index of the leaf of the slot of bit, which has no node below.
func (n *popnode) leaf(bit uint64) uint32 {
	return n.first + uint32(bits.OnesCount64(n.starts&(bit<<1-1))) - 1
}

// child returns the index of the node below the slot of bit.
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
	return poptrie{b.root, slices.Clone(b.nodes), slices.Clone(b.leaves)} // without unused capacity
}

type popBuilder struct {
	poptrie
	*trie
	seen map[uint64]uint32 // the position of a sequence of leaves, by its hash
}

// intern returns the position of a row of leaves and adds it if it is new. A third of all rows exist already.
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

// spread writes the nodes and leaves below r to the slots of the root.
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

// reserve allocates n adjacent nodes.
func (b *popBuilder) reserve(n int) uint32 {
	first := len(b.nodes)
	b.nodes = grown(b.nodes, n)[:first+n]
	return uint32(first)
}

// fill builds node n from the trie below r, and then its children.
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

// popFill is the state of one node under construction.
type popFill struct {
	*popBuilder
	popnode
	runs  [slots]Leaf
	count int        // of runs
	last  ref        // leaf of the current run; an inner node is none
	refs  [slots]ref // the tries below the slots that lead to nodes
	below int        // their number
}

// walk visits the trie below r, which fills width slots from slot on.
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
