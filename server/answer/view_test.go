package answer

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
)

const viewsOfWWW = "\nviews:\n  byKey: {match: {key: xfr}}\n  inside: {match: {network: [198.51.100.0/24]}}\npools:"

// TestKeySelectsTheView signs a query with the key of a view: it has the pool of that view from any source, also from one
// in the network of another view.
func TestKeySelectsTheView(t *testing.T) {
	p := newPaths(keyedWorld(t, "\npools:", viewsOfWWW, "      www: {pool: near", "      www: {views: {byKey: {pool: far}}, pool: near"))
	for _, source := range []string{"198.51.100.7", "203.0.113.7"} {
		packet, _ := signedQuery(t, answertest.Ask("www.example.com.", dns.TypeA), "xfr.", tsigSecret, p.time.Unix())
		octets := p.full.Respond(nil, packet, netip.MustParseAddr(source), true)
		answer := new(dns.Msg)
		if err := answer.Unpack(octets); err != nil {
			t.Fatal(err)
		}
		if !byFar(answer) {
			t.Errorf("from %s: %v", source, answer)
		}
		plain := exchange(t, p, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), source, true)
		if byFar(plain) {
			t.Errorf("from %s without a signature: %v", source, plain)
		}
	}
}

// byFar reports whether pool far has answered.
func byFar(m *dns.Msg) bool {
	if len(m.Answer) != 1 {
		return false
	}
	a, ok := m.Answer[0].(*dns.A)
	return ok && strings.HasPrefix(a.A.String(), "192.0.2.1") && len(a.A.String()) == len("192.0.2.11")
}

// TestExplainNamesTheView explains a name with views, for clients in each and in none.
func TestExplainNamesTheView(t *testing.T) {
	s := answertest.World(t, "\npools:", strings.Replace(viewsOfWWW, "  byKey: {match: {key: xfr}}\n", "", 1),
		"      www: {pool: near", "      www: {views: {inside: {pool: far}}, pool: near")
	for client, want := range map[string][2]string{
		"198.51.100.7": {"inside", `www.example.com. is bound to pool "far": the client is in network 198.51.100.0/24 of view "inside"`},
		"203.0.113.7":  {"", `www.example.com. is bound to pool "near": the client is in no view`},
	} {
		got := Trace(s, ExplainQuery{Name: dnsname.Name("www.example.com."), Type: dns.TypeA, Client: netip.MustParsePrefix(client + "/32")})
		if got.View != want[0] || len(got.Notes) != 1 || got.Notes[0] != want[1] {
			t.Errorf("%s: view %q, %q", client, got.View, got.Notes)
		}
	}
}

// TestExplainNamesThePoolsOfBothTypes explains a name with one pool for A and one for AAAA.
func TestExplainNamesThePoolsOfBothTypes(t *testing.T) {
	s := answertest.World(t, "      www: {pool: near", "      www: {pool: {A: near, AAAA: far}")
	for qtype, pool := range map[uint16]string{dns.TypeA: "near", dns.TypeAAAA: "far", dns.TypeTXT: "near"} {
		got := Trace(s, ExplainQuery{Name: dnsname.Name("www.example.com."), Type: qtype, Client: netip.MustParsePrefix("203.0.113.7/32")})
		const want = `www.example.com. is bound to pool "near" for A and to pool "far" for AAAA`
		if len(got.Notes) != 1 || got.Notes[0] != want || qtype != dns.TypeTXT && (len(got.Steps) == 0 || got.Steps[0].Pool != pool) {
			t.Errorf("type %d: notes %q, steps %+v, want pool %q", qtype, got.Notes, got.Steps, pool)
		}
	}
}
