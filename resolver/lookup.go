package resolver

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
	maxChain = 16               // aliases from a target to its addresses
	shortest = time.Second      // an answer is believed for at least so long
	longest  = time.Hour        // and at most so long
	emptyTTL = 60 * time.Second // of an answer without records that does not say
)

// found is what the servers answered for one family.
type found struct {
	addrs   []netip.Addr // that a client can connect to, each once
	useless []netip.Addr // that none can
	ttl     time.Duration
}

// qtypes are the types that hold the addresses of each family.
var qtypes = [families]uint16{ipv4: dns.TypeA, ipv6: dns.TypeAAAA}

// lookup finds the addresses of a name, following aliases wherever they lead.
// Most servers send the whole chain in one answer; where one stops halfway, it is
// asked for the rest. That there are no addresses of the family is no error.
func (c *client) lookup(ctx context.Context, name string, f family) (found, error) {
	w := walk{name: dns.CanonicalName(name), qtype: qtypes[f], ttl: longest}
	for w.links < maxChain {
		asked := w.name
		answer, err := c.ask(ctx, asked, w.qtype)
		if err != nil {
			return found{}, err
		}
		if err := w.follow(answer); err != nil {
			return found{}, err
		}
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

// walk is a way from a name, by aliases, to addresses.
type walk struct {
	name    string // where it has come to, in lower case
	qtype   uint16
	links   int // aliases passed
	records int // addresses at the end, of whatever worth
	ttl     time.Duration
	addrs   []netip.Addr
	useless []netip.Addr
}

// follow goes as far as an answer leads. It does not rely on the order of records.
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

// alias goes to what a name stands for, and reports whether it stands for another.
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

// address takes in an address record.
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
		list = &w.useless
	}
	if !slices.Contains(*list, addr) {
		*list = append(*list, addr)
	}
}

// connectable reports whether a client can connect to addr. Private and loopback
// addresses are for those who know what they do.
func connectable(addr netip.Addr) bool {
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.Is4In6() &&
		addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (w *walk) lower(ttl time.Duration) { w.ttl = min(w.ttl, ttl) }

func (w *walk) found() found {
	return found{addrs: w.addrs, useless: w.useless, ttl: max(w.ttl, shortest)}
}

// ttlOf is a record's time to live; one with the highest bit set is 0 (RFC 2181 8).
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

// negativeTTL is how long to believe that there are no records (RFC 2308 5).
func negativeTTL(answer *dns.Msg) time.Duration {
	soa := soaOf(answer)
	if soa == nil {
		return emptyTTL
	}
	return min(ttlOf(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
}
