package pools

import (
	"encoding/binary"
	"net/netip"
)

// Standing appends to key what decisions know of a client beside its very
// address: clients of one family with equal keys are alike to every pool that
// does not look at addresses (see LooksAtAddress). Only keys of one tree compare.
func (t *Tree) Standing(client netip.Addr, key []byte) []byte {
	for _, table := range t.tables {
		for _, entry := range table.Ranking(table.Lookup(client)) {
			key = binary.LittleEndian.AppendUint16(key, entry)
		}
	}
	return key
}

// LooksAtAddress reports whether decisions of a pool, its fallback, or a pool
// within look at the client's address itself: to hash it, or to see whether an
// endpoint that starts slowly admits it.
func (t *Tree) LooksAtAddress(id ID) bool {
	fallback := t.pools[id].fallback
	return t.hashes(uint32(id)) || fallback != none && t.hashes(fallback)
}

func (t *Tree) hashes(id uint32) bool {
	p := &t.pools[id]
	if p.policy == hash || len(t.state.Load().slowIn(p)) > 0 {
		return true
	}
	for _, m := range t.members[p.first:][:p.members] {
		if m.child != none && t.hashes(m.child) {
			return true
		}
	}
	return false
}
