package pools

import (
	"iter"
	"sort"
)

// MemberID is the index of a member among the members of all pools of a tree, pool after pool in the order written.
type MemberID uint32

// MemberNames names a member of a tree.
type MemberNames struct {
	Pool, Member string
	Region       string // empty: none
}

// MemberCount returns the number of members of all pools.
func (t *Tree) MemberCount() int { return len(t.members) }

// NamesOf returns the names of a member.
func (t *Tree) NamesOf(id MemberID) MemberNames {
	pool := sort.Search(len(t.pools), func(i int) bool { return t.pools[i].first > uint32(id) }) - 1
	return t.namesIn(pool, uint32(id)-t.pools[pool].first)
}

func (t *Tree) namesIn(pool int, member uint32) MemberNames {
	p := &t.cfg.Pools[pool]
	m := &p.Members[member]
	return MemberNames{Pool: p.Name, Member: m.Name, Region: m.Region}
}

// MemberNames yields the names of all members, in the order of their MemberID.
func (t *Tree) MemberNames() iter.Seq2[MemberID, MemberNames] {
	return func(yield func(MemberID, MemberNames) bool) {
		for pool := range t.pools {
			first := t.pools[pool].first
			for i := range t.pools[pool].members {
				if !yield(MemberID(first+i), t.namesIn(pool, i)) {
					return
				}
			}
		}
	}
}
