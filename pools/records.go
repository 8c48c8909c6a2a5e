package pools

import (
	"slices"

	"meridian/config"
	"meridian/pools/internal/bitset"
)

// noAddress is the address of a member with records alone: like an alias it counts as up for both families, but it gives
// no address of either.
const noAddress = aliasBit | (aliasBit - 1)

// onlyRecords compiles a member with records alone.
func (c *compiler) onlyRecords(to *member) {
	ref := addrRef{addr: noAddress, target: none}
	c.tree.refs = append(c.tree.refs, ref, ref)
	to.n4, to.n6 = 1, 1
}

// givesAddress reports whether a member can be answered for a family: by an address of it, or by an alias.
func (t *Tree) givesAddress(m *member, f Family) bool {
	refs := t.addrs(m, f)
	return len(refs) > 0 && refs[0].addr != noAddress
}

// recordSets holds for each pool and type of record the members that can answer it: endpoints that have such a record,
// aliases, which answer every type, and pools with such members. Health states do not change it.
type recordSets struct {
	at   []uint32 // by pool and type: where in sets its members begin, or none; empty: no member has records
	sets bitset.Set
}

// typeIndex returns the index of a type in config.RecordTypes.
func typeIndex(rrtype uint16) int { return slices.Index(config.RecordTypes[:], rrtype) }

// recordSet returns the members of a pool that can answer a type; nil if there is none.
func (t *Tree) recordSet(id ID, rrtype uint16) bitset.Set {
	i := int(id)*len(config.RecordTypes) + typeIndex(rrtype)
	if len(t.records.at) == 0 || t.records.at[i] == none {
		return nil
	}
	return t.records.sets[t.records.at[i]:][:t.pools[id].words]
}

// compileRecords finds the members that can answer each type of record. The parents of the pools are known.
func (c *compiler) compileRecords() {
	t := c.tree
	has := func(m config.Member) bool { return len(m.Records) > 0 }
	if !slices.ContainsFunc(c.cfg.Pools, func(p config.Pool) bool { return slices.ContainsFunc(p.Members, has) }) {
		return
	}
	t.records.at = slices.Repeat([]uint32{none}, len(t.pools)*len(config.RecordTypes))
	t.eachMember(func(u memberRef, m *member) {
		of := &c.cfg.Pools[u.pool].Members[u.member]
		for i, rrtype := range config.RecordTypes {
			if of.CName != "" || of.RecordsOf(rrtype) {
				t.addRecords(u, i)
			}
		}
	})
}

// addRecords adds a member, and the pools around it, to those that can answer a type.
func (t *Tree) addRecords(u memberRef, rrtype int) {
	p := &t.pools[u.pool]
	at := &t.records.at[int(u.pool)*len(config.RecordTypes)+rrtype]
	fresh := *at == none
	if fresh {
		*at = uint32(len(t.records.sets))
		t.records.sets = append(t.records.sets, make(bitset.Set, p.words)...)
	}
	t.records.sets[*at:][:p.words].Add(int(u.member))
	if !fresh {
		return
	}
	for _, parent := range t.parents.of(u.pool) {
		t.addRecords(parent, rrtype)
	}
}

// onlyType returns the first type of the records of a pool that gives no address; 0: it gives addresses, or nothing.
func (t *Tree) onlyType(id ID) uint16 {
	if t.hasFamily(id, IPv4) || t.hasFamily(id, IPv6) {
		return 0
	}
	for _, rrtype := range config.RecordTypes {
		if t.recordSet(id, rrtype) != nil {
			return rrtype
		}
	}
	return 0
}

// DecideRecords is Decide for the records of a type that members have: s.Given has the members, or s.CName an alias. A
// member is eligible as for IPv4 addresses; among those, the members with such a record take the place of the members
// with an address of the family.
func (t *Tree) DecideRecords(q Request, rrtype uint16, s *Scratch) Decision {
	s.begin(t)
	s.recordType = rrtype
	d := s.decide(q)
	s.recordType = 0
	return d
}

// ExplainRecords is Explain for DecideRecords.
func (t *Tree) ExplainRecords(q Request, rrtype uint16, s *Scratch) (Decision, []Step) {
	s.recordType = rrtype
	d, steps := t.Explain(q, s)
	s.recordType = 0
	return d, steps
}

// keepRecords leaves in v.canGive the eligible members that can answer the type of the request.
func (s *Scratch) keepRecords(v *frame) {
	set := s.tree.recordSet(v.id, s.recordType)
	copy(v.canGive, v.eligible)
	if set == nil {
		clear(v.canGive)
	} else {
		v.canGive.Keep(set)
	}
}

// loadRecords is keepRecords for a frame with its members just loaded, of which Widen draws only those.
func (s *Scratch) loadRecords(v *frame) {
	s.keepRecords(v)
	if s.Widen {
		copy(v.eligible, v.canGive)
	}
}

// addMember adds the endpoint m, which can answer the type of the request, and returns how many it added.
func (s *Scratch) addMember(v *frame, m int) int {
	id := v.first + uint32(m)
	mem := &s.tree.members[id]
	if s.tree.isCName(mem) && s.tree.refs[mem.first].addr != noAddress {
		return s.add(s.tree.refs[mem.first])
	}
	return s.add(addrRef{addr: id})
}

// answerRecords is Scratch.answer for records: s.Given has the members.
func (s *Scratch) answerRecords() {
	if len(s.picked) > 0 && s.picked[0]&aliasBit != 0 {
		s.CName = s.tree.cnames[s.picked[0]&^aliasBit]
	}
}
