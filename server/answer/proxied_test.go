package answer

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
)

const proxyYAML = `
server: {listen: ["127.0.0.1:0"], proxy: {from: [198.51.100.0/24, "2001:db8:5::/48"]}, cookies: {require: true}}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {who: {whoami: true}}}
  inner.example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, allow: [10.0.0.0/8], names: {who: {whoami: true}}}
`

// proxied puts a PROXY header for an IPv4 client before a message.
func proxied(command byte, client [4]byte, message []byte) []byte {
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, 0x12, 0, 15)
	header = append(append(header, client[:]...), 198, 51, 100, 9, 0x30, 0x39, 0, 53)
	return append(append(header, 4, 0, 0), message...)
}

// TestProxiedPackets has a case for each row of the table of unwrap. The answer has the address that decides.
func TestProxiedPackets(t *testing.T) {
	client := [4]byte{10, 0, 0, 7}
	query := answertest.Packed(t, answertest.Ask("who.example.com.", dns.TypeTXT))
	for name, c := range map[string]struct {
		source string
		packet []byte
		stream bool
		want   string // what the answer says; empty: none
		count  ProxyErrors
	}{
		"client":              {"198.51.100.1", proxied(0x21, client, query), false, "resolver 10.0.0.7", ProxyErrors{}},
		"by IPv6":             {"2001:db8:5::1", proxied(0x21, client, query), false, "resolver 10.0.0.7", ProxyErrors{}},
		"LOCAL":               {"198.51.100.1", proxied(0x20, client, query), false, "resolver 198.51.100.1", ProxyErrors{}},
		"no header":           {"198.51.100.1", query, false, "", ProxyErrors{Missing: 1}},
		"empty":               {"198.51.100.1", nil, false, "", ProxyErrors{Missing: 1}},
		"malformed":           {"198.51.100.1", proxied(0x22, client, query), false, "", ProxyErrors{Malformed: 1}},
		"version 1":           {"198.51.100.1", append([]byte("PROXY UDP4 10.0.0.7 198.51.100.9 1 53\r\n"), query...), false, "", ProxyErrors{Version1: 1}},
		"nothing after it":    {"198.51.100.1", proxied(0x21, client, nil), false, "", ProxyErrors{}},
		"header from another": {"192.0.2.1", proxied(0x21, client, query), false, "", ProxyErrors{Untrusted: 1}},
		"header in a header":  {"198.51.100.1", proxied(0x21, client, proxied(0x21, client, query)), false, "", ProxyErrors{}},
		"another":             {"192.0.2.1", query, false, "resolver 192.0.2.1", ProxyErrors{}},
		"a stream":            {"10.0.0.7", query, true, "resolver 10.0.0.7", ProxyErrors{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPaths(answertest.Build(t, proxyYAML, "")).wire
			out := r.Respond(nil, c.packet, netip.MustParseAddr(c.source), c.stream)
			got := ""
			if m := new(dns.Msg); m.Unpack(out) == nil {
				got = whoamiData(m)
			}
			n := r.engine.Counters()
			if got != c.want || n.Proxy != c.count || n.Dropped-n.NotQuery != c.count.Sum() || n.Queries != 1 {
				t.Errorf("%q, %+v, %d dropped of %d; want %q and %+v", got, n.Proxy, n.Dropped, n.Queries, c.want, c.count)
			}
		})
	}
}

// TestProxiedClientDecides checks that what concerns clients concerns that of the header: access, cookies, and the port of
// the query log.
func TestProxiedClientDecides(t *testing.T) {
	p := newPaths(answertest.Build(t, proxyYAML, ""))
	through := netip.MustParseAddr("198.51.100.1")
	ask := func(client byte, query *dns.Msg) *dns.Msg {
		t.Helper()
		packet := answertest.Packed(t, query)
		fast := p.wire.Respond(nil, proxied(0x21, [4]byte{client, 0, 0, 7}, packet), through, false)
		m := new(dns.Msg)
		if err := m.Unpack(fast); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for client, rcode := range map[byte]int{10: dns.RcodeSuccess, 11: dns.RcodeRefused} {
		if m := ask(client, answertest.Ask("who.inner.example.com.", dns.TypeA)); m.Rcode != rcode {
			t.Errorf("client in %d/8: %v", client, m)
		}
	}
	cookie := cookieIn(t, ask(10, withCookie("who.example.com.", dns.TypeA, []byte("12345678"))))
	for client, rcode := range map[byte]int{10: dns.RcodeSuccess, 11: dns.RcodeBadCookie} {
		if m := ask(client, withCookie("who.example.com.", dns.TypeA, cookie)); m.Rcode != rcode {
			t.Errorf("client in %d/8 with the cookie of 10.0.0.7: %v", client, m)
		}
	}
	if p.wire.Port != 12345 {
		t.Errorf("port %d, want that of the header", p.wire.Port)
	}
}

// TestPostponedQueryKeepsItsProxiedClient answers a query again that has lost its header, from the client.
func TestPostponedQueryKeepsItsProxiedClient(t *testing.T) {
	p := newPaths(answertest.Build(t, proxyYAML, ""))
	query := answertest.Packed(t, answertest.Ask("who.example.com.", dns.TypeTXT))
	m := new(dns.Msg)
	p.wire.Acquire()
	defer p.wire.Release()
	if err := m.Unpack(p.wire.AnswerPostponed(nil, query, netip.MustParseAddr("198.51.100.77"), 0)); err != nil || whoamiData(m) != "resolver 198.51.100.77" {
		t.Errorf("%v, %v", m, err)
	}
}

// TestProxiedPacketAllocatesNothing covers packets with a header, without one, and from others.
func TestProxiedPacketAllocatesNothing(t *testing.T) {
	r := newPaths(answertest.Build(t, proxyYAML, "")).wire
	query := answertest.Packed(t, answertest.Ask("who.example.com.", dns.TypeTXT))
	out := make([]byte, 0, 4096)
	for source, packet := range map[string][]byte{"198.51.100.1": proxied(0x21, [4]byte{10, 0, 0, 7}, query), "198.51.100.2": query, "192.0.2.1": query, "192.0.2.2": proxied(0x21, [4]byte{10, 0, 0, 7}, query)} {
		from := netip.MustParseAddr(source)
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], packet, from, false) }); n != 0 {
			t.Errorf("from %s: %v allocations a query", source, n)
		}
	}
}

// TestLastAddressIsOneThatWasSet sets addresses of both families at the same time: none is read that is half of each.
func TestLastAddressIsOneThatWasSet(t *testing.T) {
	var last lastAddress
	if got := last.get(); got.IsValid() {
		t.Errorf("%v before any is set", got)
	}
	all := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1:2:3:4:5:6"), netip.MustParseAddr("::1")}
	var setting sync.WaitGroup
	for _, a := range all {
		setting.Go(func() {
			for range 5000 {
				last.set(a)
			}
		})
	}
	for range 5000 {
		if got := last.get(); got.IsValid() && !slices.Contains(all, got) {
			t.Fatalf("%v was never set", got)
		}
	}
	setting.Wait()
	if got := last.get(); !slices.Contains(all, got) {
		t.Errorf("%v at last", got)
	}
}
