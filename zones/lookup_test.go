package zones

import (
	"fmt"
	"testing"
)

func TestLookupFollowsTheTruthTable(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+`
www         A 192.0.2.1
a.ent       A 192.0.2.2
*.wild      TXT wild
there.wild  TXT there
x.ent.wild  TXT x
*.in.*.wild TXT nested
a.*.empty   TXT below
cut         NS ns.outside.
cut         DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
glued       NS ns.glued
ns.glued    A 192.0.2.3
moved       DNAME example.net.
alias       CNAME www
inner       NS ns.outside.
inner       DS 2 8 2 0000000000000000000000000000000000000000000000000000000000000000
lost.inner  TXT lost
cut2        NS ns.outside.
`, "app.example.com", "*.t.example.com", "example.com")
	w.zone("inner.example.com", apexRecords+"www A 192.0.2.4\n")
	w.zone("deep.gap.example.com", apexRecords)
	w.zone("child.cut2.example.com", apexRecords)
	w.zone("lonely.net", apexRecords)
	s := w.mustCompile(t)

	tests := []struct{ behaviour, name, qtype, want string }{
		{"the apex", "example.com", "A", "exact example.com. example.com."},
		{"a name", "www.example.com", "A", "exact example.com. www.example.com."},
		{"an alias is a name", "alias.example.com", "A", "exact example.com. alias.example.com."},
		{"a balanced name", "app.example.com", "A", "exact example.com. app.example.com."},
		{"an empty non-terminal exists", "ent.example.com", "A", "exact example.com. ent.example.com."},
		{"no such name", "nothing.example.com", "A", "nxdomain example.com."},
		{"nothing below a name", "a.b.www.example.com", "A", "nxdomain example.com."},

		{"a zone is matched by labels", "badexample.com", "A", "refused"},
		{"above all zones", "com", "A", "refused"},
		{"the root is not ours", ".", "NS", "refused"},
		{"another domain", "a.example.org", "A", "refused"},

		{"a wildcard", "b.wild.example.com", "A", "wildcard example.com. *.wild.example.com."},
		{"a wildcard covers deeper names", "c.b.wild.example.com", "A", "wildcard example.com. *.wild.example.com."},
		{"a wildcard's own name", "*.wild.example.com", "A", "exact example.com. *.wild.example.com."},
		{"a name blocks a wildcard", "there.wild.example.com", "A", "exact example.com. there.wild.example.com."},
		{"a name blocks a wildcard below it", "b.there.wild.example.com", "A", "nxdomain example.com."},
		{"an empty non-terminal blocks a wildcard", "ent.wild.example.com", "A", "exact example.com. ent.wild.example.com."},
		{"and below it", "b.ent.wild.example.com", "A", "nxdomain example.com."},
		{"a name below an asterisk is no wildcard", "b.*.wild.example.com", "A", "nxdomain example.com."},
		{"a wildcard below an asterisk", "b.in.*.wild.example.com", "A", "wildcard example.com. *.in.*.wild.example.com."},
		{"which does not nest", "in.c.wild.example.com", "A", "wildcard example.com. *.wild.example.com."},
		{"an empty wildcard", "b.empty.example.com", "A", "wildcard example.com. *.empty.example.com."},
		{"a balanced wildcard", "b.t.example.com", "A", "wildcard example.com. *.t.example.com."},

		{"at a cut", "cut.example.com", "A", "referral example.com. cut.example.com."},
		{"the NS of a cut", "cut.example.com", "NS", "referral example.com. cut.example.com."},
		{"the DS of a cut is ours", "cut.example.com", "DS", "exact example.com. cut.example.com."},
		{"below a cut", "b.cut.example.com", "A", "referral example.com. cut.example.com."},
		{"a DS below a cut is not ours", "b.cut.example.com", "DS", "referral example.com. cut.example.com."},
		{"glue is occluded", "ns.glued.example.com", "A", "referral example.com. glued.example.com."},

		{"a DNAME's own name", "moved.example.com", "A", "exact example.com. moved.example.com."},
		{"below a DNAME", "a.b.moved.example.com", "A", "dname example.com. moved.example.com."},

		{"the closest zone wins", "www.inner.example.com", "A", "exact inner.example.com. www.inner.example.com."},
		{"the outer zone's data is hidden", "lost.inner.example.com", "TXT", "nxdomain inner.example.com."},
		{"no referral to our own zone", "inner.example.com", "NS", "exact inner.example.com. inner.example.com."},
		{"the DS of an inner zone is the outer's", "inner.example.com", "DS", "exact example.com. inner.example.com."},
		{"without a delegation too", "deep.gap.example.com", "DS", "exact example.com. deep.gap.example.com."},
		{"what encloses an inner zone exists", "gap.example.com", "A", "exact example.com. gap.example.com."},
		{"DS below another's cut", "child.cut2.example.com", "DS", "exact child.cut2.example.com. child.cut2.example.com."},
		{"our zone below another's cut", "child.cut2.example.com", "A", "exact child.cut2.example.com. child.cut2.example.com."},
		{"beside our zone below another's cut", "b.cut2.example.com", "A", "referral example.com. cut2.example.com."},
		{"DS without a zone above", "lonely.net", "DS", "exact lonely.net. lonely.net."},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			if got := s.ask(test.name, test.qtype); got != test.want {
				t.Errorf("%s %s is %q, want %q", test.name, test.qtype, got, test.want)
			}
		})
	}
}

func TestRootZone(t *testing.T) {
	w := newWorld()
	w.zone(".", apexRecords+"ns.outside A 192.0.2.1\n* TXT wild\nnet NS ns.outside.\n", "app.org.")
	w.zone("example.org", apexRecords)
	s := w.mustCompile(t)
	for _, test := range []struct{ name, qtype, want string }{
		{".", "NS", "exact . ."},
		{".", "DS", "exact . ."},
		{"a.b", "A", "wildcard . *."},
		{"a.net", "A", "referral . net."},
		{"app.org", "A", "exact . app.org."},
		{"a.org", "A", "nxdomain ."},
		{"example.org", "DS", "exact . example.org."},
		{"a.example.org", "A", "nxdomain example.org."},
	} {
		if got := s.ask(test.name, test.qtype); got != test.want {
			t.Errorf("%s %s is %q, want %q", test.name, test.qtype, got, test.want)
		}
	}
}

func TestInnerApexRecordsAreSeparate(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"in NS ns.outside.\nin DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000\nin TXT outer\n")
	w.zone("in.example.com", apexRecords+"@ TXT inner\n@ DS 9 8 2 0000000000000000000000000000000000000000000000000000000000000000\n")
	s := w.mustCompile(t)
	const ds = "300 IN DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000"
	if got, want := fmt.Sprint(s.records(s.Lookup(wire("in.example.com"), 43))), "["+ds+"]"; got != want {
		t.Errorf("above the cut are %s, want %s", got, want)
	}
	want := `[300 IN NS ns.outside. 300 IN SOA ns.outside. hostmaster.outside. 7 14400 3600 604800 60 300 IN TXT "inner"]`
	if got := fmt.Sprint(s.records(s.Lookup(wire("in.example.com"), 16))); got != want {
		t.Errorf("at the apex are %s, want %s", got, want)
	}
}

func TestLookupOfMalformedNamesFindsNothing(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords)
	s := w.mustCompile(t)
	for _, name := range []string{"", "\x03", "\x03ab", "\xff", "\x01a", "\x07example\x03com", "\x07example\x03com\x00\x00", "\x00\x00"} {
		if m := s.Lookup([]byte(name), 1); m.Kind != Refused {
			t.Errorf("%q is %s", name, s.show(m))
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	s := bigWorld(1000).mustCompile(t)
	for _, name := range []string{"n17.example.com", "nothing.example.com", "a.b.c.d.e.f.g.example.com", "example.org"} {
		q := wire(name)
		allocs := testing.AllocsPerRun(100, func() {
			m := s.Lookup(q, 1)
			_, _ = s.RRset(m.Node, 16)
			_ = s.Balanced(m.Node)
			_ = s.Negative(m.Zone)
			_ = s.Glue(m.Node)
		})
		if allocs != 0 {
			t.Errorf("looking up %s allocates %v times", name, allocs)
		}
	}
}

// bigWorld returns one zone with n balanced names.
func bigWorld(n int) *world {
	w := newWorld()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.example.com", i)
	}
	nameservers(w.zone("example.com", "", names...), "ns1.example.com 192.0.2.53")
	return w
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		s := bigWorld(n).mustCompile(b)
		for _, bench := range []struct{ outcome, format string }{
			{"hit", "n%d.example.com"},
			{"nxdomain", "x%d.example.com"},
			{"deep", "a.b.c.d.e.f.g.h.x%d.example.com"},
			{"refused", "n%d.example.org"},
		} {
			questions := make([][]byte, 1024)
			for i := range questions {
				questions[i] = wire(fmt.Sprintf(bench.format, i*7919%n))
			}
			b.Run(fmt.Sprintf("%d/%s", n, bench.outcome), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.Lookup(questions[i%len(questions)], 1)
					i++
				}
			})
		}
	}
}
