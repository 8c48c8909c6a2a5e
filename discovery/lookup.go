package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	maxChain = 16               // most aliases from a target to its addresses
	minTTL   = time.Second      // an answer is valid for at least this time
	maxTTL   = time.Hour        // and at most this time
	emptyTTL = 60 * time.Second // for an answer without records and without SOA
)

// found is the answer for one family.
type found struct {
	addrs    []netip.Addr // distinct, and a client can connect to them
	unusable []netip.Addr // no client can connect to them
	ttl      time.Duration

	subnetIgnored bool // a response did not use the client subnet of the question
}

// qtypes holds the query type of each family.
var qtypes = [families]uint16{ipv4: dns.TypeA, ipv6: dns.TypeAAAA}

// lookup finds the addresses of a name, following aliases through any zone. Most servers send the whole chain in one
// answer; if one stops halfway, lookup queries the rest. An answer without addresses of the family is not an error.
func (c *client) lookup(ctx context.Context, name string, f family) (found, error) {
	w := walk{name: dns.CanonicalName(name), qtype: qtypes[f], ttl: maxTTL}
	for w.links < maxChain {
		asked := w.name
		answer, err := c.ask(ctx, asked, w.qtype)
		if err != nil {
			return found{}, err
		}
		if err := w.follow(answer); err != nil {
			return found{}, err
		}
		w.subnetIgnored = w.subnetIgnored || c.subnet.IsValid() && subnetOf(answer) == nil
		switch {
		case answer.Rcode == dns.RcodeNameError:
			return found{}, fmt.Errorf("response code NXDOMAIN: there is no name %q", w.name)
		case w.records > 0:
			return w.found(), nil
		case w.name == asked || hasSOA(answer):
			w.lower(negativeTTL(answer))
			return w.found(), nil
		}
	}
	return found{}, errTooLong
}

var errTooLong = errors.New("a loop of aliases, or more than 16 in a row")

// walk follows the aliases from a name to addresses.
type walk struct {
	name     string // current name, in lower case
	qtype    uint16
	links    int // aliases followed
	records  int // address records at the end, usable or not
	ttl      time.Duration
	addrs    []netip.Addr
	unusable []netip.Addr

	subnetIgnored bool
}

// follow follows the aliases in an answer. It does not rely on the order of records.
func (w *walk) follow(answer *dns.Msg) error {
	for w.alias(answer.Answer) {
		if w.links++; w.links == maxChain {
			return errTooLong
		}
	}
	for _, rr := range answer.Answer {
		if h := rr.Header(); h.Rrtype == w.qtype && h.Class == dns.ClassINET && dns.CanonicalName(h.Name) == w.name {
			w.lower(ttlOf(h))
			w.address(rr)
		}
	}
	return nil
}

// alias moves to the target of an alias, and reports whether there is one.
func (w *walk) alias(records []dns.RR) bool {
	for _, rr := range records {
		cname, ok := rr.(*dns.CNAME)
		if ok && cname.Hdr.Class == dns.ClassINET && dns.CanonicalName(cname.Hdr.Name) == w.name {
			w.lower(ttlOf(&cname.Hdr))
			w.name = dns.CanonicalName(cname.Target)
			return true
		}
	}
	return false
}

// address adds an address record.
func (w *walk) address(rr dns.RR) {
	var addr netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		addr, _ = netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		addr, _ = netip.AddrFromSlice(rr.AAAA.To16())
	}
	w.records++
	list := &w.addrs
	if !connectable(addr) {
		list = &w.unusable
	}
	if !slices.Contains(*list, addr) {
		*list = append(*list, addr)
	}
}

// connectable reports whether a client can connect to addr. Private and loopback addresses are allowed: an operator may
// use them on purpose.
func connectable(addr netip.Addr) bool {
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.Is4In6() &&
		addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (w *walk) lower(ttl time.Duration) { w.ttl = min(w.ttl, ttl) }

func (w *walk) found() found {
	return found{addrs: w.addrs, unusable: w.unusable, ttl: max(w.ttl, minTTL), subnetIgnored: w.subnetIgnored}
}

// ttlOf returns a record's TTL; one with the highest bit set is 0 (RFC 2181 8).
func ttlOf(h *dns.RR_Header) time.Duration {
	if h.Ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(h.Ttl) * time.Second
}

func soaOf(answer *dns.Msg) *dns.SOA {
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}

func hasSOA(answer *dns.Msg) bool { return soaOf(answer) != nil }

// negativeTTL returns how long an answer without records is valid (RFC 2308 5).
func negativeTTL(answer *dns.Msg) time.Duration {
	soa := soaOf(answer)
	if soa == nil {
		return emptyTTL
	}
	return min(ttlOf(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
}
