package dnssec

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"meridian/dnsname"
)

// Keys holds what a zone is signed with at one time.
type Keys struct {
	// RDATA of the records at the apex.
	DNSKEY, CDS, CDNSKEY [][]byte
	TTL                  uint32 // of the three sets

	KSK []*Key // sign the three sets
	ZSK []*Key // sign all other sets
}

// Denial says how a zone proves that a name or type does not exist.
type Denial uint8

const (
	Compact Denial = iota // one NSEC record at the name of the question (RFC 9824)
	Chain                 // the NSEC records of all names (RFC 4035 3.1.3)
)

// Zone is a zone that this server signs. It is safe for concurrent use.
type Zone struct {
	name   dnsname.Wire // lower case
	timing Timing
	denial Denial
	keys   atomic.Pointer[zoneKeys]
}

// zoneKeys holds Keys as answers need them. It is immutable.
type zoneKeys struct {
	dnskey, cds, cdnskey Set
	ksk, zsk             []signingKey
}

// signingKey is a key with what is the same in all its signatures.
type signingKey struct {
	*Key
	id uint64 // for the cache: of the public key
}

// NewZone returns a zone that signs with keys.
func NewZone(name dnsname.Wire, timing Timing, denial Denial, keys *Keys) *Zone {
	z := &Zone{name: name.Folded(), timing: timing, denial: denial}
	z.SetKeys(keys)
	return z
}

// SetKeys replaces the keys, while the zone is served.
func (z *Zone) SetKeys(keys *Keys) {
	k := &zoneKeys{ksk: signingKeys(keys.KSK), zsk: signingKeys(keys.ZSK)}
	set := func(typ uint16, records [][]byte) Set {
		s := Set{Owner: z.name, Type: typ, TTL: keys.TTL}
		for _, rdata := range records {
			s.Data = appendData(s.Data, rdata)
		}
		return s
	}
	k.dnskey = set(typeDNSKEY, keys.DNSKEY)
	k.cds = set(typeCDS, keys.CDS)
	k.cdnskey = set(typeCDNSKEY, keys.CDNSKEY)
	z.keys.Store(k)
}

func signingKeys(keys []*Key) []signingKey {
	all := make([]signingKey, len(keys))
	for i, k := range keys {
		all[i] = signingKey{Key: k, id: binary.BigEndian.Uint64(k.PublicKey)}
	}
	return all
}

// Name returns the zone's name in lower case. Do not change it.
func (z *Zone) Name() dnsname.Wire { return z.name }

// Refresh returns how long a signature is used.
func (z *Zone) Refresh() time.Duration { return z.timing.Refresh }

// Denial returns how the zone proves that a name or type does not exist.
func (z *Zone) Denial() Denial { return z.denial }

// ApexSet returns the set of a type that belongs to the keys: DNSKEY, CDS or CDNSKEY. It returns false for any other
// type and for an empty set.
func (z *Zone) ApexSet(typ uint16) (Set, bool) {
	var set Set
	switch k := z.keys.Load(); typ {
	case typeDNSKEY:
		set = k.dnskey
	case typeCDS:
		set = k.cds
	case typeCDNSKEY:
		set = k.cdnskey
	}
	return set, len(set.Data) > 0
}

// AppendApexTypes appends the types of the sets that ApexSet returns.
func (z *Zone) AppendApexTypes(types []uint16) []uint16 {
	for _, typ := range [...]uint16{typeDNSKEY, typeCDS, typeCDNSKEY} {
		if _, ok := z.ApexSet(typ); ok {
			types = append(types, typ)
		}
	}
	return types
}

// SignatureSize returns the size of the signature records of a set, without their owners.
func (z *Zone) SignatureSize(typ uint16) (count, size int) {
	count = len(z.keys.Load().signing(typ))
	return count, count * (recordFixed + rrsigFixed + len(z.name) + signatureSize)
}

// signing returns the keys that sign a set of this type.
func (k *zoneKeys) signing(typ uint16) []signingKey {
	switch typ {
	case typeDNSKEY, typeCDS, typeCDNSKEY:
		return k.ksk
	}
	return k.zsk
}

// Keys returns the tags of the keys that sign a set of this type.
func (z *Zone) KeyTags(typ uint16) []uint16 {
	var tags []uint16
	for _, k := range z.keys.Load().signing(typ) {
		tags = append(tags, k.Tag)
	}
	slices.Sort(tags)
	return tags
}
