package geo

import (
	"encoding/binary"
	"net/netip"
)

// key is an address as a string of bits, first bit on top. IPv6 fills it; IPv4 uses the first 32 bits.
type key struct{ hi, lo uint64 }

// keyOf returns the key of addr, and whether addr is IPv4. An IPv4-mapped address counts as IPv4.
func keyOf(addr netip.Addr) (k key, v4 bool) {
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}, true
	}
	return keyOf16(addr.As16()), false
}

// keyOf16 returns the key of an IPv6 address; an IPv4-mapped one is not unmapped.
func keyOf16(b [16]byte) key {
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefix returns the first bits of k as a network.
func (k key) prefix(v4 bool, bits int) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	addr := netip.AddrFrom16(b)
	if v4 {
		addr = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// bit returns the i-th bit from the top.
func (k key) bit(i int) int {
	if i < 64 {
		return int(k.hi >> (63 - i) & 1)
	}
	return int(k.lo >> (127 - i) & 1)
}

// set returns k with the i-th bit from the top set.
func (k key) set(i int) key {
	if i < 64 {
		k.hi |= 1 << (63 - i)
	} else {
		k.lo |= 1 << (127 - i)
	}
	return k
}

// ref is a node of a trie: a leaf with a value below 1<<31, or, with the top
// bit set, the index of an inner node.
type ref uint32

const inner ref = 1 << 31

func (r ref) isLeaf() bool  { return r&inner == 0 }
func (r ref) value() uint32 { return uint32(r) }
func (r ref) index() uint32 { return uint32(r &^ inner) }

// trie holds the inner nodes of binary tries: the two halves of each prefix. Nodes are immutable during construction,
// and children come before their parents. So tries can share nodes, and one pass in index order sees every child
// first. The zero value is ready to use.
type trie struct{ halves [][2]ref }

// join returns the prefix of the two halves. Equal halves become one leaf.
func (t *trie) join(a, b ref) ref {
	if a == b && a.isLeaf() {
		return a
	}
	if len(t.halves) == cap(t.halves) {
		t.halves = grown(t.halves, 1)
	}
	t.halves = append(t.halves, [2]ref{a, b})
	return inner | ref(len(t.halves)-1)
}

// split returns the two halves of r. The halves of a leaf equal the leaf.
func (t *trie) split(r ref) (a, b ref) {
	if r.isLeaf() {
		return r, r
	}
	h := t.halves[r.index()]
	return h[0], h[1]
}

// set returns r, a prefix of depth bits, with all under the first bits of k replaced by leaf.
func (t *trie) set(r ref, k key, depth, bits int, leaf ref) ref {
	if depth == bits {
		return leaf
	}
	a, b := t.split(r)
	if k.bit(depth) == 0 {
		a = t.set(a, k, depth+1, bits, leaf)
	} else {
		b = t.set(b, k, depth+1, bits, leaf)
	}
	return t.join(a, b)
}

// find returns the value at k under root, and the length of the longest prefix with only that value.
func (t *trie) find(root ref, k key) (value uint32, depth int) {
	for !root.isLeaf() {
		root = t.halves[root.index()][k.bit(depth)]
		depth++
	}
	return root.value(), depth
}

// roots holds the root of each family's trie.
type roots struct{ v4, v6 ref }

// of returns the root of the family.
func (r *roots) of(v4 bool) *ref {
	if v4 {
		return &r.v4
	}
	return &r.v6
}

// Widths of an address in bits.
const (
	bitsV4 = 32
	bitsV6 = 128
)
