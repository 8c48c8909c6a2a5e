package zones

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"meridian/dnsname"
)

// TestChainHasNamesWithRecords checks which names have NSEC records, and that they form a ring in canonical order.
func TestChainHasNamesWithRecords(t *testing.T) {
	w := newWorld()
	w.zone("example.com.", apexRecords+`
a.ent TXT x
*.w TXT x
z TXT x
yljkjljk.a TXT x
tree DNAME elsewhere.
cut NS ns.cut
ns.cut A 192.0.2.1
below.cut TXT x
inner NS ns.outside.
unchained NS ns.outside.
`, "www.example.com.", "a.example.com.")
	nameservers(w.zone("inner.example.com.", ""), "ns.outside.")
	w.zone("unchained.example.com.", apexRecords)
	s := w.mustCompile(t)
	c := s.NewChains([]bool{true, true, false})
	var ring []string
	for at := s.ApexNode(0); ; {
		ring = append(ring, s.NodeName(at).String())
		next := c.Next(at)
		if at = c.Before(0, next); !bytes.Equal(s.NodeName(at), next) {
			t.Fatalf("%s is not in the chain", next)
		}
		if at == s.ApexNode(0) {
			break
		}
	}
	want := strings.Fields("example.com. a.example.com. yljkjljk.a.example.com. cut.example.com. a.ent.example.com. inner.example.com. tree.example.com. unchained.example.com. *.w.example.com. www.example.com. z.example.com.")
	if !slices.Equal(ring, want) {
		t.Errorf("ring\n%q, want\n%q", ring, want)
	}
	if next := c.Next(s.ApexNode(1)).String(); next != "inner.example.com." {
		t.Errorf("the zone with one name continues at %s", next)
	}
	if s.NewChains([]bool{false, false, false}) != nil {
		t.Error("a chain that no zone wants")
	}
}

// TestChainFindsWhatCoversAName compares Before with a search of all names.
func TestChainFindsWhatCoversAName(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := newWorld()
	records := strings.Builder{}
	for range 40 {
		fmt.Fprintf(&records, "%s TXT x\n", randomName(r, "example.com."))
	}
	w.zone("example.com.", apexRecords+records.String())
	s := w.mustCompile(t)
	c := s.NewChains([]bool{true})
	for range 500 {
		name := dnsname.Wire(wire(randomName(r, "example.com.")))
		want := s.ApexNode(0)
		for _, id := range c.zones[0] {
			if at := s.NodeName(id); at.Compare(name) <= 0 && at.Compare(s.NodeName(want)) > 0 {
				want = id
			}
		}
		if got := c.Before(0, name); got != want {
			t.Errorf("%s: %s, want %s", name, s.NodeName(got), s.NodeName(want))
		}
	}
}
