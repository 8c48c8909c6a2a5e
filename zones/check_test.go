package zones

import (
	"fmt"
	"strings"
	"testing"

	"meridian/config"
	"meridian/dnsname"
)

// Errors between master files and the configuration, and within it.
func TestErrorsOfConfiguredNames(t *testing.T) {
	tests := []struct {
		behaviour string
		make      func(w *world)
		want      []string
	}{
		{"static addresses and aliases at a balanced name", func(w *world) {
			w.zone("example.com", apexRecords+"app A 192.0.2.1\napp AAAA 2001:db8::1\napp TXT fine\nweb CNAME app\n*.t A 192.0.2.1\n",
				"app.example.com", "web.example.com", "*.t.example.com")
		}, []string{
			`/z/0.zone:4:1: A of "app.example.com.", whose addresses come from a pool; remove one of the two`,
			`/z/0.zone:5:1: AAAA of "app.example.com.", whose addresses come from a pool; remove one of the two`,
			`/z/0.zone:7:1: CNAME of "web.example.com.", whose addresses come from a pool; remove one of the two`,
			`/z/0.zone:8:1: A of "*.t.example.com.", whose addresses come from a pool; remove one of the two`,
		}},
		{"a balanced nameserver", func(w *world) {
			nameservers(w.zone("example.com", "", "ns1.example.com"), "ns1.example.com 192.0.2.53")
		}, []string{
			`/etc/meridian.yaml:15:9: zones.example.com.nameservers.ns1.example.com: A of "ns1.example.com.", whose addresses come from a pool; remove one of the two`,
		}},
		{"balanced at and below a delegation", func(w *world) {
			w.zone("example.com", apexRecords+"sub NS ns.outside.\n", "sub.example.com", "a.b.sub.example.com")
		}, []string{
			`/etc/meridian.yaml:12:7: zones.example.com.names.sub: "sub.example.com." is at or below the delegation of "sub.example.com."; remove the delegation or this name`,
			`/etc/meridian.yaml:13:7: zones.example.com.names.a.b.sub: "a.b.sub.example.com." is at or below the delegation of "sub.example.com."; remove the delegation or this name`,
		}},
		{"balanced below a DNAME", func(w *world) {
			w.zone("example.com", apexRecords+"sub DNAME outside.\n", "sub.example.com", "*.sub.example.com")
		}, []string{
			`/etc/meridian.yaml:13:7: zones.example.com.names.*.sub: "*.sub.example.com." is below the DNAME of "sub.example.com."; remove the DNAME or this name`,
		}},
		{"balanced outside the zone", func(w *world) {
			w.zone("example.com", apexRecords, "badexample.com", "com")
		}, []string{
			`/etc/meridian.yaml:12:7: zones.example.com.names.badexample.com.: "badexample.com." is not within zone "example.com."; put it in the zone that holds it`,
			`/etc/meridian.yaml:13:7: zones.example.com.names.com.: "com." is not within zone "example.com."; put it in the zone that holds it`,
		}},
		{"whoami beside records that it answers, and out of reach", func(w *world) {
			z := w.zone("example.com", apexRecords+"who A 192.0.2.1\nwho TXT text\nwho MX 10 fine\n*.who CNAME who\nsub NS ns.outside.\nold DNAME outside.\n")
			for i, name := range []dnsname.Name{"who.example.com.", "*.who.example.com.", "who.sub.example.com.", "who.old.example.com.", "badexample.com."} {
				z.Whoami = append(z.Whoami, config.WhoamiName{Name: name, Pos: config.Pos{Line: 12 + uint32(i), Column: 7}})
			}
		}, []string{
			`/etc/meridian.yaml:14:7: zones.example.com.names.who.sub: "who.sub.example.com." is at or below the delegation of "sub.example.com."; remove the delegation or this name`,
			`/etc/meridian.yaml:15:7: zones.example.com.names.who.old: "who.old.example.com." is below the DNAME of "old.example.com."; remove the DNAME or this name`,
			`/etc/meridian.yaml:16:7: zones.example.com.names.badexample.com.: "badexample.com." is not within zone "example.com."; put it in the zone that holds it`,
			`/z/0.zone:4:1: A of "who.example.com.", which has whoami in the configuration; remove one of the two`,
			`/z/0.zone:5:1: TXT of "who.example.com.", which has whoami in the configuration; remove one of the two`,
			`/z/0.zone:7:1: CNAME of "*.who.example.com.", which has whoami in the configuration; remove one of the two`,
		}},
		{"balanced twice", func(w *world) {
			w.zone("example.com", apexRecords, "example.com", "example.com")
		}, []string{
			`/etc/meridian.yaml:13:7: zones.example.com.names.@: "example.com." is bound to a pool twice; bind each name once`,
		}},
		{"no such pool", func(w *world) {
			w.zone(".", strings.ReplaceAll(apexRecords, "outside.", "outside.test.")+"ns.outside.test. A 192.0.2.1\n", "www.test").Names[0].Pool = "wob"
		}, []string{
			`/etc/meridian.yaml:12:7: zones...names.www.test: no pool "wob"; name a pool of pools`,
		}},
		{"zones that are none", func(w *world) {
			w.zone("example.com", apexRecords)
			w.zone("example.com", apexRecords)
			w.zone("*.example.com", apexRecords)
		}, []string{
			`/etc/meridian.yaml:20:3: zones.example.com: zone "example.com." is written twice; write each zone once`,
			`/etc/meridian.yaml:30:3: zones.*.example.com: "*.example.com." is a wildcard; a zone is a name of its own`,
		}},
		{"nothing that makes an apex", func(w *world) {
			w.zone("example.com", "")
			w.zone("example.net", "").Contact = dnsname.Name("hostmaster.outside.")
			nameservers(w.zone("example.org", ""), "ns1.example.org")
			w.cfg.Zones[2].Contact = ""
		}, []string{
			`/etc/meridian.yaml:10:3: zones.example.com: the zone has no SOA and no NS; write nameservers and contact, or a file that has them`,
			`/etc/meridian.yaml:20:3: zones.example.net: the zone has no SOA and no NS; write nameservers and contact, or a file that has them`,
			`/etc/meridian.yaml:30:3: zones.example.org: the zone has no SOA; write nameservers and contact, or a file that has them`,
			`/etc/meridian.yaml:35:9: zones.example.org.nameservers.ns1.example.org: nameserver "ns1.example.org." of "example.org." does not exist; a nameserver within the zone needs an A or AAAA record`,
		}},
		{"a set that fits in no message", func(w *world) {
			var b strings.Builder
			for i := range 300 {
				fmt.Fprintf(&b, "big TXT %03d %[2]s %[2]s\n", i, strings.Repeat("a", 200))
			}
			w.zone("example.com", apexRecords+b.String())
		}, []string{
			`/z/0.zone:4:1: TXT of "big.example.com." has 125400 bytes in 300 records, more than the 64512 that fit in a message`,
		}},
		{"names with too many types", func(w *world) {
			var b strings.Builder
			for i, name := range []string{"many", "more", "most"} {
				for typ := range 100 + 1000*i {
					fmt.Fprintf(&b, "%s TYPE%d \\# 1 00\n", name, 1000+typ)
				}
			}
			w.zone("example.com", apexRecords+b.String())
		}, []string{
			`/z/0.zone:204:1: "more.example.com." has more than 100 types; use more names`,
			`/z/0.zone:1304:1: "most.example.com." has more than 100 types; use more names`,
		}},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			w := newWorld()
			test.make(w)
			if got, want := w.faults(t), strings.Join(test.want, "\n")+"\n"; got != want {
				t.Errorf("faults are\n%swant\n%s", got, want)
			}
		})
	}
}

// Nameservers with an address, each from another source.
func TestNameserversWithAddress(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+`
@       NS ns.inner
@       NS a.wild
@       NS app
@       NS ns.glued
*.wild  AAAA 2001:db8::1
glued   NS ns.glued
ns.glued A 192.0.2.1
sibling NS unknown.other
other   NS ns.outside.
`, "app.example.com")
	w.zone("inner.example.com", apexRecords+"ns A 192.0.2.2\n")
	if got := w.warnings(t); got != "" {
		t.Errorf("warnings:\n%s", got)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		behaviour, text, want string
	}{
		{
			"TTLs that differ", "www 60 A 192.0.2.1\nwww 30 A 192.0.2.2\nwww 30 A 192.0.2.3\nwww TXT own\n",
			`/z/0.zone:5:1: TTL 30 differs from TTL 60 of another A of "www.example.com.", and the lowest, 30, is used; give all of them one TTL` + "\n",
		},
		{
			"data below a delegation", "sub NS ns.sub\nsub TXT lost\nsub DS 1 8 2 00\nns.sub A 192.0.2.1\na.sub NS ns.outside.\na.sub DS 1 8 2 00\n",
			`/z/0.zone:5:1: TXT of "sub.example.com." is never answered: it is at or below the delegation of "sub.example.com."` + "\n" +
				`/z/0.zone:8:1: NS of "a.sub.example.com." is never answered: it is at or below the delegation of "sub.example.com."` + "\n" +
				`/z/0.zone:9:1: DS of "a.sub.example.com." is never answered: it is at or below the delegation of "sub.example.com."` + "\n",
		},
		{
			"data of an inner zone", "in NS ns.in\nns.in A 192.0.2.1\nin DS 1 8 2 00\na.in DS 1 8 2 00\nin TXT lost\n",
			`/z/0.zone:7:1: DS of "a.in.example.com." is never answered: zone "in.example.com." is served too; put it there` + "\n" +
				`/z/0.zone:8:1: TXT of "in.example.com." is never answered: zone "in.example.com." is served too; put it there` + "\n",
		},
		{
			"a DS at the apex", "@ DS 1 8 2 00\n",
			`/z/0.zone:4:1: DS of "example.com." is never answered: it belongs to the zone above; put it in the zone above` + "\n",
		},
		{
			"aliases that go round", "a CNAME b\nb CNAME c\nc CNAME a\nin2 CNAME b\nself CNAME self\n*.w CNAME x.w\nfine CNAME www\nwww A 192.0.2.1\n",
			`/z/0.zone:4:1: the CNAME of "a.example.com." leads back to itself; give one name of the loop an address` + "\n" +
				`/z/0.zone:8:1: the CNAME of "self.example.com." leads back to itself; give one name of the loop an address` + "\n" +
				`/z/0.zone:9:1: the CNAME of "*.w.example.com." leads back to itself; give one name of the loop an address` + "\n",
		},
		{
			"DNAMEs that go round", "grows DNAME x.grows\nping DNAME pong\npong DNAME x.ping\nin2 CNAME a.ping\nsame DNAME same\nfine DNAME there\n*.there CNAME a.away\naway DNAME example.net.\nback CNAME a.dback\ndback DNAME d\na.d CNAME back\n",
			`/z/0.zone:4:1: the DNAME of "grows.example.com." leads back to itself; give one name of the loop an address` + "\n" +
				`/z/0.zone:5:1: the DNAME of "ping.example.com." leads back to itself; give one name of the loop an address` + "\n" +
				`/z/0.zone:8:1: the DNAME of "same.example.com." leads back to itself; give one name of the loop an address` + "\n" +
				`/z/0.zone:12:1: the CNAME of "back.example.com." leads back to itself; give one name of the loop an address` + "\n",
		},
		{
			"aliases longer than an answer", chainOf(17) + "away CNAME c1\n" + "elsewhere CNAME e1\n" + strings.ReplaceAll(strings.ReplaceAll(chainOf(15), "c", "e"), "www\n", "example.net.\n"),
			`/z/0.zone:4:1: the CNAME of "c1.example.com." leads through more than 16 names: an answer ends there; point it closer to the end of the chain` + "\n" +
				`/z/0.zone:5:1: the CNAME of "c2.example.com." leads through more than 16 names: an answer ends there; point it closer to the end of the chain` + "\n" +
				`/z/0.zone:22:1: the CNAME of "away.example.com." leads through more than 16 names: an answer ends there; point it closer to the end of the chain` + "\n",
		},
		{"RRSIGs each have their TTL", signed("@", "SOA") + signed("@", "NS") + signed("@", "NSEC") + signed("in", "NSEC") + signed("www", "NSEC") + "@ NSEC in NS SOA RRSIG NSEC\nin NSEC www NS RRSIG NSEC\nwww NSEC @ RRSIG NSEC\nwww 60 RRSIG A 8 3 60 20400101000000 20200101000000 1 example.com. AAAA\nwww 30 RRSIG TXT 8 3 30 20400101000000 20200101000000 1 example.com. AAAA\n", ""},
		{"equal records", "www TXT a\nwww TXT a\nwww MX 1 a\nwww MX 1 A\n", ""},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			w := newWorld()
			w.zone("example.com", apexRecords+test.text)
			w.zone("in.example.com", apexRecords)
			if got := w.warnings(t); got != test.want {
				t.Errorf("warnings are\n%swant\n%s", got, test.want)
			}
		})
	}
}

// chainOf returns n aliases, each to the next; the last is to www.
func chainOf(n int) string {
	var b strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&b, "c%d CNAME c%d\n", i+1, i+2)
	}
	fmt.Fprintf(&b, "c%d CNAME www\n", n)
	return b.String() + "www A 192.0.2.1\n"
}
