package transfer

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/zones"
)

// MaxSignedNames is the largest number of names of a zone that is transferred with signatures. Such a zone is kept in memory a
// second time, in about 600 octets for a name with one record set: BenchmarkSign.
const MaxSignedNames = 200_000

// signedContent is a zone with its signatures and its NSEC chain, as one serial has it. It holds no memory of a snapshot.
type signedContent struct {
	at     *dnssec.ZoneAt
	serial uint32
	apex   dnsname.Wire
	soa    zones.OwnedSet
	sets   []zones.OwnedSet // by owner in canonical order, without the SOA; the signatures of a set follow it
	arena  []byte           // of owners and data
}

// owner is a name of a zone with its records, before they are signed.
type owner struct {
	name   dnsname.Wire
	sets   []zones.OwnedSet
	signed bool // it has an NSEC record
	cut    bool // of its sets, only DS and NSEC are signed
}

// sign returns the zone with signatures and an NSEC chain (RFC 4035 2). Signatures that are the same in before are not made again;
// nil: there is none.
func (c *Content) sign(at *dnssec.ZoneAt, before *signedContent) (*Content, error) {
	s := &signedContent{at: at, serial: c.Serial(), apex: bytes.Clone(c.data.Apex(c.zone))}
	owners := c.owners()
	owners[0].sets = append(owners[0].sets, apexSets(at, s.apex)...)
	s.soa = s.keep(c.soa())
	if err := s.addSignatures(&s.soa, before); err != nil {
		return nil, err
	}
	chain := slices.DeleteFunc(slices.Clone(owners), func(o owner) bool { return !o.signed })
	negative, position := c.data.Negative(c.zone).TTL, 0
	for i := range owners {
		o := &owners[i]
		if o.signed {
			position++
			next := chain[position%len(chain)].name
			nsec := zones.RRset{Type: dns.TypeNSEC, TTL: negative, Count: 1, Data: dnssec.AppendNSEC(nil, next, o.types(i == 0))}
			o.sets = append(o.sets, zones.OwnedSet{Owner: o.name, RRset: nsec})
		}
		if err := s.add(o, before); err != nil {
			return nil, err
		}
	}
	return &Content{signed: s}, nil
}

// add adds the records of a name, and their signatures.
func (s *signedContent) add(o *owner, before *signedContent) error {
	for i := range o.sets {
		set := s.keep(o.sets[i])
		s.sets = append(s.sets, set)
		if !o.signs(set.Type) {
			continue
		}
		if err := s.addSignatures(&set, before); err != nil {
			return err
		}
	}
	return nil
}

// owners returns the names of a zone with their records, in canonical order: the apex is the first.
func (c *Content) owners() (all []owner) {
	for node := range c.data.Walk(c.zone) {
		name := c.data.NodeName(node)
		o := owner{name: name, signed: c.data.InChain(node), cut: c.data.Delegates(node)}
		for _, set := range c.setsOf(nil, node) {
			if !bytes.Equal(set.Owner, name) { // glue of a zone of ours
				all = append(all, owner{name: set.Owner, sets: []zones.OwnedSet{set}})
				continue
			}
			o.sets = append(o.sets, set)
		}
		if len(o.sets) == 0 && !c.data.IsApex(node) { // a pool that has nothing to answer
			continue
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b owner) int { return a.name.Compare(b.name) })
	return all
}

// apexSets returns the sets of the keys of a zone.
func apexSets(at *dnssec.ZoneAt, apex dnsname.Wire) (all []zones.OwnedSet) {
	for _, set := range at.Apex() {
		rrset := zones.RRset{Type: set.Type, TTL: set.TTL, Data: set.Data}
		for range rrset.RDATA() {
			rrset.Count++
		}
		all = append(all, zones.OwnedSet{Owner: apex, RRset: rrset})
	}
	return all
}

// signs reports whether a set of this type has signatures: glue and the NS records of a delegation have none (RFC 4035 2.2).
func (o *owner) signs(typ uint16) bool {
	return o.signed && (!o.cut || typ == dns.TypeDS || typ == dns.TypeNSEC)
}

// types returns the types of the NSEC record.
func (o *owner) types(apex bool) (types []uint16) {
	if apex {
		types = append(types, dns.TypeSOA)
	}
	for i := range o.sets {
		if typ := o.sets[i].Type; o.signs(typ) || typ == dns.TypeNS {
			types = append(types, typ)
		}
	}
	return slices.Compact(dnssec.AppendSigned(types))
}

// keep returns a set with memory of s.
func (s *signedContent) keep(set zones.OwnedSet) zones.OwnedSet {
	const chunk = 256 << 10
	size := len(set.Owner) + len(set.Data)
	if cap(s.arena)-len(s.arena) < size {
		s.arena = make([]byte, 0, max(chunk, size))
	}
	begin, middle := len(s.arena), len(s.arena)+len(set.Owner)
	s.arena = append(append(s.arena, set.Owner...), set.Data...)
	set.Owner = s.arena[begin:middle:middle]
	set.Data = s.arena[middle:len(s.arena):len(s.arena)]
	return set
}

// addSignatures adds the signatures of a set that was just added.
func (s *signedContent) addSignatures(set *zones.OwnedSet, before *signedContent) error {
	of := dnssec.Set{Owner: set.Owner, Type: set.Type, TTL: set.TTL, Data: set.Data}
	data, err := s.at.Signatures(&of, before.signaturesOf(set))
	if err != nil {
		return err
	}
	rrset := zones.RRset{Type: dns.TypeRRSIG, TTL: set.TTL, Data: data}
	for range rrset.RDATA() {
		rrset.Count++
	}
	s.sets = append(s.sets, s.keep(zones.OwnedSet{Owner: set.Owner, RRset: rrset}))
	return nil
}

// signaturesOf returns the signatures of a set with the same records; nil: there are none.
func (s *signedContent) signaturesOf(set *zones.OwnedSet) []byte {
	if s == nil || set.Type == dns.TypeSOA { // the serial differs
		return nil
	}
	first := sort.Search(len(s.sets), func(i int) bool { return s.sets[i].Owner.Compare(set.Owner) >= 0 })
	for i := first; i+1 < len(s.sets) && bytes.Equal(s.sets[i].Owner, set.Owner); i++ {
		if old := &s.sets[i]; old.Type == set.Type && bytes.Equal(old.Data, set.Data) && s.sets[i+1].Type == dns.TypeRRSIG {
			return s.sets[i+1].Data
		}
	}
	return nil
}

// renewals is how many times a zone is signed again while each signature is replaced once.
const renewals = 4

// interval returns the time after which a zone is signed again.
func interval(refresh time.Duration) time.Duration { return max(refresh/renewals, time.Second) }

// LeastLifetime returns how long the signatures of a transfer are valid at least when the zone is signed again.
func LeastLifetime(validity, refresh time.Duration) time.Duration {
	return validity - refresh - interval(refresh)
}

// due reports whether a zone is to be signed again: its keys have changed, or a part of its signatures is replaced now.
func (s *signedContent) due(zone *dnssec.Zone, now time.Time) bool {
	return !s.at.SignsAs(zone) || now.Sub(s.at.Time()) >= interval(zone.Refresh())
}
