package limit

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// matchesPlainly is the obvious form of filterRule.matches.
func matchesPlainly(rule *config.FilterRule, name dnsname.Name, qtype uint16, source netip.Addr) bool {
	if len(rule.Types) > 0 && (name == "" || !slices.Contains(rule.Types, qtype)) {
		return false
	}
	if len(rule.Source) > 0 && !slices.ContainsFunc(rule.Source, func(p netip.Prefix) bool { return p.Contains(source) }) {
		return false
	}
	return len(rule.Names) == 0 || slices.ContainsFunc(rule.Names, func(n dnsname.Name) bool {
		if above, below := strings.CutPrefix(string(n), "*."); below {
			if above == "" {
				above = "."
			}
			return name != dnsname.Name(above) && name.Within(dnsname.Name(above))
		}
		return n == name
	})
}

// TestFilterMatchesFirstRule compares random filters with the obvious form on random queries.
func TestFilterMatchesFirstRule(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	labels := []string{"a", "b", "aa", "*", `a\.b`, `\200`}
	name := func(prefix string) dnsname.Name {
		for range random.IntN(4) {
			prefix += labels[random.IntN(len(labels))] + "."
		}
		if prefix == "" {
			prefix = "."
		}
		n, err := dnsname.Parse(prefix)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	source := func() netip.Addr {
		if random.IntN(3) == 0 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(random.IntN(2))})
		}
		return netip.AddrFrom4([4]byte{192, 0, byte(random.IntN(2)), byte(random.IntN(4))})
	}
	matched := 0
	for range 300 {
		rules := make([]config.FilterRule, 1+random.IntN(4))
		for i := range rules {
			for range random.IntN(3) {
				rules[i].Types = append(rules[i].Types, uint16(1+random.IntN(3)))
			}
			for range random.IntN(3) {
				rules[i].Names = append(rules[i].Names, name([]string{"", "*."}[random.IntN(2)]))
			}
			for range random.IntN(2) {
				a := source()
				p, _ := a.Prefix(a.BitLen() - 8*random.IntN(2))
				rules[i].Source = append(rules[i].Source, p)
			}
		}
		f := NewFilter(rules, nil)
		for range 50 {
			n, qtype, from := name(""), uint16(1+random.IntN(3)), source()
			wire := []byte(n.Wire())
			if random.IntN(10) == 0 {
				n, wire = "", nil
			}
			want := slices.IndexFunc(rules, func(r config.FilterRule) bool { return matchesPlainly(&r, n, qtype, from) })
			if got := f.Match(wire, qtype, from); got != want {
				t.Fatalf("seed %d: %q %d from %s: rule %d, want %d of %+v", seed, n, qtype, from, got, want, rules)
			}
			if want >= 0 {
				matched++
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d queries match a rule", matched)
	}
}

// TestFilterKeepsCounts checks that a rule continues its count when others are added and removed, and that a changed one
// begins again.
func TestFilterKeepsCounts(t *testing.T) {
	any := config.FilterRule{Name: "any", Types: []uint16{dns.TypeANY}, Action: config.FilterDrop}
	other := config.FilterRule{Name: "other", Types: []uint16{dns.TypeTXT}, Action: config.FilterDrop}
	f := NewFilter([]config.FilterRule{any}, nil)
	for worker := range uint32(3 * countStripes) {
		f.Count(0, worker)
	}
	moved := any
	moved.Pos.Line = 9
	f = NewFilter([]config.FilterRule{other, moved}, f)
	f.Count(1, 0)
	if all := f.Status(); all[0].Queries != 0 || all[1].Queries != 3*countStripes+1 {
		t.Errorf("%+v", all)
	}
	changed := any
	changed.Action = config.FilterRefuse
	if all := NewFilter([]config.FilterRule{changed}, f).Status(); all[0].Queries != 0 {
		t.Errorf("%+v", all)
	}
	if NewFilter(nil, f) != nil {
		t.Error("a filter without rules is not nil")
	}
}

func BenchmarkFilter(b *testing.B) {
	rules := make([]config.FilterRule, 10)
	for i := range rules {
		rules[i] = config.FilterRule{Names: []dnsname.Name{"*.victim.example."}, Types: []uint16{dns.TypeANY}}
	}
	f, name, source := NewFilter(rules, nil), dnsname.Name("www.example.com.").Wire(), netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		f.Match(name, dns.TypeA, source)
	}
}
