package transfer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
)

var signTiming = dnssec.Timing{Validity: 72 * time.Hour, Refresh: 24 * time.Hour, Inception: time.Hour}

// signer returns example.com with a new key.
func signer(t testing.TB) *dnssec.Zone {
	t.Helper()
	return dnssec.NewZone(dnsname.Name("example.com.").Wire(), signTiming, dnssec.Compact, newKeys(t))
}

func newKeys(t testing.TB) *dnssec.Keys {
	t.Helper()
	k, err := dnssec.Generate("example.com.", dnssec.ZoneKey|dnssec.SEP, dns.ECDSAP256SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &dnssec.Keys{TTL: 3600, DNSKEY: [][]byte{k.DNSKEY()}, CDS: [][]byte{k.DS(dns.SHA256)}, KSK: []*dnssec.Key{k}, ZSK: []*dnssec.Key{k}}
}

// signableZone returns the text of a zone with delegations, wildcards, empty non-terminals and glue.
func signableZone(random *rand.Rand, serial int) string {
	lines := []string{fmt.Sprintf("@ 300 IN SOA ns host %d 2 3 4 5", serial), "@ 300 IN NS ns", "ns 300 IN A 192.0.2.1"}
	for i := range 5 + random.IntN(20) {
		lines = append(lines, []string{
			"n%d 60 IN A 192.0.2.%[2]d", "N%d 60 IN A 192.0.2.%[2]d\nn%[1]d 60 IN MX 10 ns", "a.b.n%d 60 IN TXT %[2]d", "*.w%d 60 IN A 192.0.2.%[2]d", "c%d 60 IN CNAME n%[2]d", "dn%d 60 IN DNAME n%[2]d",
			"cut%d 60 IN NS ns.cut%[1]d\nns.cut%[1]d 60 IN A 192.0.2.%[2]d", "cut%d 60 IN NS cut%[1]d\ncut%[1]d 60 IN A 192.0.2.%[2]d", "sec%d 60 IN NS ns\nsec%[1]d 60 IN DS %[2]d 13 2 " + strings.Repeat("00", 32),
		}[random.IntN(9)])
		lines[len(lines)-1] = fmt.Sprintf(lines[len(lines)-1], i, random.IntN(250))
	}
	return strings.Join(lines, "\n") + "\n"
}

// recordsIn returns the records of a transfer.
func recordsIn(t *testing.T, c *Content) (all []dns.RR) {
	t.Helper()
	all, _ = received(t, c, request(t, "example.com."), messageSize)
	return all[:len(all)-1]
}

// TestSignedTransferVerifies checks random zones with the slow rules of RFC 4035: each authoritative set has a signature that
// verifies, no other has one, and the NSEC records are the names in order, with their types.
func TestSignedTransferVerifies(t *testing.T) {
	seed := rand.Uint64()
	random, zone := rand.New(rand.NewPCG(seed, 0)), signer(t)
	for range 20 {
		text := signableZone(random, 7)
		c, err := content(t, "example.com.", text).sign(zone.At(time.Now()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if why := verifyZone(recordsIn(t, c)); why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, text)
		}
	}
}

// verifyZone returns why a zone does not verify; empty: it does.
func verifyZone(all []dns.RR) string {
	sets, signatures, types, cuts, covered := map[string][]dns.RR{}, map[string][]*dns.RRSIG{}, map[string][]uint16{}, map[string]bool{}, map[string]bool{}
	var key *dns.DNSKEY
	for _, rr := range all {
		h := rr.Header()
		id := fmt.Sprint(h.Name, " ", h.Rrtype)
		if sig, ok := rr.(*dns.RRSIG); ok {
			id = fmt.Sprint(h.Name, " ", sig.TypeCovered)
			signatures[id] = append(signatures[id], sig)
			continue
		}
		if k, ok := rr.(*dns.DNSKEY); ok {
			key = k
		}
		sets[id] = append(sets[id], rr)
		types[h.Name] = append(types[h.Name], h.Rrtype)
		cuts[h.Name] = cuts[h.Name] || h.Rrtype == dns.TypeNS && h.Name != "example.com."
	}
	for name := range types {
		for cut, is := range cuts {
			covered[name] = covered[name] || is && name != cut && dns.IsSubDomain(cut, name)
		}
	}
	for id, set := range sets {
		h := set[0].Header()
		authoritative := !covered[h.Name] && (!cuts[h.Name] || h.Rrtype == dns.TypeDS || h.Rrtype == dns.TypeNSEC)
		switch found := signatures[id]; {
		case authoritative != (len(found) == 1):
			return fmt.Sprintf("%d signatures of %s", len(found), id)
		case authoritative && (found[0].Verify(key, set) != nil || !found[0].ValidityPeriod(time.Now())):
			return "the signature of " + id + " does not verify"
		}
	}
	return verifyChain(sets, types, cuts, covered)
}

// verifyChain checks the NSEC records.
func verifyChain(sets map[string][]dns.RR, types map[string][]uint16, cuts, covered map[string]bool) string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(types)), func(name string) bool { return covered[name] })
	slices.SortFunc(names, func(a, b string) int {
		return dnsname.Name(a).Wire().Compare(dnsname.Name(b).Wire())
	})
	for i, name := range names {
		found := sets[fmt.Sprint(name, " ", dns.TypeNSEC)]
		if len(found) != 1 {
			return "no NSEC record of " + name
		}
		want := append([]uint16{dns.TypeRRSIG}, types[name]...)
		if cuts[name] {
			want = slices.DeleteFunc(want, func(typ uint16) bool { return typ == dns.TypeA })
		}
		slices.Sort(want)
		nsec := found[0].(*dns.NSEC)
		if next := names[(i+1)%len(names)]; nsec.NextDomain != next || !slices.Equal(nsec.TypeBitMap, slices.Compact(want)) {
			return fmt.Sprintf("%s; want %s %v", nsec, next, want)
		}
	}
	return ""
}

// TestSigningAgainIsAsSigningAnew signs changed zones with the signatures of those before, at later times. The result is that of signing
// without them, and the change between the two makes the one from the other.
func TestSigningAgainIsAsSigningAnew(t *testing.T) {
	seed := rand.Uint64()
	random, zone, now := rand.New(rand.NewPCG(seed, 0)), signer(t), time.Now()
	before, err := content(t, "example.com.", signableZone(random, 1)).sign(zone.At(now), nil)
	if err != nil {
		t.Fatal(err)
	}
	for serial := 2; serial < 12; serial++ {
		now = now.Add(time.Duration(random.IntN(int(6 * time.Hour))))
		plain := content(t, "example.com.", signableZone(random, serial))
		next, err := plain.sign(zone.At(now), before.signed)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := plain.sign(zone.At(now), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, want := texts(recordsIn(t, next)), texts(recordsIn(t, alone))
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: signed again\n%s\nanew\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		change, _, _ := compare(before, next)
		applied := texts(recordsIn(t, before))
		for _, r := range append(change.Deleted, change.OldSOA) {
			applied = slices.DeleteFunc(applied, func(has string) bool { return has == text(t, string(r)) })
		}
		for _, r := range append(change.Added, change.NewSOA) {
			applied = append(applied, text(t, string(r)))
		}
		if slices.Sort(applied); !slices.Equal(applied, got) {
			t.Fatalf("seed %d: with the change\n%s\nwant\n%s", seed, strings.Join(applied, "\n"), strings.Join(got, "\n"))
		}
		before = next
	}
}

func texts(rrs []dns.RR) (all []string) {
	for _, rr := range rrs {
		all = append(all, rr.String())
	}
	slices.Sort(all)
	return all
}

func text(t *testing.T, record string) string {
	t.Helper()
	rr, _, err := dns.UnpackRR([]byte(record), 0)
	if err != nil {
		t.Fatal(err)
	}
	return rr.String()
}

// TestSerialHasOneContent asks for a zone at several times.
func TestSerialHasOneContent(t *testing.T) {
	all, zone := NewSignedZones(), signer(t)
	z := &config.Zone{Name: "example.com.", Transfer: config.Transfer{Sign: true}, Journal: config.Journal{Size: 1 << 20, Depth: 10}}
	at := func(serial int) *Content {
		signed, err := all.Content(z, zone, content(t, "example.com.", fmt.Sprintf("@ 300 IN SOA ns host %d 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.%[1]d\n", serial)))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	first := at(5)
	if at(5) != first || at(4) != first || all.Since(z.Name, 4) != nil {
		t.Error("a serial that was signed, or an older one, is signed again")
	}
	second := at(6)
	change := all.Since(z.Name, 5)
	if second == first || change == nil || change.To() != 6 || len(change.Added) != 3 || len(change.Deleted) != 3 { // A, and its signature and that of the SOA
		t.Errorf("the change is %v", change)
	}
	if !all.Current(z.Name, 6) || all.Current(z.Name, 7) {
		t.Error("the present serial is not the last one")
	}
	if now := time.Now(); all.Due(z.Name, zone, now) || !all.Due(z.Name, zone, now.Add(signTiming.Refresh/renewals)) {
		t.Error("a zone is due before its signatures are replaced, or never")
	}
	zone.SetKeys(newKeys(t))
	if !all.Due(z.Name, zone, time.Now()) {
		t.Error("a zone is not due with other keys")
	}
	all.retain(&config.Config{Zones: []config.Zone{{Name: z.Name}}})
	if all.has(z.Name) {
		t.Error("a zone without sign is kept")
	}
	if _, err := (*SignedZones)(nil).Content(z, zone, first); err == nil {
		t.Error("nothing signs a zone")
	}
}

// TestSignaturesOutliveTheNextSigning signs a zone at each time of its schedule: the signatures of one are valid beyond the next.
func TestSignaturesOutliveTheNextSigning(t *testing.T) {
	zone, plain := signer(t), content(t, "example.com.", signableZone(rand.New(rand.NewPCG(1, 2)), 1))
	least, now := LeastLifetime(signTiming.Validity, signTiming.Refresh), time.Now()
	for range 2 * renewals {
		c, err := plain.sign(zone.At(now), nil)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(interval(signTiming.Refresh))
		for _, rr := range recordsIn(t, c) {
			if sig, ok := rr.(*dns.RRSIG); ok && time.Unix(int64(sig.Expiration), 0).Sub(now) < least-time.Second {
				t.Fatalf("%v ends less than %s after the next signing at %v", sig, least, now)
			}
		}
	}
}

// BenchmarkSign signs a zone of 20,000 names, and reports the time and the memory of each: at first, and then at the next serial, at which
// the signatures stay.
func BenchmarkSign(b *testing.B) {
	const names = 20_000
	text := fmt.Sprintf("@ 300 IN SOA ns host 1 2 3 4 5\n@ 300 IN NS ns.example.net.\n$GENERATE 1-%d n$ 60 IN A 192.0.2.1\n", names)
	plain, zone, now := content(b, "example.com.", text), signer(b), time.Now()
	first, err := plain.sign(zone.At(now), nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, before := range map[string]*signedContent{"first": nil, "again": first.signed} {
		b.Run(name, func(b *testing.B) {
			var kept *Content
			memory := heap()
			for b.Loop() {
				if kept, err = plain.sign(zone.At(now), before); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(heap()-memory)/names, "octets/name")
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/names, "µs/name")
			runtime.KeepAlive(kept)
		})
	}
}

// heap returns the octets in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
