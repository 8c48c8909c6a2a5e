package answer

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/server/answer/answertest"
)

// TestRateLimitIsExplained floods from one source, and asks how the limit applies to it and to others; asking counts
// nothing.
func TestRateLimitIsExplained(t *testing.T) {
	p := limited(t, ", exempt: [192.0.2.0/24]")
	over, other, exempt := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("192.0.2.7")
	flood(t, p.wire, 100, answertest.Ask("www.example.com.", dns.TypeA), over.String(), false)
	e := p.wire.engine
	for range 100 {
		for source, want := range map[netip.Addr]RateLimit{over: {Rate: 10, Over: true}, other: {Rate: 10}, exempt: {Rate: 10, Exempt: true}} {
			if got := e.RateLimitOf(source); got == nil || *got != want {
				t.Fatalf("%s: %+v, want %+v", source, got, want)
			}
		}
	}
	if got := newPaths(answertest.World(t)).wire.engine.RateLimitOf(over); got != nil {
		t.Errorf("without a limit: %+v", got)
	}
}

// TestFilterIsExplained matches questions with and without a known source.
func TestFilterIsExplained(t *testing.T) {
	rules := []config.FilterRule{
		{Name: "source", Source: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Types: []uint16{dns.TypeA}},
		{Name: "any", Types: []uint16{dns.TypeANY}},
	}
	for _, c := range []struct {
		asked ExplainQuery
		want  string
	}{
		{ExplainQuery{Name: "a.example.", Type: dns.TypeA, Resolver: netip.MustParseAddr("192.0.2.1")}, "source"},
		{ExplainQuery{Name: "a.example.", Type: dns.TypeA, Client: netip.MustParsePrefix("192.0.2.0/24")}, "source"},
		{ExplainQuery{Name: "a.example.", Type: dns.TypeA}, ""},
		{ExplainQuery{Name: "a.example.", Type: dns.TypeANY}, "any"},
		{ExplainQuery{Name: "a.example.", Type: dns.TypeTXT}, ""},
	} {
		got := ""
		if rule := MatchFilter(rules, c.asked); rule != nil {
			got = rule.Name
		}
		if got != c.want {
			t.Errorf("%+v: rule %q, want %q", c.asked, got, c.want)
		}
	}
}
