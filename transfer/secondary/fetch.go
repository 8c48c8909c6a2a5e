package secondary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

// dialer opens a TCP connection.
type dialer func(context.Context, netip.AddrPort) (net.Conn, error)

// fetcher asks primaries.
type fetcher struct {
	dial  dialer
	clock func() time.Time
}

// open sends a question over a connection of its own. close ends the exchange.
func (f *fetcher) open(ctx context.Context, p *Primary, query *dns.Msg) (x *exchange, closing func(), err error) {
	conn, err := p.connect(ctx, f.dial)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	closing = func() { stop(); conn.Close() }
	if x, err = p.ask(conn, f.clock, query); err != nil {
		closing()
		return nil, nil, err
	}
	return x, closing, nil
}

// serial asks a primary for the serial that it has.
func (f *fetcher) serial(ctx context.Context, p *Primary, zone dnsname.Name) (serial uint32, err error) {
	x, closing, err := f.open(ctx, p, new(dns.Msg).SetQuestion(string(zone), dns.TypeSOA))
	if err != nil {
		return 0, err
	}
	defer closing()
	msg, err := x.next()
	if err != nil {
		return 0, err
	}
	if aa, ra := msg[2]&0x04 != 0, msg[3]&0x80 != 0; ra && !aa {
		return 0, errors.New("it is a resolver, not a server of the zone")
	}
	found, apex := false, zone.Wire()
	err = x.records(msg, func(rr dns.RR) error {
		owner, err := dnsname.ParseWire(rr.Header().Name)
		if soa, ok := rr.(*dns.SOA); ok && err == nil && isApex(owner, apex) {
			serial, found = soa.Serial, true
		}
		return nil
	})
	if err == nil && !found {
		err = errors.New("it has no SOA record of the zone")
	}
	if err == nil {
		err = x.end()
	}
	return serial, err
}

// transfer takes a zone from a primary: the changes since have, or all of it if that is nil or has failed. Without an error
// it returns nil if there is no change.
func (f *fetcher) transfer(ctx context.Context, p *Primary, zone dnsname.Name, have *zones.Copy, most int) (*zones.Copy, error) {
	if have != nil {
		taken, err := f.receive(ctx, p, zone, have, most)
		if err == nil || ctx.Err() != nil || errors.Is(err, errConnect) {
			return taken, err
		}
	}
	return f.receive(ctx, p, zone, nil, most)
}

// receive is transfer in one form.
func (f *fetcher) receive(ctx context.Context, p *Primary, zone dnsname.Name, have *zones.Copy, most int) (*zones.Copy, error) {
	query := new(dns.Msg).SetAxfr(string(zone))
	if have != nil {
		query.SetIxfr(string(zone), have.SOA.Serial, ".", ".")
	}
	x, closing, err := f.open(ctx, p, query)
	if err != nil {
		return nil, err
	}
	defer closing()
	c := &content{zone: zone, apex: zone.Wire(), have: have, most: most}
	for c.phase != ended {
		msg, err := x.next()
		if err != nil {
			return nil, err
		}
		if x.octets > 2*most+maxMessage {
			return nil, fmt.Errorf("the transfer has more than %d octets, twice max_size", 2*most)
		}
		if err := x.records(msg, c.add); err != nil {
			return nil, err
		}
		if c.endMessage() {
			return nil, x.end()
		}
	}
	if err := x.end(); err != nil {
		return nil, err
	}
	return c.copy(p.Address.String(), f.clock())
}

// end checks that the last message was signed.
func (x *exchange) end() error {
	if x.signed == nil {
		return nil
	}
	return x.signed.End()
}
