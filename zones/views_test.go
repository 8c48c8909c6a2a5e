package zones

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// nearby returns a random address in 10.0.0.0/28, so that networks overlap often.
func nearby(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
}

// referenceView returns the view of the longest network that contains all of p.
func referenceView(all []config.View, p netip.Prefix) (id ViewID) {
	longest := -1
	for i := range all {
		for _, network := range all[i].Networks {
			if network.Bits() <= p.Bits() && network.Contains(p.Addr()) && network.Bits() > longest {
				id, longest = ViewID(i+1), network.Bits()
			}
		}
	}
	return id
}

// TestViewsMatchTheLongestNetwork compares random views with a search of all networks. The scope is right if all addresses
// of the prefix have the same view, and if the next shorter prefix has a longer network inside.
func TestViewsMatchTheLongestNetwork(t *testing.T) {
	for range 100 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		all, taken := make([]config.View, 1+r.IntN(3)), map[netip.Prefix]bool{}
		for i := range all {
			for range r.IntN(4) {
				if p := netip.PrefixFrom(nearby(r), 26+r.IntN(7)).Masked(); !taken[p] {
					taken[p] = true
					all[i].Networks = append(all[i].Networks, p)
				}
			}
		}
		s := &Data{views: newViews(all)}
		for range 50 {
			p := netip.PrefixFrom(nearby(r), 24+r.IntN(9)).Masked()
			id, scope := s.ViewOf(p)
			if want := referenceView(all, p); id != want {
				t.Fatalf("seed %d: %s is in view %d, want %d", seed, p, id, want)
			}
			checkScope(t, seed, all, p.Addr(), scope)
		}
	}
}

func checkScope(t *testing.T, seed uint64, all []config.View, first netip.Addr, scope int) {
	t.Helper()
	within := netip.PrefixFrom(first, scope).Masked()
	of := func(a netip.Addr) ViewID { return referenceView(all, netip.PrefixFrom(a, 32)) }
	for i := range uint32(32) {
		var octets [4]byte
		binary.BigEndian.PutUint32(octets[:], 10<<24+i)
		if a := netip.AddrFrom4(octets); within.Contains(a) && of(a) != of(first) {
			t.Fatalf("seed %d: scope %d for %s, and %s is in another view", seed, scope, first, a)
		}
	}
	if scope == 0 {
		return
	}
	wider := netip.PrefixFrom(first, scope-1).Masked()
	if !slices.ContainsFunc(all, func(v config.View) bool {
		return slices.ContainsFunc(v.Networks, func(p netip.Prefix) bool { return p.Bits() >= scope && wider.Contains(p.Addr()) })
	}) {
		t.Fatalf("seed %d: scope %d for %s, and no network of a view is in %s", seed, scope, first, wider)
	}
}

// The NSEC record of a name has the types of all its views: resolvers answer other clients from it. A name that may be
// an alias in one view cannot have other records in any.
func TestTypesOfANameAreThoseOfAllItsViews(t *testing.T) {
	const text = `
pools:
  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}
  six: {policy: all, members: [{name: a, addresses: ["2001:db8::1"], records: {TXT: [x]}}]}
  out: {policy: failover, members: [{name: a, cname: example.net}]}
views:
  v: {match: {network: [10.0.0.0/8]}}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: web, views: {v: {pool: six, ttl: 90000}}}, plain: {pool: web}, split: {pool: {A: web, AAAA: six}}%s}}
`
	cfg, _, err := config.Parse("meridian.yaml", fmt.Appendf(nil, text, ", out: {pool: web, views: {v: {pool: out}}}"))
	if err != nil {
		t.Fatal(err)
	}
	s, report := Compile(cfg)
	if _, err := report.Join(); err != nil {
		t.Fatal(err)
	}
	node := func(name string) NodeID { return s.Lookup(dnsname.Name(name).Wire(), dns.TypeA).Node }
	for name, want := range map[string][]uint16{
		"www.example.com.": {dns.TypeA, dns.TypeAAAA, dns.TypeTXT}, "plain.example.com.": {dns.TypeA}, "split.example.com.": {dns.TypeA, dns.TypeAAAA}, "out.example.com.": {dns.TypeA},
	} {
		if got := s.AppendTypes(nil, node(name)); !slices.Equal(got, want) {
			t.Errorf("%s has types %v, want %v", name, got, want)
		}
		if got := s.GivesCName(node(name)); got != (name == "out.example.com.") {
			t.Errorf("%s may be an alias: %v", name, got)
		}
	}
	if got := s.LargestTTLs()[0]; got != 90000 {
		t.Errorf("the largest TTL is %d, want that of the view, 90000", got)
	}
	cfg, _, err = config.Parse("meridian.yaml", fmt.Appendf(nil, text, `, "@": {pool: web, views: {v: {pool: out}}}`))
	if err != nil {
		t.Fatal(err)
	}
	_, report = Compile(cfg)
	if _, err := report.Join(); err == nil {
		t.Error("a pool of a view may answer a CNAME at the apex")
	}
}
