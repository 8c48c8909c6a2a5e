package transfer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer/journal"
)

// manyRecords returns a zone with n addresses at many.example.com.
func manyRecords(n int) string {
	var zone strings.Builder
	zone.WriteString("@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n")
	for i := range n {
		fmt.Fprintf(&zone, "many 300 IN A 10.0.%d.%d\n", i>>8, i&255)
	}
	return zone.String()
}

// updateOf returns an update of many.example.com. with n changes, each made from its number.
func updateOf(t testing.TB, n int, change func(m *dns.Msg, i int)) *UpdateRequest {
	t.Helper()
	m := new(dns.Msg).SetUpdate("example.com.")
	for i := range n {
		change(m, i)
	}
	m.Compress = true
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return &UpdateRequest{Packet: packet, Key: "acme.", At: time.Unix(1, 0)}
}

// aRecord returns an A record of many.example.com.
func aRecord(i int, net byte) []dns.RR {
	return []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "many.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: []byte{net, 0, byte(i >> 8), byte(i)}}}
}

// BenchmarkUpdateOfManyRecords makes updates of as many changes as fit in a message, at a name with as many records.
func BenchmarkUpdateOfManyRecords(b *testing.B) {
	c := content(b, "example.com.", manyRecords(4000)) // the largest set that fits in a message has 4032
	cfg := &config.Config{Zones: []config.Zone{{Name: "example.com.", Update: []config.UpdateRule{{Key: "acme.", Names: []string{"*"}}}}}}
	for name, change := range map[string]func(m *dns.Msg, i int){
		"add":     func(m *dns.Msg, i int) { m.Insert(aRecord(i, 11)) },
		"replace": func(m *dns.Msg, i int) { m.Insert(aRecord(i, 10)) },
		"remove":  func(m *dns.Msg, i int) { m.Remove(aRecord(i, 10)) },
		"types": func(m *dns.Msg, i int) {
			m.Insert([]dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{Name: "types.example.com.", Rrtype: uint16(1000 + i), Class: dns.ClassINET, Ttl: 300}, Rdata: "00"}})
		},
	} {
		r := updateOf(b, 3900, change)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				NewEvaluator(cfg, c.data, 0, journal.State{}).Evaluate(r)
			}
		})
	}
}

// outcomeIn returns the outcome of an update.
func outcomeIn(t testing.TB, zone string, r *UpdateRequest) *Update {
	t.Helper()
	cfg := &config.Config{Zones: []config.Zone{{Name: "example.com.", Update: []config.UpdateRule{{Key: "acme.", Names: []string{"*"}}}}}}
	return NewEvaluator(cfg, content(t, "example.com.", zone).data, 0, journal.State{}).Evaluate(r)
}

// TestUpdateLimitsRecordsOfAName has updates that would leave more records of a type, or types, than a name may have, and those that
// leave fewer than there were.
func TestUpdateLimitsRecordsOfAName(t *testing.T) {
	small := "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n"
	ofType := func(m *dns.Msg, i int) {
		m.Insert([]dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{Name: "many.example.com.", Rrtype: uint16(1000 + i), Class: dns.ClassINET, Ttl: 300}, Rdata: "00"}})
	}
	add := func(m *dns.Msg, i int) { m.Insert(aRecord(i, 11)) }
	for name, c := range map[string]struct {
		zone           string
		n              int
		change         func(m *dns.Msg, i int)
		want           string // why it is refused
		added, deleted int
	}{
		"100 records":                 {small, 100, add, "", 100, 0},
		"101 records":                 {small, 101, add, "many.example.com. would have more than 100 records of a type", 0, 0},
		"500 records":                 {small, 500, add, "many.example.com. would have more than 100 records of a type", 0, 0},
		"100 types":                   {small, 100, ofType, "", 100, 0},
		"101 types":                   {small, 101, ofType, "many.example.com. would have more than 100 types", 0, 0},
		"500 types":                   {small, 500, ofType, "many.example.com. would have more than 100 types", 0, 0},
		"one more than in the file":   {manyRecords(500), 1, add, "many.example.com. would have more than 100 records of a type", 0, 0},
		"those of the file again":     {manyRecords(500), 500, func(m *dns.Msg, i int) { m.Insert(aRecord(i, 10)) }, "", 0, 0},
		"most of the file removed":    {manyRecords(500), 500, func(m *dns.Msg, i int) { m.Remove(aRecord(i, 10)) }, "", 0, 500},
		"another TTL for one of them": {manyRecords(500), 1, func(m *dns.Msg, i int) { rr := aRecord(i, 10); rr[0].Header().Ttl = 7; m.Insert(rr) }, "", 500, 500},
	} {
		t.Run(name, func(t *testing.T) {
			u := outcomeIn(t, c.zone, updateOf(t, c.n, c.change))
			if c.want != "" {
				if u.Rcode != dns.RcodeRefused || u.Reason != c.want || u.Change != nil {
					t.Errorf("%s, %q, want %q", dns.RcodeToString[u.Rcode], u.Reason, c.want)
				}
				return
			}
			var added, deleted int
			if u.Change != nil {
				added, deleted = len(u.Change.Added), len(u.Change.Deleted)
			}
			if u.Rcode != dns.RcodeSuccess || added != c.added || deleted != c.deleted {
				t.Errorf("%s, %q: %d added, %d deleted; want %d and %d", dns.RcodeToString[u.Rcode], u.Reason, added, deleted, c.added, c.deleted)
			}
		})
	}
}

// TestUpdateComparesOnlyNamesWithoutCase adds, removes and requires records with data that differ from those of the zone only in an octet
// that could be the case of a letter.
func TestUpdateComparesOnlyNamesWithoutCase(t *testing.T) {
	zone := "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\na 300 IN A 10.0.0.65\na 300 IN TXT abc\na 300 IN MX 65 mail\n"
	for text, same := range map[string]bool{
		"a.example.com. 300 IN A 10.0.0.65": true, "a.example.com. 300 IN A 10.0.0.97": false,
		"a.example.com. 300 IN TXT abc": true, "a.example.com. 300 IN TXT ABC": false,
		"a.example.com. 300 IN MX 65 MAIL.example.com.": true, "a.example.com. 300 IN MX 97 mail.example.com.": false,
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		u := outcomeIn(t, zone, updateOf(t, 1, func(m *dns.Msg, _ int) { m.Insert([]dns.RR{rr}) }))
		if again := u.Change == nil || len(u.Change.Deleted) == 1; again != same || u.Rcode != dns.RcodeSuccess {
			t.Errorf("%s is added: %+v, want the same record: %t", text, u, same)
		}
		u = outcomeIn(t, zone, updateOf(t, 1, func(m *dns.Msg, _ int) { m.Remove([]dns.RR{dns.Copy(rr)}) }))
		if removed := u.Change != nil; removed != same || u.Rcode != dns.RcodeSuccess {
			t.Errorf("%s is removed: %+v, want the same record: %t", text, u, same)
		}
		u = outcomeIn(t, zone, updateOf(t, 1, func(m *dns.Msg, _ int) { m.Used([]dns.RR{dns.Copy(rr)}) }))
		if met := u.Rcode == dns.RcodeSuccess; met != same {
			t.Errorf("%s is required: %+v, want the same record: %t", text, u, same)
		}
	}
}
