package dnssec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
)

// now is a time of the tests, in seconds since 1970.
const now = 1_800_000_000

var testTiming = Timing{Validity: 72 * time.Hour, Refresh: 24 * time.Hour, Inception: time.Hour}

// csk returns a zone that signs everything with one key of each algorithm, and the keys.
func csk(t testing.TB, name string, denial Denial, algorithms ...uint8) (*Zone, []*Key) {
	t.Helper()
	keys := &Keys{TTL: 3600}
	zone := dnsname.Name(name)
	for _, algorithm := range algorithms {
		k, err := Generate(zone, ZoneKey|SEP, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		keys.KSK, keys.ZSK = append(keys.KSK, k), append(keys.ZSK, k)
		keys.DNSKEY = append(keys.DNSKEY, k.DNSKEY())
	}
	return NewZone(zone.Wire(), testTiming, denial, keys), keys.KSK
}

// setOf returns the set of records as a Set with the TTL of the first.
func setOf(t testing.TB, rrs []dns.RR) Set {
	t.Helper()
	h := rrs[0].Header()
	set := Set{Owner: wire(t, h.Name).Folded(), Type: h.Rrtype, TTL: h.Ttl}
	for _, rr := range rrs {
		buf := make([]byte, 70000)
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		size := int(rr.Header().Rdlength)
		set.Data = binary.BigEndian.AppendUint16(set.Data, uint16(size))
		set.Data = append(set.Data, buf[end-size:end]...)
	}
	return set
}

func wire(t testing.TB, name string) dnsname.Wire {
	t.Helper()
	w, err := dnsname.ParseWire(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// unpack returns the RRSIG records in octets.
func unpack(t testing.TB, octets []byte) []*dns.RRSIG {
	t.Helper()
	var all []*dns.RRSIG
	for at := 0; at < len(octets); {
		rr, next, err := dns.UnpackRR(octets, at)
		if err != nil {
			t.Fatal(err)
		}
		all, at = append(all, rr.(*dns.RRSIG)), next
	}
	return all
}

// verify fails the test unless the records of octets are one valid signature of each key.
func verify(t *testing.T, octets []byte, keys []*Key, rrs []dns.RR) {
	t.Helper()
	sigs := unpack(t, octets)
	if len(sigs) != len(keys) {
		t.Fatalf("%d signatures of %d keys", len(sigs), len(keys))
	}
	for i, sig := range sigs {
		if err := sig.Verify(dnskeyRecord(keys[i]), rrs); err != nil {
			t.Fatalf("%v: %v", sig, err)
		}
		if !sig.ValidityPeriod(time.Unix(now, 0)) {
			t.Fatalf("%v is not valid at %d", sig, now)
		}
	}
}

// sets are RRsets of many types, with names in capital letters and records out of order.
var sets = []string{
	"www.example.com. 30 IN A 192.0.2.9\nwww.example.com. 30 IN A 192.0.2.10\nwww.example.com. 30 IN A 10.0.0.1",
	"www.example.com. 30 IN AAAA 2001:db8::2\nwww.example.com. 30 IN AAAA 2001:db8::1",
	"example.com. 3600 IN SOA NS1.Example.COM. Host.example.com. 1 2 3 4 5",
	"example.com. 3600 IN NS NS2.Example.COM.\nexample.com. 3600 IN NS ns1.example.net.",
	"a.example.com. 0 IN CNAME WWW.Example.com.",
	"a.example.com. 5 IN DNAME WWW.Example.com.",
	"a.example.com. 5 IN PTR WWW.Example.com.",
	"a.example.com. 300 IN MX 10 B.Example.com.\na.example.com. 300 IN MX 5 a.example.com.\na.example.com. 300 IN MX 10 a.Example.com.",
	"_s._tcp.example.com. 300 IN SRV 1 2 3 Host.Example.com.",
	"a.example.com. 300 IN NAPTR 1 2 \"S\" \"SIP+D2U\" \"!^.*$!A!\" Replacement.Example.com.",
	"a.example.com. 300 IN TXT \"ABC\" \"def\"\na.example.com. 300 IN TXT \"ABC\"",
	"a.example.com. 300 IN RP Mail.Example.com. Text.Example.com.",
	"a.example.com. 300 IN KX 1 Host.Example.com.",
	"a.example.com. 300 IN PX 1 Host.Example.com. Other.Example.COM.",
	"a.example.com. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1",
	"a.example.com. 300 IN HTTPS 1 Svc.Example.com. alpn=h2",
	"a.example.com. 300 IN TYPE65280 \\# 4 41424344",
	"a.example.com. 300 IN DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000",
	"*.w.example.com. 300 IN A 192.0.2.1",
	"A\\.b\\000.example.com. 300 IN TXT x",
}

func TestSignaturesOfSetsVerify(t *testing.T) {
	for _, algorithms := range [][]uint8{{ECDSAP256SHA256}, {ED25519}, {ECDSAP256SHA256, ED25519}} {
		zone, keys := csk(t, "example.com.", Compact, algorithms...)
		s := NewSigner(1<<20, 1)
		for _, text := range sets {
			rrs := parse(t, text)
			set := setOf(t, rrs)
			r := Request{Now: now}
			if _, err := s.AppendRRSIGs(nil, zone, &set, set.Owner, set.TTL, &r); !errors.Is(err, ErrMissing) {
				t.Fatalf("%s: error %v from an empty cache", text, err)
			}
			r.Make = true
			made, err := s.AppendRRSIGs(nil, zone, &set, set.Owner, set.TTL, &r)
			if err != nil {
				t.Fatal(err)
			}
			verify(t, made, keys, rrs)
			r = Request{Now: now}
			if again, err := s.AppendRRSIGs([]byte("before"), zone, &set, set.Owner, set.TTL, &r); err != nil || string(again) != "before"+string(made) {
				t.Fatalf("%s: %v, or other octets from the cache", text, err)
			}
			if int(r.Hits) != len(keys) || r.Misses != 0 {
				t.Errorf("%d hits, %d misses", r.Hits, r.Misses)
			}
		}
	}
}

// A set of a wildcard is signed with the labels of the wildcard, and verifies under each name that it matches.
func TestWildcardSignatureVerifiesUnderExpandedName(t *testing.T) {
	zone, keys := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	rrs := parse(t, "*.w.example.com. 300 IN A 192.0.2.1")
	set := setOf(t, rrs)
	made, err := NewSigner(0, 1).AppendRRSIGs(nil, zone, &set, wire(t, "x.y.w.example.com."), 300, &Request{Now: now, Make: true})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, made, keys, parse(t, "x.y.w.example.com. 300 IN A 192.0.2.1"))
}

// An answer may have a lower TTL than the one that is signed.
func TestSignatureRecordHasTTLOfAnswer(t *testing.T) {
	zone, keys := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	rrs := parse(t, "example.com. 3600 IN SOA a. b. 1 2 3 4 5")
	set := setOf(t, rrs)
	made, err := NewSigner(0, 1).AppendRRSIGs(nil, zone, &set, set.Owner, 5, &Request{Now: now, Make: true})
	if err != nil {
		t.Fatal(err)
	}
	if sig := unpack(t, made)[0]; sig.Hdr.Ttl != 5 || sig.OrigTtl != 3600 {
		t.Errorf("TTL %d, original TTL %d, want 5 and 3600", sig.Hdr.Ttl, sig.OrigTtl)
	}
	rrs[0].Header().Ttl = 5
	verify(t, made, keys, rrs)
}

// The order of the records in the data does not change the signature: servers and draws may have any.
func TestOrderOfRecordsDoesNotMatter(t *testing.T) {
	zone, _ := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	rrs := parse(t, sets[0])
	var first []byte
	for range 10 {
		rand.Shuffle(len(rrs), func(i, j int) { rrs[i], rrs[j] = rrs[j], rrs[i] })
		set := setOf(t, rrs)
		made, err := NewSigner(0, 1).AppendRRSIGs(nil, zone, &set, set.Owner, 30, &Request{Now: now, Make: true})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = made
		}
		if !bytes.Equal(first, made) {
			t.Fatal("another order, another signature")
		}
	}
}

func TestSlotsCoverAllTimeAndSpreadSets(t *testing.T) {
	timing := testTiming
	begins := map[int64]bool{}
	for i := range 200 {
		owner := wire(t, fmt.Sprintf("n%d.example.com.", i))
		at := timing.slotAt(owner, dns.TypeA, now)
		later := timing.slotAt(owner, dns.TypeA, now+int64(timing.Refresh/time.Second))
		if later.number != at.number+1 || later.inception != at.inception+86400 {
			t.Fatalf("after one refresh: slot %+v, before %+v", later, at)
		}
		if int64(at.inception)+3600 > now || int64(at.expiration) < now+86400 {
			t.Fatalf("slot %+v at %d: want at least a day left", at, now)
		}
		begins[int64(at.inception)%86400] = true
	}
	if len(begins) < 190 {
		t.Errorf("200 names begin their slots at %d different times", len(begins))
	}
	if a, b := timing.slotAt(wire(t, "a.example."), 1, now), timing.slotAt(wire(t, "a.example."), 28, now); a.inception == b.inception {
		t.Error("two types of a name have the same slots")
	}
}

func TestSignaturesAreValidDuringTheirWholeSlot(t *testing.T) {
	short := Timing{Validity: 30 * time.Second, Refresh: 20 * time.Second, Inception: time.Hour}
	for at := range int64(40) {
		if s := short.slotAt(wire(t, "a.example."), dns.TypeA, now+at); int64(s.inception) > now+at || int64(s.expiration) < now+at+10 {
			t.Fatalf("slot %+v at %d: want a valid signature with 10 s left", s, now+at)
		}
	}
}

func TestBusySignerWaitsASecondAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSigner(0, 1)
		s.running <- struct{}{}
		begin := time.Now()
		if s.begin() || time.Since(begin) != maxWait {
			t.Errorf("the wait ended after %v, want a failure after %v", time.Since(begin), maxWait)
		}
		time.AfterFunc(maxWait/2, func() { <-s.running })
		if !s.begin() {
			t.Error("no signature, although the other one was made within the second")
		}
	})
}

func TestCacheKeepsUsedSignatures(t *testing.T) {
	c := newCache(0) // one set
	var sig, got signature
	put := func(lo uint64, expires uint32) bool { return c.put(cacheKey{lo, 1}, &sig, expires, now) }
	has := func(lo uint64) bool { return c.get(cacheKey{lo, 1}, &got) }
	for lo := range uint64(ways) {
		sig[0] = byte(lo)
		if put(lo+1, now+10) {
			t.Fatal("a signature replaced another in a set with room")
		}
	}
	if !has(1) || got[0] != 0 || !has(2) || got[0] != 1 {
		t.Fatal("signatures are not found, or are wrong")
	}
	for lo := range uint64(100) { // a flood of names that are never asked again
		if !put(100+lo, now+10) {
			t.Fatal("a full set had room")
		}
	}
	if !has(1) || !has(2) {
		t.Error("signatures in use left the cache for others that were never used")
	}
	has(199)
	if c.put(cacheKey{7, 1}, &sig, now+10, now+10) {
		t.Error("an expired signature counts as evicted")
	}
}

func TestCacheIsConsistentUnderConcurrentWrites(t *testing.T) {
	c := newCache(0)
	done := make(chan struct{})
	for w := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 20000 {
				k := cacheKey{uint64(1 + (i+w)%9), 1}
				sig := signature(bytes.Repeat([]byte{byte(k.lo)}, signatureSize))
				c.put(k, &sig, now+10, now)
				var got signature
				if c.get(k, &got) && got != sig {
					t.Errorf("key %d has the signature %x", k.lo, got)
					return
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
}

func TestBitmapMatchesReference(t *testing.T) {
	for range 300 {
		var types []uint16
		for range 1 + rand.IntN(12) {
			types = append(types, uint16(1+rand.IntN([]int{60, 300, 65000}[rand.IntN(3)])))
		}
		rdata := AppendNSEC(nil, wire(t, "next.example."), types)
		h := dns.RR_Header{Name: ".", Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Rdlength: uint16(len(rdata) - 2)}
		rr, _, err := dns.UnpackRRWithHeader(h, rdata[2:], 0)
		if err != nil {
			t.Fatal(err)
		}
		nsec := rr.(*dns.NSEC)
		want := map[uint16]bool{}
		for _, typ := range types {
			want[typ] = true
		}
		for _, typ := range nsec.TypeBitMap {
			if !want[typ] {
				t.Fatalf("bitmap %v of types %v", nsec.TypeBitMap, types)
			}
		}
		if len(nsec.TypeBitMap) != len(want) || nsec.NextDomain != "next.example." {
			t.Fatalf("%v of types %v", nsec, types)
		}
	}
}

func TestNamesBehindAName(t *testing.T) {
	label63, ff := strings.Repeat("a", 63), strings.Repeat(`\255`, 63)
	long := label63 + "." + label63 + "." + label63 + "." + strings.Repeat("b", 53) + ".e." // 249 octets
	tests := []struct{ name, successor, sibling string }{
		{"a.e.", `\000.a.e.`, `a\000.e.`},
		{"e.", `\000.e.`, "e."},
		{label63 + ".e.", `\000.` + label63 + ".e.", strings.Repeat("a", 62) + "b.e."},
		{strings.Repeat("a", 62) + "@.e.", `\000.` + strings.Repeat("a", 62) + `\@.e.`, strings.Repeat("a", 62) + `[.e.`},
		{ff + ".e.", `\000.` + ff + ".e.", "e."},
		{ff + ".a.e.", `\000.` + ff + ".a.e.", `a\000.e.`},
		{"xxxxx." + long, `xxxxy.` + long, `xxxxy.` + long}, // 255 octets
		{"xxxx." + long, `xxxx\000.` + long, `xxxx\000.` + long},
		{"xxx." + long, `\000.xxx.` + long, `xxx\000.` + long},
	}
	for _, test := range tests {
		name, apex := wire(t, test.name), wire(t, "e.")
		if got := dnsname.Wire(AppendSuccessor(nil, name, apex)).String(); got != wire(t, test.successor).String() {
			t.Errorf("successor of %s (%d octets) is %s, want %s", test.name, len(name), got, test.successor)
		}
		if got := dnsname.Wire(AppendSibling(nil, name, apex)).String(); got != wire(t, test.sibling).String() {
			t.Errorf("sibling of %s (%d octets) is %s, want %s", test.name, len(name), got, test.sibling)
		}
	}
}

func TestApexSetsFollowTheKeys(t *testing.T) {
	zone, keys := csk(t, "example.com.", Compact, ECDSAP256SHA256)
	set, ok := zone.ApexSet(dns.TypeDNSKEY)
	if !ok || set.TTL != 3600 || !bytes.Equal(set.Data[2:], keys[0].DNSKEY()) {
		t.Errorf("DNSKEY set %+v", set)
	}
	if _, ok := zone.ApexSet(dns.TypeCDS); ok {
		t.Error("a CDS set that the keys do not have")
	}
	zone.SetKeys(&Keys{KSK: keys, ZSK: keys, CDS: [][]byte{keys[0].DS(SHA256)}})
	if types := zone.AppendApexTypes(nil); len(types) != 1 || types[0] != dns.TypeCDS {
		t.Errorf("types %v, want CDS", types)
	}
}

// Names in RDATA that is cut off must not be read past its end.
func FuzzFoldNames(f *testing.F) {
	for typ := range layouts {
		f.Add(typ, []byte("\x03ABC\x00"))
		f.Add(typ, []byte("\x00\x01\x02\x03\xffABC"))
	}
	f.Fuzz(func(t *testing.T, typ uint16, rdata []byte) {
		before := bytes.Clone(rdata)
		FoldNames(typ, rdata)
		if !bytes.EqualFold(before, rdata) {
			t.Errorf("type %d: %x became %x", typ, before, rdata)
		}
	})
}

// parse reads records in presentation form, one a line.
func parse(t testing.TB, text string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for line := range strings.SplitSeq(text, "\n") {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func BenchmarkAppendRRSIGsFromCache(b *testing.B) {
	zone, _ := csk(b, "example.com.", Compact, ECDSAP256SHA256)
	set := setOf(b, parse(b, "www.example.com. 30 IN A 192.0.2.1"))
	s := NewSigner(64<<20, 1)
	r := Request{Now: now, Make: true}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, err = s.AppendRRSIGs(out[:0], zone, &set, []byte{0xc0, 12}, 30, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	zone, _ := csk(b, "example.com.", Compact, ECDSAP256SHA256)
	set := setOf(b, parse(b, "www.example.com. 30 IN A 192.0.2.1"))
	s := NewSigner(0, 1)
	r := Request{Now: now, Make: true}
	for b.Loop() {
		set.TTL++
		if _, err := s.AppendRRSIGs(nil, zone, &set, []byte{0xc0, 12}, 30, &r); err != nil {
			b.Fatal(err)
		}
	}
}
