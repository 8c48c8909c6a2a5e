package answer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
	"meridian/zones"
)

// presignedWorld returns a snapshot with a zone that dnssec-signzone has signed.
func presignedWorld(t testing.TB, file string) *snapshot.Snapshot {
	t.Helper()
	zone, err := os.ReadFile(filepath.Join("testdata", "presigned", file))
	if err != nil {
		t.Fatal(err)
	}
	return answertest.Build(t, "zones: {example.com: {file: example.com.zone}}\n", string(zone))
}

// presignedQueries are one question for each way to answer from a presigned zone.
var presignedQueries = []struct {
	name  string
	qtype uint16
	rcode int
}{
	{"txt", dns.TypeTXT, dns.RcodeSuccess},
	{"", dns.TypeDNSKEY, dns.RcodeSuccess},
	{"", dns.TypeSOA, dns.RcodeSuccess},
	{"www", dns.TypeMX, dns.RcodeSuccess},
	{"alias", dns.TypeA, dns.RcodeSuccess},
	{"x.tree", dns.TypeA, dns.RcodeSuccess},
	{"nothing", dns.TypeA, dns.RcodeNameError},
	{"a.b.c.nothing", dns.TypeA, dns.RcodeNameError},
	{"b.ent", dns.TypeA, dns.RcodeNameError},
	{"nope.deep", dns.TypeA, dns.RcodeNameError}, // with opt-out, deep has no NSEC3 record
	{"ent", dns.TypeA, dns.RcodeSuccess},
	{"deep", dns.TypeA, dns.RcodeSuccess},
	{"x.w", dns.TypeA, dns.RcodeSuccess},
	{"x.y.w", dns.TypeTXT, dns.RcodeSuccess},
	{"x.wc", dns.TypeA, dns.RcodeSuccess},
	{"x.wc", dns.TypeMX, dns.RcodeSuccess},
	{"sub", dns.TypeDS, dns.RcodeSuccess},
	{"safe", dns.TypeDS, dns.RcodeSuccess},
	{"insecure.deep", dns.TypeDS, dns.RcodeSuccess},
	{"a.sub", dns.TypeA, dns.RcodeSuccess},
	{"a.safe", dns.TypeA, dns.RcodeSuccess},
	{"a.insecure.deep", dns.TypeA, dns.RcodeSuccess},
}

// TestPresignedZonesAreServedWithTheirProofs checks every answer of zones signed by BIND: the signatures, the proofs, and
// that both paths agree.
func TestPresignedZonesAreServedWithTheirProofs(t *testing.T) {
	for _, file := range []string{"nsec.zone", "nsec3.zone", "optout.zone"} {
		t.Run(file, func(t *testing.T) {
			s := presignedWorld(t, file)
			p := newPaths(s)
			for _, ask := range presignedQueries {
				name := strings.TrimPrefix(ask.name+".example.com.", ".")
				query := answertest.Ask(name, ask.qtype)
				query.SetEdns0(4096, true)
				p.compare(t, answertest.Packed(t, query), answertest.BenchSource, true)
				var answer dns.Msg
				if err := answer.Unpack(p.last); err != nil {
					t.Fatal(err)
				}
				err := checkPresigned(s, &answer, name, ask.qtype)
				if err != nil || answer.Rcode != ask.rcode {
					t.Errorf("%s %s: %v\n%v", ask.name, dns.Type(ask.qtype), err, &answer)
				}
			}
		})
	}
}

// checkPresigned verifies the signatures of an answer and what it denies.
func checkPresigned(s *snapshot.Snapshot, answer *dns.Msg, name string, qtype uint16) error {
	for _, section := range [][]dns.RR{answer.Answer, answer.Ns} {
		for _, rr := range section {
			sig, ok := rr.(*dns.RRSIG)
			if !ok {
				continue
			}
			if err := verifyPresigned(s, sig, section); err != nil {
				return fmt.Errorf("%s %s: %w", sig.Hdr.Name, dns.Type(sig.TypeCovered), err)
			}
		}
	}
	for _, rr := range append(slices.Clone(answer.Answer), answer.Ns...) {
		h := rr.Header()
		covered := func(rr dns.RR) bool {
			sig, ok := rr.(*dns.RRSIG)
			return ok && sig.TypeCovered == h.Rrtype && dns.CanonicalName(sig.Hdr.Name) == dns.CanonicalName(h.Name) && sig.Hdr.Ttl == h.Ttl
		}
		unsigned := h.Rrtype == dns.TypeRRSIG || h.Rrtype == dns.TypeNS && h.Name != "example.com." || h.Name == "x.tree.example.com."
		if !unsigned && !slices.ContainsFunc(answer.Answer, covered) && !slices.ContainsFunc(answer.Ns, covered) {
			return fmt.Errorf("%v has no signature", rr)
		}
	}
	final := name
	for _, rr := range answer.Answer {
		if cname, ok := rr.(*dns.CNAME); ok {
			final = cname.Target
		}
		if rr.Header().Rrtype == qtype {
			return checkExpansion(s, answer)
		}
	}
	if len(answer.Ns) > 0 && answer.Ns[0].Header().Rrtype == dns.TypeNS {
		final, qtype = answer.Ns[0].Header().Name, dns.TypeDS
		if slices.ContainsFunc(answer.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS }) {
			return nil
		}
	}
	if s.Zones.Presigned(0).Hashes == nil {
		return checkChainProof(answer, final, qtype, answer.Rcode == dns.RcodeNameError)
	}
	return checkHashProof(s, answer, final, qtype)
}

func verifyPresigned(s *snapshot.Snapshot, sig *dns.RRSIG, section []dns.RR) error {
	var set []dns.RR
	for _, rr := range section {
		if h := rr.Header(); h.Rrtype == sig.TypeCovered && h.Name == sig.Hdr.Name {
			set = append(set, rr)
		}
	}
	keys, _ := s.Zones.RRset(s.Zones.ApexNode(0), dns.TypeDNSKEY)
	if !sig.ValidityPeriod(time.Now()) {
		return fmt.Errorf("%v is not valid now", sig)
	}
	return sig.Verify(keys.RRs("example.com.")[0].(*dns.DNSKEY), set)
}

// checkExpansion checks the proof of an answer by a wildcard.
func checkExpansion(s *snapshot.Snapshot, answer *dns.Msg) error {
	if s.Zones.Presigned(0).Hashes == nil {
		return checkWildcards(answer)
	}
	for _, rr := range answer.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok && int(sig.Labels) < dns.CountLabel(sig.Hdr.Name) {
			labels := dns.Split(sig.Hdr.Name)
			next := sig.Hdr.Name[labels[len(labels)-1-int(sig.Labels)]:]
			if !hashCovers(answer, next) {
				return fmt.Errorf("no NSEC3 record covers %s", next)
			}
		}
	}
	return nil
}

func nsec3s(answer *dns.Msg) (all []*dns.NSEC3) {
	for _, rr := range answer.Ns {
		if nsec3, ok := rr.(*dns.NSEC3); ok {
			all = append(all, nsec3)
		}
	}
	return all
}

func hashCovers(answer *dns.Msg, name string) bool {
	return slices.ContainsFunc(nsec3s(answer), func(n *dns.NSEC3) bool { return n.Cover(name) })
}

func hashMatch(answer *dns.Msg, name string) *dns.NSEC3 {
	all := nsec3s(answer)
	if i := slices.IndexFunc(all, func(n *dns.NSEC3) bool { return n.Match(name) }); i >= 0 {
		return all[i]
	}
	return nil
}

// checkHashProof checks a denial by NSEC3 records (RFC 5155 8), in the way of a validator.
func checkHashProof(s *snapshot.Snapshot, answer *dns.Msg, name string, qtype uint16) error {
	denies := func(n *dns.NSEC3) bool {
		return n != nil && !slices.Contains(n.TypeBitMap, qtype) && !slices.Contains(n.TypeBitMap, dns.TypeCNAME)
	}
	if at := hashMatch(answer, name); at != nil {
		if answer.Rcode == dns.RcodeSuccess && denies(at) {
			return nil
		}
		return fmt.Errorf("%v does not deny %s", at, dns.Type(qtype))
	}
	encloser, next := dnsname.Wire(dnsname.Name(name).Wire()).Parent().String(), name
	for hashMatch(answer, encloser) == nil {
		if encloser == "." {
			return fmt.Errorf("no NSEC3 record matches an encloser of %s", name)
		}
		encloser, next = dnsname.Wire(dnsname.Name(encloser).Wire()).Parent().String(), encloser
	}
	switch wildcard := "*." + encloser; {
	case !hashCovers(answer, next):
		return fmt.Errorf("no NSEC3 record covers %s", next)
	case answer.Rcode == dns.RcodeNameError && !hashCovers(answer, wildcard):
		return fmt.Errorf("no NSEC3 record covers %s", wildcard)
	case answer.Rcode == dns.RcodeNameError || denies(hashMatch(answer, wildcard)):
		return nil
	}
	optOut := slices.ContainsFunc(nsec3s(answer), func(n *dns.NSEC3) bool { return n.Cover(next) && n.Flags&1 != 0 })
	if match := s.Zones.Lookup(dnsname.Name(name).Wire(), qtype); !optOut || match.Kind != zones.Exact {
		return fmt.Errorf("no NSEC3 record denies %s %s", name, dns.Type(qtype))
	}
	return nil
}

// Names of NSEC3 records do not exist (RFC 5155 7.2.8).
func TestHashedOwnersDoNotExist(t *testing.T) {
	s := presignedWorld(t, "nsec3.zone")
	r := newEngine(s, nil).Responder()
	query := answertest.Ask("nothing.example.com.", dns.TypeA)
	query.SetEdns0(4096, true)
	var answer dns.Msg
	if err := answer.Unpack(r.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, true)); err != nil {
		t.Fatal(err)
	}
	owner := nsec3s(&answer)[0].Hdr.Name
	for _, qtype := range []uint16{dns.TypeNSEC3, dns.TypeA} {
		query := answertest.Ask(owner, qtype)
		query.SetEdns0(4096, true)
		if err := answer.Unpack(r.Respond(nil, answertest.Packed(t, query), answertest.BenchSource, true)); err != nil {
			t.Fatal(err)
		}
		if err := checkPresigned(s, &answer, owner, qtype); err != nil || answer.Rcode != dns.RcodeNameError {
			t.Errorf("%v\n%v", err, &answer)
		}
	}
}

// Without DO, a presigned zone is answered without signatures.
func TestPresignedAnswersNeedDO(t *testing.T) {
	r := newEngine(presignedWorld(t, "nsec3.zone"), nil).Responder()
	for _, name := range []string{"txt", "nothing", "a.sub"} {
		var answer dns.Msg
		if err := answer.Unpack(r.Respond(nil, answertest.Packed(t, answertest.Ask(name+".example.com.", dns.TypeTXT)), answertest.BenchSource, true)); err != nil {
			t.Fatal(err)
		}
		for _, rr := range append(slices.Clone(answer.Answer), answer.Ns...) {
			if typ := rr.Header().Rrtype; typ == dns.TypeRRSIG || typ == dns.TypeNSEC3 {
				t.Errorf("%s: %v", name, rr)
			}
		}
	}
}

func TestPresignedAnswersDoNotAllocate(t *testing.T) {
	for _, file := range []string{"nsec.zone", "optout.zone"} {
		r := newEngine(presignedWorld(t, file), nil).Responder()
		var out []byte
		for _, ask := range presignedQueries {
			query := answertest.Ask(strings.TrimPrefix(ask.name+".example.com.", "."), ask.qtype)
			query.SetEdns0(1232, true)
			packet := answertest.Packed(t, query)
			out = r.Respond(out[:0], packet, answertest.BenchSource, false)
			if n := testing.AllocsPerRun(20, func() { out = r.Respond(out[:0], packet, answertest.BenchSource, false) }); n != 0 {
				t.Errorf("%s %s of %s: %v allocations", ask.name, dns.Type(ask.qtype), file, n)
			}
		}
	}
}

// A presigned zone that does not delegate to a zone of ours below it has no NSEC record there. Answers are well-formed.
func TestPresignedZoneAboveAnUndelegatedZone(t *testing.T) {
	const sig = " RRSIG %s 13 2 300 20370101000000 20260101000000 1 example.com. AAAA\n"
	file := "@ 300 SOA ns1 host 1 7200 3600 604800 60\n@ 300 NS ns.outside.\n@ 300 NSEC zz NS SOA RRSIG NSEC\nzz 300 NSEC @ TXT RRSIG NSEC\nzz 300 TXT x\n" +
		"@ 300" + fmt.Sprintf(sig, "SOA") + "@ 300" + fmt.Sprintf(sig, "NSEC") + "zz 300" + fmt.Sprintf(sig, "NSEC")
	p := newPaths(answertest.Build(t, "zones: {example.com: {file: example.com.zone}, in.example.com: {nameservers: {ns.outside.: []}, contact: h@example.com}}\n", file))
	for _, ask := range []struct {
		name  string
		qtype uint16
	}{{"in.example.com.", dns.TypeDS}, {"inn.example.com.", dns.TypeA}} {
		query := answertest.Ask(ask.name, ask.qtype)
		query.SetEdns0(1232, true)
		p.compare(t, answertest.Packed(t, query), answertest.BenchSource, true)
		var answer dns.Msg
		if err := answer.Unpack(p.last); err != nil {
			t.Fatalf("%s: %v", ask.name, err)
		}
		nsecs := 0
		for _, rr := range answer.Ns {
			if nsec, ok := rr.(*dns.NSEC); ok && nsec.Hdr.Name == "example.com." {
				nsecs++
			}
		}
		if nsecs != 1 || len(answer.Ns) != 4 {
			t.Errorf("%s: want SOA and NSEC of the apex with signatures\n%v", ask.name, &answer)
		}
	}
}
