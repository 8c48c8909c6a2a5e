package catalog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// copyOf returns a catalog with records.
func copyOf(t testing.TB, records ...string) *zones.Copy {
	t.Helper()
	var b zones.CopyBuilder
	parser := dns.NewZoneParser(strings.NewReader("@ 1 SOA . . 1 2 3 4 5\n"+strings.Join(records, "\n")+"\n"), "Cat.example.", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		r, err := b.Pack(rr)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(r)
	}
	c, err := b.Copy("cat.example.", "192.0.2.1:53", time.Now())
	if err = errFirst(parser.Err(), err); err != nil {
		t.Fatal(err)
	}
	return c
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestParseTakesWhatACatalogLists(t *testing.T) {
	got, err := Parse(copyOf(t,
		`VERSION 1 TXT "2"`, `version 1 A 192.0.2.1`, "@ 1 NS invalid.",
		"B.Zones 1 PTR Two.Example.", "b.zones 1 PTR two.example.", `group.b.zones 1 TXT "y"`, `group.b.zones 1 TXT "x" "z"`, "coo.b.zones 1 PTR Other.Example.",
		`a\.b.zones 1 PTR one.example.`, "a.zones 1 A 192.0.2.1", `group.unused.zones 1 TXT "x"`, "deep.a.zones.x 1 PTR x.example.", `other.b.zones 1 TXT "x"`,
	))
	want := []Entry{{Zone: "one.example.", Label: `a\.b`}, {Zone: "two.example.", Label: "b", Groups: []string{"xz", "y"}, Owner: "other.example."}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestParseRefusesTooManyZones(t *testing.T) {
	records := []string{`version 1 TXT "2"`}
	for i := range MaxMembers + 1 {
		records = append(records, fmt.Sprintf("m%d.zones 1 PTR z%d.example.", i, i))
	}
	if _, err := Parse(copyOf(t, records...)); err == nil || !strings.Contains(err.Error(), "100001 zones; at most 100000") {
		t.Errorf("%v", err)
	}
}

// FuzzParse has catalogs of any records: Parse fails, or its zones are in order and differ, as do their labels.
func FuzzParse(f *testing.F) {
	f.Add("a.zones", "one.example.", "b.zones", "two.example.", "2")
	f.Add("coo.a.zones", "one.example.", "a.zones", "two.example.", "2")
	f.Add("a.zones", "one.example.", "b.zones", "one.example.", "1")
	f.Fuzz(func(t *testing.T, owner1, zone1, owner2, zone2, version string) {
		var b zones.CopyBuilder
		hdr := func(name string, rrtype uint16) dns.RR_Header {
			return dns.RR_Header{Name: dns.Fqdn(name + ".cat.example"), Rrtype: rrtype, Class: dns.ClassINET}
		}
		for _, rr := range []dns.RR{
			&dns.SOA{Hdr: hdr("", dns.TypeSOA), Ns: ".", Mbox: "."}, &dns.TXT{Hdr: hdr("version", dns.TypeTXT), Txt: []string{version}},
			&dns.PTR{Hdr: hdr(owner1, dns.TypePTR), Ptr: dns.Fqdn(zone1)}, &dns.PTR{Hdr: hdr(owner2, dns.TypePTR), Ptr: dns.Fqdn(zone2)},
			&dns.TXT{Hdr: hdr("group."+owner1, dns.TypeTXT), Txt: []string{zone2}},
		} {
			rr.Header().Name = strings.TrimPrefix(rr.Header().Name, ".")
			if r, err := b.Pack(rr); err == nil {
				b.Add(r)
			}
		}
		c, err := b.Copy("cat.example.", "", time.Time{})
		if err != nil {
			t.Skip("the records are no zone")
		}
		entries, err := Parse(c)
		if err != nil {
			return
		}
		labels := map[string]bool{}
		for i, e := range entries {
			if labels[e.Label] || i > 0 && entries[i-1].Zone >= e.Zone || e.Zone == "cat.example." {
				t.Errorf("entries %+v", entries)
			}
			labels[e.Label] = true
		}
	})
}

// TestUpdateKeepsItsPromises changes catalogs and the configuration at random, and checks what must always hold.
func TestUpdateKeepsItsPromises(t *testing.T) {
	const grace, step = 3 * time.Second, time.Second
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	now := time.Unix(1e9, 0)
	catalogs := []Catalog{{Name: "a.", Grace: grace, Known: true}, {Name: "b.", Grace: grace, Known: true}, {Name: "c.", Grace: grace}}
	names := []dnsname.Name{"p.", "q.", "r.", "s."}
	configured := map[dnsname.Name]bool{}
	var members Members
	absent := map[dnsname.Name]time.Time{} // since when the catalog of a member does not list it
	for range 5000 {
		now = now.Add(step)
		i := random.IntN(len(catalogs))
		of := &catalogs[i]
		of.Known, of.Entries = i < 2 || random.IntN(4) > 0, nil
		for _, name := range names {
			if of.Known && random.IntN(2) == 0 {
				of.Entries = append(of.Entries, Entry{Zone: name, Label: fmt.Sprint(random.IntN(2)), Owner: []dnsname.Name{"", "a.", "b.", "c."}[random.IntN(4)]})
			}
		}
		name := names[random.IntN(len(names))]
		configured[name] = random.IntN(8) == 0
		before := members
		o := before.Update(catalogs, func(n dnsname.Name) bool { return configured[n] }, now)
		members = o.Members
		if !slices.IsSortedFunc(members, func(a, b Member) int { return strings.Compare(string(a.Zone), string(b.Zone)) }) {
			t.Fatalf("seed %d: members out of order: %v", seed, members)
		}
		for _, name := range names {
			was, is := before.Find(name), members.Find(name)
			var listing []string
			var known bool
			for _, c := range catalogs {
				known = known || was != nil && was.Catalog == c.Name && c.Known
				if slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Zone == name }) {
					listing = append(listing, string(c.Name))
				}
			}
			refused := 0
			for _, f := range o.Conflicts {
				if f.Zone == name {
					refused++
				}
			}
			served := is != nil && slices.Contains(listing, string(is.Catalog))
			switch {
			case configured[name] && (is != nil || refused != len(listing)):
				t.Fatalf("seed %d: %s is configured, a member %v, with %d conflicts of %v", seed, name, is, refused, listing)
			case configured[name]:
			case len(listing) > 0 && !served && (was == nil || known):
				t.Fatalf("seed %d: %s is listed by %v and is %v", seed, name, listing, is)
			case served && (refused != len(listing)-1 || !is.Left.IsZero()):
				t.Fatalf("seed %d: %s is %v, with %d conflicts of %v", seed, name, is, refused, listing)
			case was != nil && is != nil && was.Catalog != is.Catalog && slices.Contains(listing, string(was.Catalog)) && was.Owner != is.Catalog && ownerIn(catalogs, was) != is.Catalog:
				t.Fatalf("seed %d: %s moved from %v to %v without coo", seed, name, was, is)
			}
			if is == nil || served || !known {
				delete(absent, name)
			} else if absent[name].IsZero() {
				absent[name] = is.Left
			}
			if since := absent[name]; !since.IsZero() && now.Sub(since) >= grace {
				t.Fatalf("seed %d: %s is served %s after it left", seed, name, now.Sub(since))
			}
		}
	}
}

// ownerIn returns the coo of the entry that a member has in its catalog.
func ownerIn(catalogs []Catalog, m *Member) dnsname.Name {
	for _, c := range catalogs {
		for _, e := range c.Entries {
			if c.Name == m.Catalog && e.Zone == m.Zone {
				return e.Owner
			}
		}
	}
	return ""
}

func TestFileOfMembers(t *testing.T) {
	dir := t.TempDir()
	if all, err := Read(dir); all != nil || err != nil {
		t.Errorf("without a file: %v, %v", all, err)
	}
	want := Members{{Zone: "a.", Catalog: "c.", Label: "1", Groups: []string{"x"}, Left: time.Unix(1e9, 5)}, {Zone: "b.", Catalog: "c.", Label: "2", Owner: "d."}}
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "{}", `{"version":1,"members":[{"zone":"b.","catalog":"c."},{"zone":"a.","catalog":"c."}]}`, `{"version":1,"members":[{"zone":"B","catalog":"c."}]}`} {
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := Read(dir); err == nil {
			t.Errorf("%q: %v", text, all)
		}
	}
}
