package main

import (
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// cookieFrom returns the DNS cookie of the answer to a query with a cookie; one that is valid comes back unchanged.
func cookieFrom(t *testing.T, server, cookie string) string {
	t.Helper()
	query := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	query.SetEdns0(1232, false)
	query.IsEdns0().Option = append(query.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	answer, err := counterpart.Exchange(query, server)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range answer.IsEdns0().Option {
		if c, ok := option.(*dns.EDNS0_COOKIE); ok {
			return c.Cookie
		}
	}
	t.Fatalf("no cookie in %v", answer)
	return ""
}
