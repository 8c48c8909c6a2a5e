package dnssec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// ZoneAt signs a whole zone: with the keys that it had at one time, and with the signatures that are used at that time. It is
// immutable and safe for concurrent use.
type ZoneAt struct {
	zone *Zone
	keys *zoneKeys
	now  int64
}

// At returns z with its present keys, for signatures at now.
func (z *Zone) At(now time.Time) *ZoneAt { return &ZoneAt{z, z.keys.Load(), now.Unix()} }

// Time returns the time of the signatures.
func (a *ZoneAt) Time() time.Time { return time.Unix(a.now, 0) }

// Apex returns the sets of the keys: DNSKEY, CDS and CDNSKEY.
func (a *ZoneAt) Apex() (sets []Set) {
	for _, set := range []Set{a.keys.dnskey, a.keys.cds, a.keys.cdnskey} {
		if len(set.Data) > 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// SignsAs reports whether a signs as z does now: with the same keys and times.
func (a *ZoneAt) SignsAs(z *Zone) bool {
	sameKeys := func(k, l []signingKey) bool {
		return slices.EqualFunc(k, l, func(k, l signingKey) bool { return k.id == l.id && k.Tag == l.Tag })
	}
	sameSet := func(s, t *Set) bool { return s.TTL == t.TTL && bytes.Equal(s.Data, t.Data) }
	k, l := a.keys, z.keys.Load()
	return a.zone.timing == z.timing && sameKeys(k.ksk, l.ksk) && sameKeys(k.zsk, l.zsk) &&
		sameSet(&k.dnskey, &l.dnskey) && sameSet(&k.cds, &l.cds) && sameSet(&k.cdnskey, &l.cdnskey)
}

// Signatures returns the RDATA of the signatures of a set, each after its length. It takes those that are the same from before,
// which holds earlier signatures of the same records.
func (a *ZoneAt) Signatures(set *Set, before []byte) (data []byte, err error) {
	at := a.zone.timing.slotAt(set.Owner, set.Type, a.now)
	keys := a.keys.signing(set.Type)
	for i := range keys {
		head := appendRRSIG(nil, a.zone.name, set, &keys[i], at)
		rdata := signedBefore(before, head)
		if rdata == nil {
			octets, err := keys[i].Sign(nil, set.appendCanonical(bytes.Clone(head)))
			if err != nil {
				return nil, err
			}
			rdata = append(head, octets...)
		}
		data = appendData(data, rdata)
	}
	if len(data) == 0 {
		return nil, errors.New("the zone has no key that signs")
	}
	return data, nil
}

// signedBefore returns the signature that begins with head; nil: there is none.
func signedBefore(data, head []byte) []byte {
	for rest := data; len(rest) > 0; {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if bytes.HasPrefix(rest[2:end], head) {
			return rest[2:end]
		}
		rest = rest[end:]
	}
	return nil
}
