package answer

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/server/answer/answertest"
	"meridian/server/limit"
	"meridian/snapshot"
	"meridian/zones"
)

// testTiming are the times of the signatures of tests.
var testTiming = dnssec.Timing{Validity: 72 * time.Hour, Refresh: 24 * time.Hour, Inception: time.Hour}

// signWorld signs every zone of a snapshot with new keys: a CSK, or a KSK and a ZSK.
func signWorld(t testing.TB, s *snapshot.Snapshot, denial dnssec.Denial) {
	t.Helper()
	s.Signing = &snapshot.Signing{Settings: snapshot.Settings{CacheSize: 1 << 20, Signers: 2}}
	for i := range s.Config.Zones {
		name := s.Config.Zones[i].Name
		algorithm := []uint8{dnssec.ECDSAP256SHA256, dnssec.ED25519}[i%2]
		ksk, err := dnssec.Generate(name, dnssec.ZoneKey|dnssec.SEP, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		keys := &dnssec.Keys{TTL: 3600, DNSKEY: [][]byte{ksk.DNSKEY()}, KSK: []*dnssec.Key{ksk}, ZSK: []*dnssec.Key{ksk}}
		if i%2 == 1 {
			zsk, err := dnssec.Generate(name, dnssec.ZoneKey, algorithm)
			if err != nil {
				t.Fatal(err)
			}
			keys.ZSK, keys.DNSKEY, keys.CDS = []*dnssec.Key{zsk}, append(keys.DNSKEY, zsk.DNSKEY()), [][]byte{ksk.DS(dnssec.SHA256)}
		}
		s.Signing.Zones = append(s.Signing.Zones, dnssec.NewZone(name.Wire(), testTiming, denial, keys))
	}
	s.Chain()
}

// validator checks the signatures and proofs of answers, in the obvious way.
type validator struct {
	snapshot *snapshot.Snapshot
	now      time.Time
	verified map[string]bool // signatures that were valid, because verifying takes long
}

// rrsetKey identifies a set of a message.
type rrsetKey struct {
	owner string
	typ   uint16
}

// check returns what is wrong with the answer to a query with DO.
func (v *validator) check(query, answer *dns.Msg) error {
	if answer.Truncated {
		return nil
	}
	for _, section := range [][]dns.RR{answer.Answer, answer.Ns} {
		if err := v.checkSection(section, answer); err != nil {
			return err
		}
	}
	if err := checkWildcards(answer); err != nil {
		return err
	}
	return v.checkDenial(query, answer)
}

// checkSection verifies the signatures of every set of a section.
func (v *validator) checkSection(section []dns.RR, answer *dns.Msg) error {
	sets := map[rrsetKey][]dns.RR{}
	sigs := map[rrsetKey][]*dns.RRSIG{}
	for _, rr := range section {
		h := rr.Header()
		if sig, ok := rr.(*dns.RRSIG); ok {
			key := rrsetKey{dns.CanonicalName(h.Name), sig.TypeCovered}
			sigs[key] = append(sigs[key], sig)
			continue
		}
		key := rrsetKey{dns.CanonicalName(h.Name), h.Rrtype}
		sets[key] = append(sets[key], rr)
	}
	for key, set := range sets {
		signed := !v.isUnsigned(key, answer)
		if signed != (len(sigs[key]) > 0) {
			return fmt.Errorf("%s %s has %d signatures", key.owner, dns.Type(key.typ), len(sigs[key]))
		}
		for _, sig := range sigs[key] {
			if err := v.verify(sig, set); err != nil {
				return fmt.Errorf("%s %s: %w", key.owner, dns.Type(key.typ), err)
			}
		}
		delete(sigs, key)
	}
	for key := range sigs {
		return fmt.Errorf("signatures of %s %s, which is not there", key.owner, dns.Type(key.typ))
	}
	return nil
}

// isUnsigned reports whether a set has no signature: one in no zone of ours or in an unsigned one, the nameservers of a
// delegation, and the CNAME that a DNAME makes.
func (v *validator) isUnsigned(key rrsetKey, answer *dns.Msg) bool {
	name := dnsname.Name(key.owner).Wire()
	typ := key.typ
	if at := matching(nsecs(answer), key.owner); typ == dns.TypeNSEC && at != nil && !slices.Contains(at.TypeBitMap, dns.TypeSOA) {
		typ = dns.TypeDS // the parent's side denies it
	}
	match := v.snapshot.Zones.Lookup(name, typ)
	switch {
	case match.Kind == zones.Refused, v.snapshot.Signing.Zones[match.Zone] == nil:
		return true
	case key.typ == dns.TypeNS:
		return match.Kind == zones.Referral
	case key.typ == dns.TypeCNAME:
		for _, rr := range answer.Answer {
			if rr.Header().Rrtype == dns.TypeDNAME && dns.IsSubDomain(rr.Header().Name, key.owner) && dns.CanonicalName(rr.Header().Name) != key.owner {
				return true
			}
		}
	}
	return false
}

func (v *validator) verify(sig *dns.RRSIG, set []dns.RR) error {
	set = slices.Clone(set)
	for i, rr := range set {
		set[i] = dns.Copy(rr)
		set[i].Header().Name = dns.CanonicalName(rr.Header().Name)
	}
	sig.Hdr.Name = dns.CanonicalName(sig.Hdr.Name)
	if sig.Hdr.Ttl != set[0].Header().Ttl {
		return fmt.Errorf("TTL %d of the signature, %d of the set", sig.Hdr.Ttl, set[0].Header().Ttl)
	}
	if !sig.ValidityPeriod(v.now) {
		return fmt.Errorf("%v is not valid now", sig)
	}
	id := fmt.Sprint(sig, set)
	if v.verified[id] {
		return nil
	}
	for _, zone := range v.snapshot.Signing.Zones {
		if zone == nil || zone.Name().String() != sig.SignerName {
			continue
		}
		keys, _ := zone.ApexSet(dns.TypeDNSKEY)
		for data := keys.Data; len(data) > 0; data = data[2+int(data[1]):] {
			rdata := data[2 : 2+int(data[1])]
			key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: sig.SignerName, Class: dns.ClassINET}, Flags: uint16(rdata[0])<<8 | uint16(rdata[1]), Protocol: rdata[2], Algorithm: rdata[3], PublicKey: base64.StdEncoding.EncodeToString(rdata[4:])}
			if sig.Verify(key, set) == nil {
				v.verified[id] = true
				return nil
			}
		}
	}
	return fmt.Errorf("no key verifies %v of %v", sig, set)
}

// checkDenial checks that an answer without records of the question's type proves it.
func (v *validator) checkDenial(query, answer *dns.Msg) error {
	qtype := query.Question[0].Qtype
	final := dns.CanonicalName(query.Question[0].Name)
	for _, rr := range answer.Answer {
		switch h := rr.Header(); {
		case dns.CanonicalName(h.Name) == final && h.Rrtype == qtype, qtype == dns.TypeANY:
			return nil
		case h.Rrtype == dns.TypeCNAME && dns.CanonicalName(h.Name) == final:
			final = dns.CanonicalName(rr.(*dns.CNAME).Target)
		}
	}
	if answer.Rcode == dns.RcodeRefused || answer.Rcode == dns.RcodeYXDomain || len(answer.Ns) == 0 || onlyWildcardProofs(answer) {
		return nil // the chain leaves our zones, or loops
	}
	match := v.snapshot.Zones.Lookup(dnsname.Name(final).Wire(), qtype)
	if v.snapshot.Signing.Zones[match.Zone] == nil {
		return nil
	}
	if match.Kind == zones.Referral {
		return v.checkReferral(answer)
	}
	if v.snapshot.Signing.Zones[match.Zone].Denial() == dnssec.Chain {
		return checkChainProof(answer, final, qtype, match.Kind == zones.NXDomain)
	}
	return v.checkProof(answer, final, qtype, match.Kind == zones.NXDomain)
}

// checkReferral checks for the DS set, or a proof that there is none.
func (v *validator) checkReferral(answer *dns.Msg) error {
	cut := dns.CanonicalName(answer.Ns[0].Header().Name)
	for _, rr := range answer.Ns {
		switch rr := rr.(type) {
		case *dns.DS:
			return nil
		case *dns.NSEC:
			if canonicalCompare(rr.Hdr.Name, cut) != 0 && covering(nsecs(answer), cut) == nil && len(nsecs(answer)) > 1 {
				continue // it is for an alias by a wildcard
			}
			types := rr.TypeBitMap
			if dns.CanonicalName(rr.Hdr.Name) != cut || !slices.Contains(types, dns.TypeNS) || slices.Contains(types, dns.TypeDS) || slices.Contains(types, dns.TypeSOA) {
				return fmt.Errorf("%v does not prove an unsigned delegation", rr)
			}
			if dns.IsSubDomain(cut, rr.NextDomain) {
				return fmt.Errorf("%v covers a name below the cut", rr)
			}
			return nil
		}
	}
	return fmt.Errorf("a referral without DS or NSEC")
}

// checkProof checks the SOA and the NSEC record at the name (RFC 9824 3).
func (v *validator) checkProof(answer *dns.Msg, name string, qtype uint16, missing bool) error {
	soas, denied := 0, false
	for _, rr := range answer.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			soas++
		case *dns.NSEC:
			if dns.CanonicalName(rr.Hdr.Name) != name {
				return fmt.Errorf("NSEC at %s, want %s", rr.Hdr.Name, name)
			}
			if qtype != dns.TypeNSEC && qtype != dns.TypeRRSIG && slices.Contains(rr.TypeBitMap, qtype) || slices.Contains(rr.TypeBitMap, dns.TypeCNAME) {
				return fmt.Errorf("%v does not deny %s", rr, dns.Type(qtype))
			}
			if missing != slices.Contains(rr.TypeBitMap, dns.TypeNXNAME) {
				return fmt.Errorf("%v, and the name exists: %v", rr, !missing)
			}
			denied = true
		}
	}
	if soas != 1 || !denied {
		return fmt.Errorf("%d SOA records, NSEC: %v", soas, denied)
	}
	co := answer.IsEdns0() != nil && answer.IsEdns0().Hdr.Ttl&(ednsCO<<8) != 0
	if want := missing && co; want != (answer.Rcode == dns.RcodeNameError) {
		return fmt.Errorf("code %s, the name exists: %v, CO: %v", dns.RcodeToString[answer.Rcode], !missing, co)
	}
	return nil
}

// TestSignedAnswersVerifyOnBothPaths generates random worlds with signed zones, health states and queries with DO, and
// checks that both paths give the same octets, that every signature verifies and that every denial proves.
func TestSignedAnswersVerifyOnBothPaths(t *testing.T) {
	worlds, queries := 2, 400
	if raceEnabled || testing.Short() {
		worlds, queries = 2, 100
	}
	checked := 0
	for i := range worlds {
		denial := []dnssec.Denial{dnssec.Compact, dnssec.Chain}[i%2]
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			made := generator{Rand: rand.New(rand.NewPCG(seed, 0))}
			s := made.world(t)
			signWorld(t, s, denial)
			resolver := newAggressive(s.Zones)
			if made.IntN(2) == 0 {
				s.Config.Zones[0].Family = config.WidenFamily
			}
			if made.IntN(4) == 0 {
				s.Signing.Zones[1] = nil
			}
			p := newPaths(s)
			v := &validator{snapshot: s, now: time.Now(), verified: map[string]bool{}}
			for i := range queries {
				if i%100 == 0 {
					made.turn(s)
				}
				p.draw = made.Uint64()
				packet, source, stream := made.signedQuery(), made.source(), made.IntN(2) == 0
				p.compare(t, packet, source, stream)
				var query, answer dns.Msg
				if query.Unpack(packet) != nil || query.Response || query.Opcode != dns.OpcodeQuery || !p.wire.query.edns.do || !p.wire.query.fastPathEligible() && p.wire.query.qtype != dns.TypeANY {
					continue
				}
				if err := answer.Unpack(p.last); err != nil {
					t.Fatal(err)
				}
				if answer.Rcode == dns.RcodeFormatError {
					continue
				}
				if err := v.check(&query, &answer); err != nil {
					t.Errorf("%v\n%v", err, &answer)
				}
				resolver.add(&query, &answer)
				if err := resolver.check(&answer); err != nil {
					t.Errorf("%v\n%v", err, &answer)
				}
				checked++
				if t.Failed() {
					return
				}
			}
		})
	}
	if checked < worlds*queries/2 && !t.Failed() {
		t.Errorf("%d answers of %d were checked", checked, worlds*queries)
	}
}

// signedQuery generates a query, usually with DO, and often with CO.
func (m generator) signedQuery() []byte {
	q := answertest.Ask(m.name(), m.qtype())
	switch m.IntN(10) {
	case 0:
		q.Question[0].Qtype = pick(m, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeNSEC, dns.TypeRRSIG)
	case 1:
		q.Question[0] = dns.Question{Name: pick(m, "example.com.", "d.e.example.com."), Qclass: dns.ClassINET, Qtype: pick(m, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeSOA, dns.TypeDS)}
	case 2:
		return m.query()
	}
	opt := m.opt()
	opt.SetUDPSize(pick(m, uint16(512), 1232, 4096))
	opt.SetDo()
	if m.IntN(3) == 0 {
		opt.Hdr.Ttl |= ednsCO << 8
	}
	q.Extra = append(q.Extra, opt)
	packet, err := q.Pack()
	if err != nil {
		panic(err)
	}
	return packet
}

// The longest names leave no room for a label before them.
func TestDenialOfLongestNames(t *testing.T) {
	for _, denial := range []dnssec.Denial{dnssec.Compact, dnssec.Chain} {
		s := answertest.World(t)
		signWorld(t, s, denial)
		p := newPaths(s)
		v := &validator{snapshot: s, now: p.time, verified: map[string]bool{}}
		for size := 240; size <= 255; size++ {
			for _, below := range []string{"example.com.", "t.example.com."} { // one that does not exist, and one by a wildcard
				query := answertest.Ask(longName(below, size), dns.TypeMX)
				query.SetEdns0(4096, true)
				p.compare(t, answertest.Packed(t, query), answertest.BenchSource, true)
				var answer dns.Msg
				if err := answer.Unpack(p.last); err != nil {
					t.Fatal(err)
				}
				if err := v.check(query, &answer); err != nil || len(answer.Answer) > 0 || len(answer.Ns) < 4 {
					t.Errorf("denial %d, %d octets below %s: %v\n%v", denial, size, below, err, &answer)
				}
			}
		}
	}
}

// longName returns a name of size octets in wire form.
func longName(below string, size int) string {
	for len(below)+1 < size {
		below = strings.Repeat("m", min(63, size-len(below)-2)) + "." + below
	}
	return below
}

// Without DO, the answers of a signed zone are those of an unsigned one, octet by octet.
func TestWithoutDOAnswersAreUnsigned(t *testing.T) {
	unsigned, signed := answertest.World(t), answertest.World(t)
	signWorld(t, signed, dnssec.Compact)
	signed.Cookies = limit.NewCookies()
	unsigned.Cookies = signed.Cookies
	draw, now := func() uint64 { return 7 }, time.Now()
	a, b := newEngine(unsigned, draw).Responder(), newEngine(signed, draw).Responder()
	a.engine.clock = func() time.Time { return now }
	b.engine.clock = a.engine.clock
	for name, query := range answertest.BenchQueries(t) {
		want := a.Respond(nil, query, answertest.BenchSource, false)
		if got := b.Respond(nil, query, answertest.BenchSource, false); string(got) != string(want) {
			t.Errorf("%s:\n%x, want\n%x", name, got, want)
		}
	}
}

// A cached signature costs no allocation, and one that is missing no signature on the worker.
func TestSignedAnswersFromCacheDoNotAllocate(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Compact)
	r := newEngine(s, func() uint64 { return 7 }).Responder()
	var out []byte
	for name, query := range answertest.SignedQueries(t) {
		out = r.Respond(out[:0], query, answertest.BenchSource, false)
		if n := testing.AllocsPerRun(20, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestMissingSignatureIsPostponed(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Compact)
	e := newEngine(s, nil)
	e.SampleQueries(1)
	worker, signer := e.Responder(), e.Responder()
	var taken [][]byte
	var draws []uint64
	room := 1
	worker.Postpone = func(packet []byte, draw uint64) bool {
		if len(taken) == room {
			return false
		}
		taken, draws = append(taken, packet), append(draws, draw)
		return true
	}
	query := answertest.SignedQueries(t)["Balanced"]
	if out := worker.Respond(nil, query, answertest.BenchSource, false); len(out) != 0 || len(taken) != 1 {
		t.Fatalf("answer %x without a signature, %d postponed", out, len(taken))
	}
	var full, answer dns.Msg
	if err := full.Unpack(worker.Respond(nil, query, answertest.BenchSource, false)); err != nil || !full.Truncated || full.IsEdns0() == nil {
		t.Fatalf("with a full queue: %v, %v; want TC", err, &full)
	}
	signer.Acquire()
	out := signer.AnswerPostponed(nil, taken[0], answertest.BenchSource, draws[0])
	signer.Release()
	if err := answer.Unpack(out); err != nil || len(answer.Answer) != 2 {
		t.Fatalf("postponed answer: %v\n%v", err, &answer)
	}
	if again := worker.Respond(nil, query, answertest.BenchSource, false); string(again) != string(out) {
		t.Errorf("from the cache:\n%x, want\n%x", again, out)
	}
	n := e.Counters()
	// the first two queries look in the cache and find nothing, as does the postponed one, which makes the signature
	if n.Signed != 1 || n.SignatureMisses != 3 || n.SignatureHits != 1 || n.Unsigned != 1 {
		t.Errorf("%d signatures, %d misses, %d hits, %d without; want 1, 3, 1, 1", n.Signed, n.SignatureMisses, n.SignatureHits, n.Unsigned)
	}
	if used := e.Signer().Stats().Entries; used != 1 {
		t.Errorf("%d signatures in the cache, want 1", used)
	}
	if n.Queries != 3 || n.Rcodes[dns.RcodeSuccess] != 3 {
		t.Errorf("%d queries, %d answers; want 3: a postponed query is counted once", n.Queries, n.Rcodes[dns.RcodeSuccess])
	}
	if weight := sampledWeight(e); weight != 3 {
		t.Errorf("samples represent %g queries, want 3", weight)
	}
}

// Over a stream a signature that cannot be made in time is an error that names the reason.
func TestUnsignedStreamAnswerIsServerFailure(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Compact)
	r := newEngine(s, nil).Responder()
	r.Postpone = func([]byte, uint64) bool { return false }
	var answer dns.Msg
	if err := answer.Unpack(r.Respond(nil, answertest.SignedQueries(t)["Static"], answertest.BenchSource, true)); err != nil {
		t.Fatal(err)
	}
	ede, ok := answer.IsEdns0().Option[0].(*dns.EDNS0_EDE)
	if answer.Rcode != dns.RcodeServerFailure || !ok || ede.InfoCode != dns.ExtendedErrorCodeNotReady {
		t.Errorf("%v", &answer)
	}
}

// An explanation has the signature of each set of the answer, and says whether the server has it in its cache.
func TestExplanationHasSignatures(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Compact)
	for name, packet := range answertest.SignedQueries(t) {
		e := newEngine(s, func() uint64 { return 7 }) // with an empty cache
		r := e.Responder()
		var query, answer dns.Msg
		if err := query.Unpack(packet); err != nil {
			t.Fatal(err)
		}
		if name != "Balanced" && name != "Static" && name != "Chain" {
			continue
		}
		draw := uint64(7)
		asked := ExplainQuery{Name: dnsname.Name(dns.CanonicalName(query.Question[0].Name)), Type: query.Question[0].Qtype, Resolver: answertest.BenchSource, Draw: &draw, Signer: e.Signer()}
		before := Trace(s, asked)
		if err := answer.Unpack(r.Respond(nil, packet, answertest.BenchSource, true)); err != nil {
			t.Fatal(err)
		}
		after, n := Trace(s, asked), 0
		for _, rr := range answer.Answer {
			sig, ok := rr.(*dns.RRSIG)
			if !ok {
				continue
			}
			got := after.Signatures[n]
			if got.Type != dns.Type(sig.TypeCovered).String() || got.Keys[0] != sig.KeyTag || uint32(got.Expires.Unix()) != sig.Expiration || *before.Signatures[n].Cached || !*got.Cached {
				t.Errorf("%s: explained %+v before, %+v after %v", name, before.Signatures[n], got, sig)
			}
			n++
		}
		if n == 0 || n != len(after.Signatures) {
			t.Errorf("%s: %d signatures explained, %d in the answer", name, len(after.Signatures), n)
		}
	}
}
