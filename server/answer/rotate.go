package answer

import (
	"encoding/binary"
	"math/bits"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
	"meridian/zones"
)

// rotating returns which zones have their static record sets rotated, by zones.ZoneID; nil if none has.
func rotating(cfg *config.Config) []bool {
	rotates, any := make([]bool, len(cfg.Zones)), false
	for i := range cfg.Zones {
		rotates[i] = cfg.Rotates(&cfg.Zones[i])
		any = any || rotates[i]
	}
	if !any {
		return nil
	}
	return rotates
}

// rotates reports whether a static set of count records in a zone begins at another record for each query.
func (s *activeSnapshot) rotates(id zones.ZoneID, count int) bool {
	return s.rotation != nil && s.rotation[id] && count > 1
}

// rotate returns set with the record first that draw selects, and the others in order after it. It writes to buf. A
// signature covers the set in any order (RFC 4034 6.3), so that rotated sets need no signatures of their own.
func rotate(buf []byte, set zones.RRset, draw uint64) zones.RRset {
	skip, _ := bits.Mul64(draw, uint64(set.Count))
	begin := 0
	for range skip {
		begin += 2 + int(binary.BigEndian.Uint16(set.Data[begin:]))
	}
	set.Data = append(append(buf[:0], set.Data[begin:]...), set.Data[:begin]...)
	return set
}

// addRotated adds a static set to the answer on the fast path, rotated by the draw.
func (r *Responder) addRotated(a *reply, set zones.RRset) {
	if !a.drawn {
		a.draw, a.drawn = r.newDraw(), true
	}
	set = rotate(r.setData, set, pools.DrawOfHop(a.draw, a.hops))
	r.setData = set.Data
	a.rrset(answerSection, set, a.owner)
}

// rotated returns a static set as its zone says, for the slow path.
func (q *question) rotated(set zones.RRset) zones.RRset {
	if !q.serving.rotates(q.match.Zone, set.Count) {
		return set
	}
	if q.explain {
		q.note("the zone has rotate: true; the draw selects which of the %d %s records is first", set.Count, dns.Type(set.Type))
	}
	return rotate(nil, set, pools.DrawOfHop(q.draw, q.hops))
}
