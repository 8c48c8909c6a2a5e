package control

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/server/answer"
)

// ExplainParams is a question to be explained, as text. All fields but Name are optional; the
// default type is A.
type ExplainParams struct {
	Name, Type string
	Client     string // an address or a network
	Resolver   string // an address
	Draw       string // a number, decimal or hexadecimal with 0x
	Time       string // RFC 3339
}

// Parse parses the question.
func (t ExplainParams) Parse() (asked answer.ExplainQuery, err error) {
	if asked.Name, err = dnsname.Parse(t.Name); err != nil {
		return asked, err
	}
	asked.Type = dns.TypeA
	if t.Type != "" {
		if asked.Type, err = config.ParseType(t.Type); err != nil {
			return asked, err
		}
	}
	if t.Client != "" {
		client, ok := config.ParseNetwork(t.Client)
		if !ok {
			return asked, fmt.Errorf("client: %q is neither an address nor a network; e.g. 198.51.100.7 or 198.51.100.0/24", t.Client)
		}
		asked.Client = client
	}
	if t.Resolver != "" {
		if asked.Resolver, err = netip.ParseAddr(t.Resolver); err != nil {
			return asked, fmt.Errorf("resolver: %q is not an address; e.g. 192.0.2.53", t.Resolver)
		}
	}
	if t.Draw != "" {
		draw, err := strconv.ParseUint(t.Draw, 0, 64)
		if err != nil {
			return asked, fmt.Errorf("draw: %q is not a number of 64 bits; e.g. 0x9e3779b97f4a7c15 or 7", t.Draw)
		}
		asked.Draw = &draw
	}
	if t.Time != "" {
		if asked.Time, err = time.Parse(time.RFC3339, t.Time); err != nil {
			return asked, fmt.Errorf("time: %q is not a time; e.g. 2026-03-01T12:00:00Z", t.Time)
		}
	}
	return asked, nil
}
