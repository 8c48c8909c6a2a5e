package zones

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unsafe"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
)

// at returns the static records at a name, in presentation form.
func (s *Data) at(name string) string {
	return fmt.Sprint(s.records(s.Lookup(wire(name), dns.TypeA)))
}

func TestApexFromTheConfiguration(t *testing.T) {
	w := newWorld()
	nameservers(w.zone("example.com", ""), "ns1.example.com 192.0.2.53 2001:db8::53", "ns2.example.net 192.0.2.54")
	s := w.mustCompile(t)
	for name, want := range map[string]string{
		"example.com": fmt.Sprintf("[3600 IN NS ns1.example.com. 3600 IN NS ns2.example.net. "+
			"3600 IN SOA ns1.example.com. hostmaster.outside. %d 14400 3600 604800 30]", changed.Unix()),
		"ns1.example.com": "[3600 IN A 192.0.2.53 3600 IN AAAA 2001:db8::53]",
	} {
		if got := s.at(name); got != want {
			t.Errorf("%s has %s\nwant %s", name, got, want)
		}
	}
	if got := s.ask("ns2.example.net", "A"); got != "refused" {
		t.Errorf("a nameserver outside the zone is %s", got)
	}
}

func TestSerialIsTheTimeOfTheLastChange(t *testing.T) {
	tests := []struct {
		behaviour string
		file      time.Time
		without   bool // a configuration without a file
		want      time.Time
	}{
		{"the configuration is younger", changed.Add(-time.Hour), false, changed},
		{"the master file is younger", changed.Add(time.Hour), false, changed.Add(time.Hour)},
		{"no file to ask", time.Time{}, true, now},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			w := newWorld()
			nameservers(w.zone("example.com", "www TXT a\n"), "ns1.example.net")
			w.files["z/0.zone"].ModTime = test.file
			if test.without {
				delete(w.files, "etc/meridian.yaml")
			}
			s := w.mustCompile(t)
			soa := s.Negative(0).RRs("example.com.")[0].(*dns.SOA)
			if soa.Serial != uint32(test.want.Unix()) {
				t.Errorf("serial %d, want %d", soa.Serial, test.want.Unix())
			}
		})
	}
}

func TestFileSetsReplaceConfiguredSets(t *testing.T) {
	w := newWorld()
	nameservers(w.zone("example.com", apexRecords+"ns1 A 192.0.2.99\n"),
		"ns1.example.com 192.0.2.53 2001:db8::53", "ns2.example.com 192.0.2.54")
	s := w.mustCompile(t)
	for name, want := range map[string]string{
		"example.com":     "[300 IN NS ns.outside. 300 IN SOA ns.outside. hostmaster.outside. 7 14400 3600 604800 60]",
		"ns1.example.com": "[300 IN A 192.0.2.99 3600 IN AAAA 2001:db8::53]",
		"ns2.example.com": "[3600 IN A 192.0.2.54]",
	} {
		if got := s.at(name); got != want {
			t.Errorf("%s has %s\nwant %s", name, got, want)
		}
	}
	const want = "/etc/meridian.yaml:15:9: zones.example.com.nameservers.ns1.example.com: the address is not used, " +
		"for /z/0.zone:4 has other A records for \"ns1.example.com.\"; write the same records in both\n"
	if got := w.warnings(t); got != want {
		t.Errorf("warnings are\n%swant\n%s", got, want)
	}
}

func TestNegativeTTLIsLowerOfTTLAndMinimum(t *testing.T) {
	for _, test := range []struct{ ttl, minimum, want uint32 }{{300, 60, 60}, {60, 300, 60}, {0, 300, 0}} {
		w := newWorld()
		w.zone("example.com", fmt.Sprintf("@ %d SOA ns.outside. h.outside. 1 2 3 4 %d\n@ NS ns.outside.\n", test.ttl, test.minimum))
		if got := w.mustCompile(t).Negative(0).TTL; got != test.want {
			t.Errorf("SOA TTL %d, minimum %d: TTL %d, want %d", test.ttl, test.minimum, got, test.want)
		}
	}
	w := newWorld()
	z := w.zone("example.com", "")
	z.NegativeTTL = 7200
	nameservers(z, "ns1.example.net")
	if got := w.mustCompile(t).Negative(0).TTL; got != 7200 {
		t.Errorf("negative_ttl 7200: TTL %d", got)
	}
}

func TestDuplicateRecordsAreRemoved(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"www TXT a\nwww TXT A\nwww TXT a\nwww MX 1 Mail\nwww MX 1 mail\nwww MX 2 mail\nwww CAA 0 issue a\nWWW CAA 0 issue a\n")
	s := w.mustCompile(t)
	want := `[300 IN MX 1 Mail.example.com. 300 IN MX 2 mail.example.com. 300 IN TXT "a" 300 IN TXT "A" 300 IN CAA 0 issue "a"]`
	if got := s.at("www.example.com"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestLowestTTLOfASetIsUsed(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"www 60 A 192.0.2.1\nwww 30 A 192.0.2.2\n")
	if got, want := w.mustCompile(t).at("www.example.com"), "[30 IN A 192.0.2.1 30 IN A 192.0.2.2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGlueOfReferrals(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+`
sub      NS ns1.Sub
sub      NS ns.other
sub      NS ns.outside.
sub      NS app
sub      NS ns.inner
ns1.sub  A 192.0.2.1
ns1.sub  60 AAAA 2001:db8::1
other    NS ns.other
ns.other A 192.0.2.2
`, "app.example.com")
	w.zone("inner.example.com", apexRecords+"ns A 192.0.2.3\n")
	s := w.mustCompile(t)
	m := s.Lookup(wire("www.sub.example.com"), dns.TypeA)
	var got []string
	for _, ns := range s.Glue(m.Node) {
		_, records := s.GlueRecords(ns)
		for off := 0; off < len(records); {
			rr, next, err := dns.UnpackRR(records, off)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rr.String())
			off = next
		}
	}
	want := []string{
		"ns1.sub.example.com.\t300\tIN\tA\t192.0.2.1",
		"ns1.sub.example.com.\t60\tIN\tAAAA\t2001:db8::1",
		"ns.other.example.com.\t300\tIN\tA\t192.0.2.2",
		"ns.inner.example.com.\t300\tIN\tA\t192.0.2.3",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("glue %q\nwant %q", got, want)
	}
	if glue := s.Glue(s.Lookup(wire("app.example.com"), dns.TypeA).Node); glue != nil {
		t.Errorf("glue where nothing is delegated: %d", glue)
	}
}

// TestGlueIsShared has many delegations with the same nameservers, which have many addresses: the snapshot stores the
// addresses once.
func TestGlueIsShared(t *testing.T) {
	const nameservers, addresses, delegations = 13, 200, 300
	var text strings.Builder
	text.WriteString(apexRecords)
	for n := range nameservers {
		for k := range addresses {
			fmt.Fprintf(&text, "n%d.servers AAAA 2001:db8:%x::%x\n", n, n, k)
		}
	}
	for d := range delegations {
		for n := range nameservers {
			fmt.Fprintf(&text, "c%d NS n%d.servers\n", d, n)
		}
	}
	w := newWorld()
	w.zone("example.com", text.String())
	s := w.mustCompile(t)
	if size := len(s.data) + 4*len(s.cutGlue); size > 4*text.Len() {
		t.Errorf("%d bytes of data and glue from %d bytes of text", size, text.Len())
	}
	m := s.Lookup(wire("www.c7.example.com"), dns.TypeA)
	if glue := s.Glue(m.Node); len(glue) != nameservers {
		t.Errorf("%d nameservers with glue, want %d", len(glue), nameservers)
	}
}

func TestBalancedNames(t *testing.T) {
	w := newWorld()
	z := w.zone("example.com", apexRecords+"app TXT beside\n@ MX 1 mail.outside.\n", "example.com", "app.example.com", "*.t.example.com")
	z.Names[1].Pool, z.Names[1].TTL, z.Names[1].Answers = "api", 15, 2
	s := w.mustCompile(t)
	for _, test := range []struct {
		name string
		want Binding
		ok   bool
	}{
		{"example.com", Binding{Pool: 0, TTL: 30, Answers: 1}, true},
		{"app.example.com", Binding{Pool: 1, TTL: 15, Answers: 2}, true},
		{"any.t.example.com", Binding{Pool: 0, TTL: 30, Answers: 1}, true},
		{"t.example.com", Binding{}, false},
	} {
		m := s.Lookup(wire(test.name), dns.TypeA)
		if got := s.Balanced(m.Node); (got != nil) != test.ok || got != nil && *got != test.want {
			t.Errorf("%s is bound to %+v; want %+v, %v", test.name, got, test.want, test.ok)
		}
	}
	if set, ok := s.RRset(s.Lookup(wire("app.example.com"), dns.TypeTXT).Node, dns.TypeTXT); !ok || set.Count != 1 {
		t.Error("no static TXT at a balanced name")
	}
	if len(s.bindings) != 2 {
		t.Errorf("%d bindings, want one for all that are alike: 2", len(s.bindings))
	}
	want := ZoneSummary{Zone: "example.com.", Serial: 7, Names: 3, Records: 4, Balanced: 3}
	if got := s.Summary(); len(got) != 1 || got[0] != want {
		t.Errorf("summary %+v, want %+v", got, want)
	}
}

func TestInnerZoneAnswersForOuterBalancedNames(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords, "in.example.com", "a.in.example.com", "b.example.com")
	w.zone("in.example.com", apexRecords)
	s := w.mustCompile(t)
	if s.Balanced(s.Lookup(wire("in.example.com"), dns.TypeA).Node) != nil {
		t.Error("the apex of the inner zone is balanced by the outer")
	}
	if got, want := s.ask("a.in.example.com", "A"), "nxdomain in.example.com."; got != want {
		t.Errorf("a.in.example.com is %s, want %s", got, want)
	}
}

func TestNamesInAnswersKeepTheirCase(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"WWW CNAME Target.Example.NET.\n")
	if got, want := w.mustCompile(t).at("www.example.com"), "[300 IN CNAME Target.Example.NET.]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// manyRecords returns a master file of n records.
func manyRecords(n int) []byte {
	data := []byte(apexRecords)
	for i := range n {
		data = fmt.Appendf(data, "host%d A 192.0.%d.%d\n", i, i>>8&255, i&255)
	}
	return data
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("balanced/%d", n), func(b *testing.B) { benchmarkCompile(b, bigWorld(n)) })
		b.Run(fmt.Sprintf("pool-each/%d", n), func(b *testing.B) { benchmarkCompile(b, poolEach(n)) })
	}
	w := newWorld()
	w.zone("example.com", "x")
	w.files["z/0.zone"] = &fstest.MapFile{Data: manyRecords(100_000)}
	b.Run("static/100000", func(b *testing.B) { benchmarkCompile(b, w) })
}

// poolEach returns bigWorld with a pool, and so a binding, for each name.
func poolEach(n int) *world {
	w := bigWorld(n)
	w.cfg.Pools = make([]config.Pool, n)
	for i := range w.cfg.Pools {
		w.cfg.Pools[i].Name = fmt.Sprintf("p%d", i)
		w.cfg.Zones[0].Names[i].Pool = w.cfg.Pools[i].Name
	}
	return w
}

func benchmarkCompile(b *testing.B, w *world) {
	b.ReportAllocs()
	var s *Data
	for b.Loop() {
		s = w.mustCompile(b)
	}
	b.ReportMetric(float64(s.bytes())/float64(len(s.nodes)), "snapshotB/name")
}

// bytes returns the memory of all slices of the snapshot.
func (s *Data) bytes() (sum int) {
	for _, field := range reflect.ValueOf(s).Elem().Fields() {
		if field.Kind() == reflect.Slice {
			sum += field.Cap() * int(field.Type().Elem().Size())
		}
	}
	return sum
}

func TestSnapshotBytesIncludeBindings(t *testing.T) {
	s := bigWorld(10).mustCompile(t)
	before, grown := s.bytes(), 100
	s.bindings = append(make([]Binding, 0, cap(s.bindings)+grown), s.bindings...)
	if got, want := s.bytes()-before, grown*int(unsafe.Sizeof(Binding{})); got != want {
		t.Errorf("room for %d bindings more takes %d bytes, want %d", grown, got, want)
	}
}

func TestLookupInManyZones(t *testing.T) {
	w := newWorld()
	for i := range 2000 {
		nameservers(w.zone(fmt.Sprintf("z%d.example.com", i), "", fmt.Sprintf("www.z%d.example.com", i)), "ns1.example.net")
	}
	s := w.mustCompile(t)
	for i := range 2000 {
		m := s.Lookup(wire(fmt.Sprintf("www.z%d.example.com", i)), dns.TypeA)
		if b := s.Balanced(m.Node); m.Zone != ZoneID(i) || b == nil || b.Pool != pools.ID(0) {
			t.Fatalf("zone %d: %s", i, s.show(m))
		}
	}
}
