package answer

import (
	"hash/crc32"
	"math/bits"
	"slices"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
	"meridian/zones"
)

// varietyPeriod is how long the same draws of a name are used, in seconds. Other draws need new signatures.
const varietyPeriod = int64(10 * time.Minute / time.Second)

// castagnoli has hardware support on common processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// variety bounds the draws of signed answers with several addresses, so that their sets, and so their signatures, are few.
type variety struct {
	zones   []uint64 // by zones.ZoneID: the number of draws; 0: not bounded
	several []bool   // by pools.ID: an answer may have addresses of several members
}

// newVariety returns the bounds of a configuration; nil if no zone has one.
func newVariety(cfg *config.Config, signed bool) *variety {
	if !signed {
		return nil
	}
	v := &variety{zones: make([]uint64, len(cfg.Zones)), several: cfg.SeveralAnswers()}
	for i := range cfg.Zones {
		v.zones[i] = uint64(cfg.Zones[i].Variety)
	}
	if !slices.Contains(v.several, true) && !slices.ContainsFunc(cfg.Zones, namesSeveral) {
		return nil
	}
	return v
}

// namesSeveral reports whether a name of a zone asks for more members than one.
func namesSeveral(z config.Zone) bool {
	for b := range z.Bindings() {
		if b.Answers != 1 {
			return true
		}
	}
	return false
}

// bound returns one of the draws that a signed answer with this owner may have. Their first random numbers divide the
// range evenly, so that weights hold to one part in as many; they change with time, so that all members are drawn.
func (v *variety) bound(id zones.ZoneID, binding *zones.Binding, owner dnsname.Wire, draw uint64, now int64) uint64 {
	if v == nil || v.zones[id] == 0 || binding.Answers == 1 && !v.several[binding.Pool] {
		return draw
	}
	n := v.zones[id]
	chosen, _ := bits.Mul64(draw, n)
	step := ^uint64(0) / n
	offset, _ := bits.Mul64(pools.DrawOfHop(uint64(varietyAt(owner, now)), 1), step)
	return pools.DrawBeginning(chosen*step + offset)
}

// varietyAt returns the number of the period of a name at now. The periods of different names begin at different times,
// so that the queries that wait for new signatures are spread evenly. Every server finds the same.
func varietyAt(owner dnsname.Wire, now int64) int64 {
	phase := int64(crc32.Checksum(owner, castagnoli)) % varietyPeriod
	return (now + phase) / varietyPeriod
}

// signedOwner returns the owner that the signatures at the current name of a have: that name, or a wildcard's.
func (s *activeSnapshot) signedOwner(a *reply) dnsname.Wire {
	if a.wildcard != 0 {
		return s.zones.NodeName(a.wildcard)
	}
	return a.name
}

// signedOwner is activeSnapshot.signedOwner on the slow path. owner is the current name.
func (q *question) signedOwner(owner dnsname.Wire) dnsname.Wire {
	if q.serving.expands(q.match) {
		return q.serving.zones.NodeName(q.match.Node)
	}
	return owner.Folded()
}
