package secondary

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/zones"
)

const apex = "example.com."

func soa(serial uint32) string {
	return fmt.Sprintf("example.com. 300 IN SOA ns.example.net. host.example.net. %d 3600 600 86400 60", serial)
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil || r == nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

// collect runs records through a content.
func collect(t testing.TB, have *zones.Copy, records ...string) (*zones.Copy, error) {
	c := &content{zone: apex, apex: dnsWire(apex), have: have, most: 1 << 20}
	for _, text := range records {
		if err := c.add(rr(t, text)); err != nil {
			return nil, err
		}
	}
	if c.phase != ended {
		return nil, fmt.Errorf("not ended: phase %d", c.phase)
	}
	return c.copy("192.0.2.1:53", time.Now())
}

// whole returns a copy with a serial and records.
func wholeCopy(t testing.TB, serial uint32, records ...string) *zones.Copy {
	t.Helper()
	all := append(append([]string{soa(serial)}, records...), soa(serial))
	c, err := collect(t, nil, all...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// texts returns the records of a copy but its SOA, sorted.
func texts(c *zones.Copy) (all []string) {
	for r := range c.Records {
		got, _, _ := dns.UnpackRR(r.Whole, 0)
		if got.Header().Rrtype != dns.TypeSOA {
			all = append(all, strings.ReplaceAll(got.String(), "\t", " "))
		}
	}
	slices.Sort(all)
	return all
}

// TestTransferPhases has cases for each row of the table of phases.
func TestTransferPhases(t *testing.T) {
	const ns, a, b, c = "example.com. 300 IN NS ns.example.net.", "a.example.com. 300 IN A 192.0.2.1", "b.example.com. 300 IN A 192.0.2.2", "c.example.com. 300 IN A 192.0.2.3"
	have := wholeCopy(t, 1, ns, a)
	for name, test := range map[string]struct {
		have    *zones.Copy
		records []string
		want    string // an error, or the records
	}{
		"whole":                           {nil, []string{soa(2), ns, b, soa(2)}, b + "|" + ns},
		"whole in place of changes":       {have, []string{soa(2), ns, b, soa(2)}, b + "|" + ns},
		"only the SOA":                    {nil, []string{soa(2), soa(2)}, ""},
		"no SOA at the beginning":         {nil, []string{ns}, "does not begin with the SOA"},
		"SOA in the middle":               {nil, []string{soa(2), ns, soa(3), b, soa(2)}, "SOA record with serial 3 in the middle"},
		"another SOA with the serial":     {nil, []string{soa(2), ns, strings.Replace(soa(2), "3600", "3601", 1)}, "in the middle"},
		"records after the end":           {nil, []string{soa(2), ns, soa(2), b}, "after the end"},
		"SOA after the end":               {nil, []string{soa(2), ns, soa(2), soa(2)}, "in the middle"},
		"SOA of another name":             {nil, []string{soa(2), "x." + soa(2)}, "not the zone"},
		"outside the zone":                {nil, []string{soa(2), "www.example.net. 300 IN A 192.0.2.9"}, "A of www.example.net., which is outside the zone"},
		"outside, with a similar end":     {nil, []string{soa(2), "badexample.com. 300 IN A 192.0.2.9"}, "outside the zone"},
		"another class":                   {nil, []string{soa(2), "a.example.com. 300 CH TXT x"}, "class CH"},
		"one change":                      {have, []string{soa(2), soa(1), a, soa(2), b, soa(2)}, b + "|" + ns},
		"a change of the SOA only":        {have, []string{soa(2), soa(1), soa(2), soa(2)}, a + "|" + ns},
		"two changes":                     {have, []string{soa(3), soa(1), a, soa(2), b, soa(2), b, soa(3), c, soa(3)}, c + "|" + ns},
		"back again":                      {have, []string{soa(3), soa(1), a, soa(2), soa(2), soa(3), a, soa(3)}, a + "|" + ns},
		"another TTL":                     {have, []string{soa(2), soa(1), a, soa(2), "a.example.com. 60 IN A 192.0.2.1", soa(2)}, "a.example.com. 60 IN A 192.0.2.1|" + ns},
		"a change backwards":              {have, []string{soa(3), soa(1), a, soa(0)}, "leads from 1 to 0"},
		"a change past the end":           {have, []string{soa(3), soa(1), a, soa(4)}, "leads from 1 to 4"},
		"changes with a gap":              {have, []string{soa(5), soa(1), a, soa(2), b, soa(3)}, "followed by one from 3"},
		"deletes what is not there":       {have, []string{soa(2), soa(1), b, soa(2), soa(2)}, "does not fit"},
		"adds what is there":              {have, []string{soa(2), soa(1), soa(2), a, soa(2)}, "does not fit"},
		"adds twice":                      {have, []string{soa(2), soa(1), soa(2), b, b, soa(2)}, "adds A of b.example.com. twice"},
		"deletes twice":                   {have, []string{soa(2), soa(1), a, a, soa(2), soa(2)}, "deletes A of a.example.com. twice"},
		"changes that were not asked for": {nil, []string{soa(2), soa(1), a, soa(2), b, soa(2)}, "SOA record with serial 1 in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(t, test.have, test.records...)
			if err != nil {
				if test.want == "" || strings.Contains(test.want, "|") || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				return
			}
			if text := strings.Join(texts(got), "|"); text != test.want {
				t.Errorf("got %s, want %s", text, test.want)
			}
		})
	}
}

func TestTransferIsBounded(t *testing.T) {
	c := &content{zone: apex, apex: dnsWire(apex), most: 10_000}
	if err := c.add(rr(t, soa(1))); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		err := c.add(rr(t, fmt.Sprintf("n%d.example.com. 300 IN A 192.0.2.1", i)))
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "larger than max_size, 10000 octets") {
			t.Error(err)
		}
		if c.built.Size() > 10_000 {
			t.Errorf("%d octets are kept", c.built.Size())
		}
		return
	}
	t.Error("an endless transfer has no end")
}

// TestChangesAgreeWithTheReference applies random changes as one incremental transfer, and to a map.
func TestChangesAgreeWithTheReference(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		reference := map[string]bool{"example.com. 300 IN NS ns.example.net.": true}
		for range random.IntN(8) {
			reference[randomRecord(random)] = true
		}
		have := wholeCopy(t, 1, slices.Sorted(maps.Keys(reference))...)
		steps := 1 + random.IntN(5)
		records := []string{soa(uint32(1 + steps))}
		for step := range steps {
			records = append(records, soa(uint32(1+step)))
			for record := range reference {
				if !strings.Contains(record, " NS ") && random.IntN(3) == 0 {
					records = append(records, record)
					delete(reference, record)
				}
			}
			records = append(records, soa(uint32(2+step)))
			for range random.IntN(4) {
				if record := randomRecord(random); !reference[record] {
					records = append(records, record)
					reference[record] = true
				}
			}
		}
		got, err := collect(t, have, append(records, soa(uint32(1+steps)))...)
		if err != nil {
			t.Fatalf("seed %d: %v in %q", seed, err, records)
		}
		if want := slices.Sorted(maps.Keys(reference)); !slices.Equal(texts(got), want) {
			t.Fatalf("seed %d: got %q, want %q", seed, texts(got), want)
		}
		if got.SOA.Serial != uint32(1+steps) {
			t.Fatalf("seed %d: serial %d", seed, got.SOA.Serial)
		}
	}
}

func randomRecord(random *rand.Rand) string {
	return fmt.Sprintf("%c.example.com. 300 IN A 192.0.2.%d", 'a'+random.IntN(3), random.IntN(3))
}

func FuzzTransfer(f *testing.F) {
	have := wholeCopy(f, 1, "example.com. 300 IN NS ns.example.net.", "a.example.com. 300 IN A 192.0.2.1")
	for _, records := range [][]string{
		{soa(2), "example.com. 300 IN NS ns.example.net.", soa(2)},
		{soa(2), soa(1), "a.example.com. 300 IN A 192.0.2.1", soa(2), soa(2)},
	} {
		msg := new(dns.Msg).SetAxfr(apex)
		msg.Response = true
		for _, text := range records {
			msg.Answer = append(msg.Answer, rr(f, text))
		}
		packed, err := msg.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < headerSize {
			return
		}
		for _, base := range []*zones.Copy{nil, have} {
			x := &exchange{query: new(dns.Msg).SetAxfr(apex)}
			c := &content{zone: apex, apex: dnsWire(apex), have: base, most: 1 << 16}
			if x.records(msg, c.add) != nil || c.phase != ended {
				continue
			}
			if got, err := c.copy("x", time.Now()); err == nil {
				if again, err := zones.DecodeCopy(got.Encode(), time.Now()); err != nil || again.Count() != got.Count() {
					t.Errorf("a copy that cannot be read from its file: %v", err)
				}
			}
		}
	})
}
