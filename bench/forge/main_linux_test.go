package main

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

func TestWrongArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"192.0.2.1:53"},
		{"[2001:db8::1]:53", "192.0.2.1:53"},
		{"192.0.2.1", "[2001:db8::1]:53"},
		{"-seconds", "0", "192.0.2.1:53", "[2001:db8::1]:53"},
		{"-seconds", "601", "192.0.2.1:53", "[2001:db8::1]:53"},
		{"-rate", "-1", "192.0.2.1:53", "[2001:db8::1]:53"},
		{"-sources", "-1", "192.0.2.1:53", "[2001:db8::1]:53"},
		{"-sources", "131073", "192.0.2.1:53", "[2001:db8::1]:53"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	if o, err := parse([]string{"-sources", "7", "192.0.2.1:53", "[2001:db8::1]:53"}); err != nil || o.sources != 7 || len(o.servers) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestEachSourceHasANetworkOfItsOwn counts the IPv4 /24 and IPv6 /48 networks.
func TestEachSourceHasANetworkOfItsOwn(t *testing.T) {
	routes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/16")}
	networks := map[netip.Prefix]bool{}
	for i := range mostSources {
		s, bits, family := source(i), 48, 1
		if s.Is4() {
			bits, family = 24, 0
		}
		network, err := s.Prefix(bits)
		if err != nil || !routes[family].Contains(s) {
			t.Fatalf("source %d is %s, %v", i, s, err)
		}
		networks[network] = true
	}
	if len(networks) != mostSources {
		t.Errorf("%d networks, want %d", len(networks), mostSources)
	}
}

func TestTallyCountsShares(t *testing.T) {
	all := tally{asked: 3, first: 1, answered: 2, overTCP: 1, latencies: []time.Duration{3 * time.Millisecond, time.Millisecond}}
	all.add(tally{asked: 1, first: 1, answered: 1, latencies: []time.Duration{2 * time.Millisecond}})
	if got, want := all.line("x"), "x_asked 4  x_first_percent 50.00  x_answered_percent 75.000  x_p50_ms 2.00  x_p99_ms 2.00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&tally{}).line("x"); !strings.HasPrefix(got, "x_asked 0  x_first_percent 0.00") {
		t.Errorf("%q for no query", got)
	}
}

// fake is a server that truncates answers over UDP to clients without its cookie, and counts sources.
type fake struct {
	lock    sync.Mutex
	sources map[netip.Addr]int
	stream  int // queries over TCP
}

const serverCookie = "fedcba9876543210fedcba9876543210"

// ServeDNS is part of dns.Handler.
func (f *fake) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	f.lock.Lock()
	defer f.lock.Unlock()
	reply, known := new(dns.Msg).SetReply(query), false
	if opt := query.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			sent := o.(*dns.EDNS0_COOKIE).Cookie
			known = len(sent) == cookieSize && sent[16:] == serverCookie
			reply.SetEdns0(1232, false)
			reply.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: sent[:16] + serverCookie}}
		}
	}
	switch at := w.RemoteAddr().(type) {
	case *net.UDPAddr:
		f.sources[at.AddrPort().Addr().Unmap()]++
		reply.Truncated = !known
	case *net.TCPAddr:
		f.stream++
	}
	if !reply.Truncated {
		reply.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}}
	}
	_ = w.WriteMsg(reply) // the client may have gone
}

// serveFake serves both families in a namespace with local routes, and returns the options to ask it.
func serveFake(t *testing.T) (*fake, options) {
	t.Helper()
	counterpart.Output(t, "ip", "addr", "add", "2001:db8:53::53/128", "dev", "lo", "nodad")
	counterpart.Output(t, "ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo")
	counterpart.Output(t, "ip", "route", "add", "local", "fd00::/16", "dev", "lo")
	f := &fake{sources: map[netip.Addr]int{}}
	o := options{sources: mostSources, name: "text.example", duration: 50 * time.Millisecond}
	for _, at := range []string{"192.0.2.53:53", "[2001:db8:53::53]:53"} {
		o.servers = append(o.servers, netip.MustParseAddrPort(at))
		for _, network := range []string{"udp", "tcp"} {
			ready := make(chan struct{})
			s := &dns.Server{Addr: at, Net: network, Handler: f, NotifyStartedFunc: func() { close(ready) }}
			done := make(chan error, 1)
			go func() { done <- s.ListenAndServe() }()
			select {
			case <-ready:
			case err := <-done:
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = s.Shutdown()
				<-done
			})
		}
	}
	return f, o
}

// TestClientsAskWithAndWithoutCookies has a server that truncates what is without a cookie.
func TestClientsAskWithAndWithoutCookies(t *testing.T) {
	if !counterpart.InOwnNetwork(t, "192.0.2.53") {
		return
	}
	f, o := serveFake(t)
	all, err := connect(o)
	if err != nil {
		t.Fatal(err)
	}
	met := ask(all, o.duration)
	for kind, m := range met {
		if m.asked < clients || m.answered != m.asked || m.first != m.asked || len(m.latencies) != m.asked {
			t.Errorf("kind %d: %+v", kind, m)
		}
	}
	if met[withCookie].overTCP != 0 || met[withoutCookie].overTCP != met[withoutCookie].asked || f.stream != met[withoutCookie].asked {
		t.Errorf("%d queries over TCP arrived: %+v", f.stream, met)
	}
	if _, err := hex.DecodeString(all[len(all)-1].cookie); err != nil {
		t.Error(err)
	}
}

// TestFloodKeepsItsRate sends at a low rate: at most a batch of each family more than is due.
func TestFloodKeepsItsRate(t *testing.T) {
	if !counterpart.InOwnNetwork(t, "192.0.2.53") {
		return
	}
	_, o := serveFake(t)
	o.rate = 1000
	begin := time.Now()
	sent, err := flood(o)
	if most := int64(time.Since(begin).Seconds()*float64(o.rate)) + 2*batch; err != nil || sent < batch || sent > most {
		t.Errorf("%d queries sent, want up to %d: %v", sent, most, err)
	}
}

// TestFloodComesFromManySources floods a server, which gets queries of many sources of both families.
func TestFloodComesFromManySources(t *testing.T) {
	if !counterpart.InOwnNetwork(t, "192.0.2.53") {
		return
	}
	f, o := serveFake(t)
	sent, err := flood(o)
	if err != nil || sent < 2*batch {
		t.Fatalf("%d queries sent, %v", sent, err)
	}
	counterpart.Await(t, func() error { // queries of both families arrive; others are lost at a full buffer
		f.lock.Lock()
		defer f.lock.Unlock()
		families := map[bool]int{}
		for s := range f.sources {
			families[s.Is4()]++
		}
		if families[true] < 2 || families[false] < 2 {
			return fmt.Errorf("%d sources of IPv4, and %d of IPv6", families[true], families[false])
		}
		return nil
	})
}
