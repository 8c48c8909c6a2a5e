package pools

import (
	"encoding/binary"
	"net/netip"
)

// ClientKey appends to key what decisions use of a client beside its exact
// address: clients of one family with equal keys are equal to every pool that
// does not depend on addresses (see DependsOnAddress). Keys are comparable only
// within one tree. All clients within the first bits of the address have the same key.
func (t *Tree) ClientKey(client netip.Addr, key []byte) (longer []byte, bits int) {
	for _, table := range t.geoTables {
		leaf := table.Lookup(client)
		entries := table.Ranking(leaf)
		for _, entry := range entries {
			key = binary.LittleEndian.AppendUint16(key, entry)
		}
		bits = max(bits, int(table.Scope(leaf, len(entries)-1)))
	}
	return key, bits
}

// DependsOnAddress reports whether decisions of a pool, its fallback, or a nested
// pool use the client's address itself: to hash it, to see whether an endpoint in
// slow start admits it, to choose its region while its own region is lost, or to
// choose among the regions of a match.
func (t *Tree) DependsOnAddress(id ID) bool {
	fallback := t.pools[id].fallback
	seen := make(map[uint32]bool)
	return t.hashes(uint32(id), seen) || fallback != none && t.hashes(fallback, seen)
}

func (t *Tree) hashes(id uint32, seen map[uint32]bool) bool {
	p := &t.pools[id]
	st := t.state.Load()
	if p.policy == hash || p.spans || len(st.slowMembers(p)) > 0 || p.scores != none && len(st.lostRegionsOf(ID(id))) > 0 {
		return true
	}
	seen[id] = true
	for _, m := range t.members[p.first:][:p.members] {
		if m.child != none && !seen[m.child] && t.hashes(m.child, seen) {
			return true
		}
	}
	return false
}
