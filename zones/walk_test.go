package zones

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// TestWalkYieldsTheNodesOfItsZone compares with a search of all nodes, in zones that are nested and have names of updates.
func TestWalkYieldsTheNodesOfItsZone(t *testing.T) {
	var text strings.Builder
	text.WriteString("pools:\n  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}\nzones:\n")
	for i, zone := range []string{"example.com", "a.example.com", "b.a.example.com", "c.d.example.com", "example.net"} {
		fmt.Fprintf(&text, "  %s: {nameservers: {ns.example.org: []}, contact: h@example.org, names: {www: {pool: web}, x.y: {pool: web}, z%d: {pool: web}}}\n", zone, i)
	}
	cfg, _, err := config.Parse("meridian.yaml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	s, report := Compile(cfg)
	if _, err := report.Join(); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for z := range ZoneID(len(s.zones)) {
			var want []NodeID
			for id := range s.count() {
				if n := s.node(id); id > 0 && n.zone == z && (n.sets > 0 || n.flags.has(isBalanced|isAbove)) {
					want = append(want, id)
				}
			}
			if got := slices.Collect(s.Walk(z)); !slices.Equal(got, want) || len(got) < 4 {
				t.Errorf("zone %d: %v, want %v", z, got, want)
			}
		}
	}
	check()
	for z, name := range []dnsname.Name{"new.example.com.", "new.a.example.com.", "new.b.a.example.com."} {
		s, err = s.Update(ZoneID(z), []SetChange{{Owner: name.Wire(), Type: dns.TypeTXT, TTL: 60, Data: [][]byte{[]byte("\x01x")}}})
		if err != nil {
			t.Fatal(err)
		}
		check()
	}
}
