package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// refuseDial is the network of the tests: no address accepts a connection.
func refuseDial(context.Context, netip.Addr, string, string) (net.Conn, error) {
	return nil, errors.New("connection refused")
}

// asked is a configuration with pools that no query asks for by themselves.
const asked = `
server: {listen: ["127.0.0.1:0"]}
admin: {listen: "127.0.0.1:0"}
checks: {tcp: {type: tcp, port: 80, idle: {after: 1m, factor: 10}}}
pools:
  web: {policy: failover, check: tcp, members: [{name: a, addresses: [192.0.2.1]}, {name: in, pool: inner}]}
  inner: {policy: weighted, check: tcp, members: [{name: b, addresses: [192.0.2.2]}]}
  other: {policy: weighted, check: tcp, members: [{name: c, addresses: [192.0.2.3]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}, other: {pool: other}}
`

// query asks the server for the address of a name.
func (w *world) query(t *testing.T, name string) {
	t.Helper()
	packed, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := w.server.Borrow()
	defer w.server.Return(r)
	if len(r.Respond(nil, packed, netip.MustParseAddr("203.0.113.1"), false)) == 0 {
		t.Fatal("no answer")
	}
}

// expectIntervals compares the intervals at which the addresses of web, inner and other are probed.
func (w *world) expectIntervals(t *testing.T, when, want string) {
	t.Helper()
	s, err := w.Status(Selector{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, p := range s.Pools {
		for _, m := range p.Members {
			for _, a := range m.Addresses {
				got += m.Member + "=" + a.Interval + " "
				if a.IdleSince.IsZero() != (a.Interval == "5s") {
					t.Errorf("%s: %s has interval %s and is idle since %v", when, m.Member, a.Interval, a.IdleSince)
				}
			}
		}
	}
	if got != want {
		t.Errorf("%s: intervals %s, want %s", when, got, want)
	}
}

// TestQueriesEndTheIdleInterval asks for pools by their name, and across a reload.
func TestQueriesEndTheIdleInterval(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", asked, nil, func(w *world) {
		for range 200 {
			time.Sleep(time.Second)
			w.query(t, "other.example.com.")
		}
		w.expectIntervals(t, "after three minutes", "a=50s b=50s c=5s ")
		w.query(t, "www.example.com.")
		time.Sleep(1100 * time.Millisecond)
		w.expectIntervals(t, "a second after a query", "a=5s b=5s c=5s ")
		time.Sleep(3 * time.Minute)
		w.expectIntervals(t, "later", "a=50s b=50s c=50s ")
		w.query(t, "www.example.com.") // not noticed before the reload
		next := built(t, asked)
		if _, err := w.server.Swap(next); err != nil {
			t.Fatal(err)
		}
		w.load(t, next)
		time.Sleep(1100 * time.Millisecond)
		w.expectIntervals(t, "a second after the reload", "a=5s b=5s c=50s ")
	})
}
