package keys

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"meridian/config"
	"meridian/dnssec"
)

// deleteCDS and deleteCDNSKEY ask the parent to remove the DS records (RFC 8078 4).
var (
	deleteCDS     = []byte{0, 0, 0, 0, 0}
	deleteCDNSKEY = []byte{0, 0, 3, 0, 0}
)

// At returns what a zone with these keys has at a time. extra holds the DNSKEY records of other signers, as RDATA. It
// returns an error if the zone cannot be signed.
//
//	records               signed by
//	DNSKEY CDS CDNSKEY    each published KSK and CSK
//	all others            of each algorithm, the active ZSKs; without one, the active KSKs, which then are CSKs
func At(all []*Key, p *config.SigningPolicy, extra [][]byte, now time.Time) (dnssec.Keys, error) {
	set := dnssec.Keys{TTL: uint32(p.DNSKEYTTL / time.Second)}
	for _, k := range all {
		if k.Published(now) {
			set.DNSKEY = append(set.DNSKEY, k.DNSKEY())
			if k.SEP() {
				set.KSK = append(set.KSK, k.Key)
			}
		}
	}
	set.ZSK = signing(all, now)
	if len(set.KSK) == 0 {
		set.KSK = set.ZSK
	}
	if len(set.DNSKEY) > maxKeys {
		return set, fmt.Errorf("%d keys are published at once, at most %d are possible: remove old ones", len(set.DNSKEY), maxKeys)
	}
	for _, other := range extra {
		if !slices.ContainsFunc(set.DNSKEY, func(own []byte) bool { return bytes.Equal(own, other) }) {
			set.DNSKEY = append(set.DNSKEY, other)
		}
	}
	set.CDS, set.CDNSKEY = syncRecords(all, p, otherKSKs(all, extra), now)
	return set, usable(all, now)
}

// ErrUnusable is in the error of At for a zone without a key that signs.
var ErrUnusable = errors.New("the zone cannot be signed")

// usable returns an error if no published key signs.
func usable(all []*Key, now time.Time) error {
	for _, k := range all {
		if k.Published(now) && k.Active(now) {
			return nil
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: there is no key", ErrUnusable)
	}
	return fmt.Errorf("%w: none of %d keys is published and active at %s: see meridian keys list", ErrUnusable, len(all), now.UTC().Format(time.RFC3339))
}

// signing returns the keys that sign all but the records about keys.
func signing(all []*Key, now time.Time) []*dnssec.Key {
	var found []*dnssec.Key
	for _, algorithm := range []uint8{dnssec.ECDSAP256SHA256, dnssec.ED25519} {
		choices := [4][]*dnssec.Key{} // the first one that is not empty is used
		for _, k := range all {
			if k.Algorithm != algorithm || !k.Active(now) {
				continue
			}
			choice := 0
			if !k.Published(now) {
				choice += 2 // only in an algorithm rollover, where signatures come before the record
			}
			if k.SEP() {
				choice++
			}
			choices[choice] = append(choices[choice], k.Key)
		}
		for _, keys := range choices {
			if len(keys) > 0 {
				found = append(found, keys...)
				break
			}
		}
	}
	return found
}

// otherKSKs returns the DNSKEY records of other signers that the parent should have DS records of: those with the flag SEP
// that are not of own keys.
func otherKSKs(all []*Key, extra [][]byte) (others [][]byte) {
	for _, rdata := range extra {
		flags := uint16(rdata[0])<<8 | uint16(rdata[1])
		own := slices.ContainsFunc(all, func(k *Key) bool { return bytes.Equal(k.DNSKEY(), rdata) })
		if flags&dnssec.SEP != 0 && flags&dnssec.Revoked == 0 && !own {
			others = append(others, rdata)
		}
	}
	return others
}

// syncRecords returns the CDS and CDNSKEY records. A parent replaces all its DS records by them: with other signers, they
// have their keys too, and are published always, because all signers must have the same ones (RFC 8901 8).
func syncRecords(all []*Key, p *config.SigningPolicy, others [][]byte, now time.Time) (cds, cdnskey [][]byte) {
	switch p.CDS {
	case config.CDSNone:
		return nil, nil
	case config.CDSDelete:
		return [][]byte{deleteCDS}, [][]byte{deleteCDNSKEY}
	}
	for _, k := range all {
		wanted := k.SEP() && k.Published(now) && within(now, k.SyncPublish, k.SyncDelete)
		if wanted && (p.CDS == config.CDSAlways || len(others) > 0 || !k.atParent()) {
			cds = append(cds, k.DS(dnssec.SHA256))
			cdnskey = append(cdnskey, k.DNSKEY())
		}
	}
	if len(cds) == 0 {
		return nil, nil
	}
	for _, rdata := range others {
		cds = append(cds, dnssec.DS(all[0].Zone, rdata, dnssec.SHA256))
		cdnskey = append(cdnskey, rdata)
	}
	return cds, cdnskey
}
