package zones

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// copyOf returns a copy of zone example.com with these records in master-file form, after its SOA and NS.
func copyOf(t testing.TB, confirmed time.Time, records string) *Copy {
	t.Helper()
	var b CopyBuilder
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n@ SOA ns.outside. host.outside. 7 60 30 3600 60\n@ NS ns.outside.\n"+records), "example.com.", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		r, err := b.Pack(rr)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(r)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := b.Copy(mustName("example.com"), "192.0.2.1:53", confirmed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secondaryWorld returns a world with a zone that comes from a primary.
func secondaryWorld(balanced ...string) *world {
	w := newWorld()
	w.zone("example.com", "", balanced...).Primaries = make([]config.Primary, 1)
	return w
}

func (w *world) compileCopies(copies ...*Copy) (*Data, *Report) {
	have := Copies{}
	for _, c := range copies {
		have[c.Zone] = c
	}
	return compileFrom(w.cfg, source{fsys: w.files, copies: have}, now)
}

func TestCopyIsServed(t *testing.T) {
	s, report := secondaryWorld().compileCopies(copyOf(t, now, "www A 192.0.2.1\n*.w TXT x\nchild NS ns.child\nns.child A 192.0.2.2\n"))
	if s == nil {
		t.Fatal(report.Join())
	}
	for name, want := range map[string]string{
		"example.com":     "[300 IN NS ns.outside. 300 IN SOA ns.outside. host.outside. 7 60 30 3600 60]",
		"www.example.com": "[300 IN A 192.0.2.1]",
		"a.w.example.com": `[300 IN TXT "x"]`,
	} {
		if got := s.at(name); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
	if got := s.Serial(0); got != 7 {
		t.Errorf("serial %d, want 7", got)
	}
}

func TestPoolReplacesWhatTheCopyHas(t *testing.T) {
	for name, c := range map[string]struct{ records, serves, warns string }{
		"addresses":   {"www A 192.0.2.1\nwww AAAA 2001:db8::1\nwww TXT kept\n", `[300 IN TXT "kept"]`, `A of "www.example.com." is ignored: the name is bound to pool "web"`},
		"an alias":    {"www CNAME other\n", "[]", `CNAME of "www.example.com." is ignored`},
		"delegation":  {"www NS ns.outside.\n", "[]", `NS of "www.example.com." is ignored`},
		"mixed case":  {"WwW A 192.0.2.1\n", "[]", `A of "www.example.com." is ignored`},
		"other names": {"other A 192.0.2.1\n", "[]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, report := secondaryWorld("www.example.com").compileCopies(copyOf(t, now, c.records))
			warnings, err := report.Join()
			if err != nil {
				t.Fatal(err)
			}
			match := s.Lookup(wire("www.example.com"), dns.TypeA)
			if match.Kind != Exact || s.Balanced(match.Node) == nil {
				t.Errorf("the name is %v, want one that a pool answers", match)
			}
			if got := s.at("www.example.com"); got != c.serves {
				t.Errorf("static records %s, want %s", got, c.serves)
			}
			if text := fmt.Sprint(warnings); c.warns != "" && !strings.Contains(text, c.warns) || c.warns == "" && len(warnings) > 0 {
				t.Errorf("warnings %s, want %q", text, c.warns)
			}
		})
	}
}

func TestBalancedNameBelowADelegationOfTheCopyIsAWarning(t *testing.T) {
	for records, want := range map[string]Kind{"sub NS ns.outside.\n": Referral, "sub DNAME example.net.\n": DName} {
		s, report := secondaryWorld("www.sub.example.com").compileCopies(copyOf(t, now, records))
		warnings, err := report.Join()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Lookup(wire("www.sub.example.com"), dns.TypeA).Kind; got != want {
			t.Errorf("%q: kind %d, want %d", records, got, want)
		}
		if text := fmt.Sprint(warnings); !strings.Contains(text, "is never answered: it is below") {
			t.Errorf("%q: warnings %s", records, text)
		}
	}
}

func TestInvalidCopyIsAnError(t *testing.T) {
	_, report := secondaryWorld().compileCopies(copyOf(t, now, "www CNAME other\nwww TXT x\n"))
	_, err := report.Join()
	if want := `zone example.com of 192.0.2.1:53:3:1: CNAME of "www.example.com." is beside TXT`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestCopyWithTooManyTypesIsAnError has a copy with a name that would make queries slow: the secondary keeps the one before.
func TestCopyWithTooManyTypesIsAnError(t *testing.T) {
	var records strings.Builder
	for typ := range 101 {
		fmt.Fprintf(&records, "many TYPE%d \\# 1 00\n", 1000+typ)
	}
	s, report := secondaryWorld().compileCopies(copyOf(t, now, records.String()))
	if _, err := report.Join(); s != nil || err == nil || !strings.Contains(err.Error(), `"many.example.com." has more than 100 types`) {
		t.Errorf("compiled: %t, %v", s != nil, err)
	}
}

func TestZoneWithoutACurrentCopyIsUnavailable(t *testing.T) {
	expired := copyOf(t, now.Add(-time.Hour), "www A 192.0.2.1\n")
	for name, c := range map[string]struct {
		copies  []*Copy
		missing Missing
	}{"no copy": {nil, NotReady}, "expired": {[]*Copy{expired}, Expired}} {
		t.Run(name, func(t *testing.T) {
			w := secondaryWorld("www.example.com")
			w.zone("sub.example.com", apexRecords)
			w.zone("other.test", apexRecords+"a A 192.0.2.9\n")
			s, report := w.compileCopies(c.copies...)
			if s == nil {
				t.Fatal(report.Join())
			}
			for _, name := range []string{"example.com", "www.example.com", "x.y.example.com"} {
				for _, typ := range []uint16{dns.TypeA, dns.TypeDS} {
					if got := s.Lookup(wire(name), typ); got.Kind != Unavailable || got.Zone != 0 {
						t.Errorf("%s %d: %v, want unavailable", name, typ, got)
					}
				}
			}
			if got := s.Missing(0); got != c.missing {
				t.Errorf("missing %d, want %d", got, c.missing)
			}
			if got := s.Lookup(wire("sub.example.com"), dns.TypeSOA); got.Kind != Exact || got.Zone != 1 {
				t.Errorf("the zone below is %v", got)
			}
			if got := s.at("a.other.test"); got != "[300 IN A 192.0.2.9]" {
				t.Errorf("another zone has %s", got)
			}
			if s.Serial(0) != 0 || len(s.Summary()) != 3 {
				t.Errorf("serial %d, summary %v", s.Serial(0), s.Summary())
			}
		})
	}
}

func TestParentAnswersDSOfAnUnavailableZone(t *testing.T) {
	w := newWorld()
	w.zone("com", apexRecords+"example.com. DS 1 13 2 "+strings.Repeat("ab", 32)+"\n")
	w.zone("example.com", "").Primaries = make([]config.Primary, 1)
	s, report := w.compileCopies()
	if s == nil {
		t.Fatal(report.Join())
	}
	if got := s.Lookup(wire("example.com"), dns.TypeDS); got.Kind != Exact || got.Zone != 0 {
		t.Errorf("DS is %v, want that of the zone above", got)
	}
}

func TestCopyReturnsFromItsFile(t *testing.T) {
	for _, zone := range []string{"example.com.", ".", `a\.b.example.`, strings.Repeat("0123456789.", 20)} {
		name, err := dnsname.Parse(zone)
		if err != nil {
			t.Fatal(err)
		}
		state := t.TempDir()
		written := copyOf(t, now, "www A 192.0.2.1\nodd TYPE65280 \\# 3 abcdef\n")
		written.Zone = name
		path := CopyFile(state, name)
		if err := os.MkdirAll(state+"/"+CopyFolder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, written.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCopy(state, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.records, written.records) || got.Zone != name || got.Primary != written.Primary || got.SOA != written.SOA || got.Count() != written.Count() || !got.Confirmed.Equal(now) {
			t.Errorf("%s: %+v, want %+v", zone, got, written)
		}
	}
}

func TestDamagedCopyIsAWarning(t *testing.T) {
	cfg, _, err := config.Parse(t.TempDir()+"/meridian.yaml", []byte("state: state\nzones: {example.com: {primaries: [{address: 192.0.2.1}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	path := CopyFile(cfg.State, "example.com.")
	if err := os.MkdirAll(cfg.State+"/"+CopyFolder, 0o700); err != nil {
		t.Fatal(err)
	}
	content := copyOf(t, time.Now(), "").Encode()
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, report := Compile(cfg)
	warnings, err := report.Join()
	if err != nil || s.Missing(0) != NotReady {
		t.Fatalf("%v, want a zone that waits", err)
	}
	if text := fmt.Sprint(warnings); !strings.Contains(text, "the copy of the zone cannot be read") {
		t.Errorf("warnings %s", text)
	}
}

func FuzzDecodeCopy(f *testing.F) {
	valid := copyOf(f, now, "www A 192.0.2.1\nmail MX 10 www\n").Encode()
	f.Add(valid)
	f.Add(valid[:len(valid)-40])
	f.Fuzz(func(t *testing.T, content []byte) {
		body := append([]byte(copyHead), content...)
		for _, p := range [][]byte{content, sealed(body)} {
			c, err := DecodeCopy(p, now)
			if err != nil {
				continue
			}
			n := 0
			for r := range c.Records {
				n++
				_, _ = r.Type(), r.RDATA()
			}
			if n != c.Count() || !slices.Equal(c.Encode(), p) {
				t.Errorf("%d records of %d, or another encoding of %x", n, c.Count(), p)
			}
		}
	})
}
