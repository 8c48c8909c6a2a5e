package discovery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestLookups(t *testing.T) {
	const soa = "example. 300 SOA ns.example. h.example. 1 2 3 4 "
	tests := []struct {
		behaviour string
		book      map[string][]string // by "name type"
		family    family
		want      string // addresses, unusable ones after a bar, TTL; or the error
	}{
		{"addresses", map[string][]string{
			"lb.example. A": {"lb.example. 60 A 192.0.2.2", "lb.example. 50 A 192.0.2.1", "lb.example. 60 A 192.0.2.2"},
		}, ipv4, "192.0.2.2 192.0.2.1 50s"},
		{"the other family", map[string][]string{"lb.example. AAAA": {"lb.example. 60 AAAA 2001:db8::1"}}, ipv6, "2001:db8::1 1m0s"},
		{"records of other names, types and classes do not count", map[string][]string{
			"lb.example. A": {
				"lb.example. 60 A 192.0.2.1", "other.example. 1 A 192.0.2.2", "lb.example. 1 TXT x", "lb.example. 1 CH A 192.0.2.3",
				"lb.example. 60 AAAA 2001:db8::1",
			},
		}, ipv4, "192.0.2.1 1m0s"},
		{"a chain in one answer, in any order, for its shortest TTL", map[string][]string{
			"lb.example. A": {"c.example. 90 A 192.0.2.1", "b.example. 30 CNAME c.example.", "lb.example. 60 CNAME b.example."},
		}, ipv4, "192.0.2.1 30s"},
		{"a chain in several answers", map[string][]string{
			"lb.example. A": {"lb.example. 60 CNAME b.example."},
			"b.example. A":  {"b.example. 20 CNAME c.example."},
			"c.example. A":  {"c.example. 90 A 192.0.2.1"},
		}, ipv4, "192.0.2.1 20s"},
		{"a chain that ends without the family", map[string][]string{
			"lb.example. A": {"lb.example. 60 CNAME b.example.", soa + "20"},
			"b.example. A":  {"b.example. 60 A 192.0.2.66"},
		}, ipv4, "none 20s"},
		{"no record of the family", map[string][]string{"lb.example. A": {soa + "40"}}, ipv4, "none 40s"},
		{"no record, for the SOA's TTL", map[string][]string{"lb.example. A": {soa + "4000"}}, ipv4, "none 5m0s"},
		{"no record and no SOA", nil, ipv4, "none 1m0s"},
		{"no such name", map[string][]string{"lb.example. A": {"NXDOMAIN"}}, ipv4, `response code NXDOMAIN: there is no name "lb.example."`},
		{"a chain to no such name", map[string][]string{
			"lb.example. A": {"lb.example. 60 CNAME b.example."}, "b.example. A": {"NXDOMAIN"},
		}, ipv4, `response code NXDOMAIN: there is no name "b.example."`},
		{"a loop in one answer", map[string][]string{
			"lb.example. A": {"lb.example. 60 CNAME b.example.", "b.example. 60 CNAME lb.example."},
		}, ipv4, errTooLong.Error()},
		{"a loop from answer to answer", map[string][]string{
			"lb.example. A": {"lb.example. 60 CNAME b.example."},
			"b.example. A":  {"b.example. 60 CNAME lb.example."},
		}, ipv4, errTooLong.Error()},
		{"an alias of itself", map[string][]string{"lb.example. A": {"lb.example. 60 CNAME lb.example."}}, ipv4, errTooLong.Error()},
		{"a long chain", map[string][]string{"lb.example. A": chain(17)}, ipv4, errTooLong.Error()},
		{"a chain of the largest length", map[string][]string{"lb.example. A": chain(15)}, ipv4, "192.0.2.1 1m0s"},
		{"a TTL of zero", map[string][]string{"lb.example. A": {"lb.example. 0 A 192.0.2.1"}}, ipv4, "192.0.2.1 1s"},
		{"a TTL that is negative in 32 bits", map[string][]string{"lb.example. A": {"lb.example. 4294967295 A 192.0.2.1"}}, ipv4, "192.0.2.1 1s"},
		{"a TTL of a week", map[string][]string{"lb.example. A": {"lb.example. 604800 A 192.0.2.1"}}, ipv4, "192.0.2.1 1h0m0s"},
		{"private addresses are accepted", map[string][]string{
			"lb.example. A": {"lb.example. 60 A 10.0.0.1", "lb.example. 60 A 127.0.0.1"},
		}, ipv4, "10.0.0.1 127.0.0.1 1m0s"},
		{"unusable addresses are ignored", map[string][]string{
			"lb.example. A": {"lb.example. 60 A 0.0.0.0", "lb.example. 60 A 224.0.0.1", "lb.example. 60 A 255.255.255.255", "lb.example. 60 A 192.0.2.1"},
		}, ipv4, "192.0.2.1 | 0.0.0.0 224.0.0.1 255.255.255.255 1m0s"},
		{"unusable IPv6 addresses are ignored", map[string][]string{
			"lb.example. AAAA": {"lb.example. 60 AAAA ::", "lb.example. 60 AAAA ff02::1", "lb.example. 60 AAAA ::ffff:192.0.2.1"},
		}, ipv6, "none | :: ff02::1 ::ffff:192.0.2.1 1m0s"},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				found, err := clientOf(newBook(test.book).answer).lookup(t.Context(), "lb.example.", test.family)
				got := list(found.addrs)
				if len(found.unusable) > 0 {
					got += " | " + list(found.unusable)
				}
				got += fmt.Sprint(" ", found.ttl)
				if err != nil {
					got = err.Error()
					if _, after, ok := strings.Cut(got, "53:53: "); ok {
						got = after
					}
				}
				expect(t, "found", got, test.want)
			})
		})
	}
}

// chain returns a number of consecutive aliases, then an address.
func chain(links int) []string {
	records := []string{"lb.example. 60 CNAME n1.example."}
	for i := 1; i < links; i++ {
		records = append(records, fmt.Sprintf("n%d.example. 60 CNAME n%d.example.", i, i+1))
	}
	return append(records, fmt.Sprintf("n%d.example. 60 A 192.0.2.1", links))
}

// A lookup sends a limited number of queries for any answers.
func TestLookupIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		_, err := clientOf(func(_, _ string, q *dns.Msg) [][]byte {
			n++
			return packed(reply(q, fmt.Sprintf("%s 60 CNAME n%d.example.", q.Question[0].Name, n)))
		}).lookup(t.Context(), "lb.example.", ipv4)
		expect(t, "error", err, errTooLong)
		expect(t, "questions", n, maxChain)
	})
}

func TestNegativeTTLComesFromTheSOA(t *testing.T) {
	m := reply(new(dns.Msg).SetQuestion("lb.example.", dns.TypeA))
	expect(t, "without", negativeTTL(m), emptyTTL)
	m.Ns = []dns.RR{&dns.NS{}, &dns.SOA{Hdr: dns.RR_Header{Ttl: 7}, Minttl: 9}}
	expect(t, "with", negativeTTL(m), 7*time.Second)
}
