package discovery

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
)

// bySubnet is an upstream that answers with an address for each client subnet; it changes the option of responses by change.
func bySubnet(addresses map[string]string, change func(m *dns.Msg)) upstream {
	return func(_, _ string, q *dns.Msg) [][]byte {
		m := reply(q)
		if option := subnetOf(q); option != nil {
			m.SetEdns0(udpSize, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
				Code: dns.EDNS0SUBNET, Family: option.Family, SourceNetmask: option.SourceNetmask, SourceScope: option.SourceNetmask, Address: option.Address,
			}}
			if a := addresses[netip.PrefixFrom(addressOf(option), int(option.SourceNetmask)).String()]; a != "" && q.Question[0].Qtype == dns.TypeA {
				m.Answer = reply(q, q.Question[0].Name+" 1 A "+a).Answer
			}
		} else if q.Question[0].Qtype == dns.TypeA {
			m.Answer = reply(q, q.Question[0].Name+" 1 A 192.0.2.99").Answer
		}
		change(m)
		return packed(m)
	}
}

func addressOf(option *dns.EDNS0_SUBNET) netip.Addr {
	a, _ := netip.AddrFromSlice(option.Address)
	if option.Family == subnetIPv4 {
		return a.Unmap()
	}
	return a
}

const (
	here  config.Target = "lb.example.net. for 198.51.100.0/24"
	there config.Target = "lb.example.net. for 2001:db8:1::/48"
	plain config.Target = "lb.example.net."
)

var perSubnet = map[string]string{"198.51.100.0/24": "192.0.2.1", "2001:db8:1::/48": "192.0.2.2"}

// withSubnets runs test in a bubble with a watcher that queries an upstream of bySubnet.
func withSubnets(t *testing.T, change func(m *dns.Msg), test func(t *testing.T, f *Watch, log *journal)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := new(journal)
		tracker := New(Options{Dial: bySubnet(perSubnet, change).dial, Logger: log.logger()})
		defer tracker.Close()
		f := follow(tracker, here, there, plain)
		defer f.Close()
		test(t, f, log)
	})
}

func TestTargetsAreResolvedForTheirClientSubnets(t *testing.T) {
	withSubnets(t, func(*dns.Msg) {}, func(t *testing.T, f *Watch, log *journal) {
		expect(t, "for an IPv4 network", addressesOf(f, here), "192.0.2.1")
		expect(t, "for an IPv6 network", addressesOf(f, there), "192.0.2.2")
		expect(t, "without a subnet", addressesOf(f, plain), "192.0.2.99")
		for target, status := range f.Status() {
			expect(t, string(target)+" is resolved without its subnet", status.SubnetIgnored, false)
		}
		if text := log.take(); !strings.Contains(text, `target="lb.example.net. for 198.51.100.0/24" addresses=192.0.2.1`) || strings.Contains(text, "WARN") {
			t.Errorf("log:\n%s", text)
		}
	})
}

// A resolver that does not forward the subnet answers for its own place: the addresses are used, and reported.
func TestResolverThatIgnoresSubnetIsReportedOnce(t *testing.T) {
	var ignores atomic.Bool
	ignores.Store(true)
	const ignoring, using = "the resolver ignores the client subnet of a target", "the resolver uses the client subnet of a target"
	withSubnets(t, func(m *dns.Msg) {
		if ignores.Load() {
			m.Extra = nil
		}
	}, func(t *testing.T, f *Watch, log *journal) {
		time.Sleep(10 * time.Second) // several lookups
		text := log.take()
		expect(t, "warnings of two targets", strings.Count(text, ignoring), 2)
		expect(t, "status", f.Status()[here].SubnetIgnored, true)
		expect(t, "status without a subnet", f.Status()[plain].SubnetIgnored, false)
		expect(t, "result", f.watcher.Results()[here].SubnetIgnored, true)
		expect(t, "result without a subnet", f.watcher.Results()[plain].SubnetIgnored, false)
		expect(t, "addresses", addressesOf(f, here), "192.0.2.1")
		ignores.Store(false)
		time.Sleep(10 * time.Second)
		expect(t, "lines of the end", strings.Count(log.take(), using), 2)
		expect(t, "status at the end", f.Status()[here].SubnetIgnored, false)
	})
}

// A response for another subnet is forged or broken (RFC 7871 7.3), and the last addresses stay.
func TestResponseForAnotherSubnetIsRejected(t *testing.T) {
	const other4, other6 = "192.0.2.0", "2001:db8:9::"
	set := func(o *dns.EDNS0_SUBNET, family uint16, bits uint8, address string) {
		o.Family, o.SourceNetmask, o.SourceScope, o.Address = family, bits, 0, net.ParseIP(address)
	}
	changes := map[string]func(o *dns.EDNS0_SUBNET){
		"another network": func(o *dns.EDNS0_SUBNET) {
			if o.Family == subnetIPv4 {
				set(o, subnetIPv4, o.SourceNetmask, other4)
			} else {
				set(o, subnetIPv6, o.SourceNetmask, other6)
			}
		},
		"another length": func(o *dns.EDNS0_SUBNET) { o.SourceNetmask-- },
		"another family": func(o *dns.EDNS0_SUBNET) {
			if o.Family == subnetIPv4 {
				set(o, subnetIPv6, 24, other6)
			} else {
				set(o, subnetIPv4, 24, other4)
			}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			var wrong atomic.Bool
			withSubnets(t, func(m *dns.Msg) {
				if o := subnetOf(m); o != nil && wrong.Load() {
					change(o)
				}
			}, func(t *testing.T, f *Watch, _ *journal) {
				wrong.Store(true)
				time.Sleep(10 * time.Second)
				expect(t, "addresses", addressesOf(f, here), "192.0.2.1")
				if why := f.Status()[here].Reason; !strings.Contains(why, "a response for another client subnet") {
					t.Errorf("reason %q", why)
				}
				expect(t, "reason of the one without a subnet", f.Status()[plain].Reason, "")
			})
		})
	}
}

// A server without EDNS is queried without the subnet.
func TestServerWithoutEDNSIsQueriedWithoutSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(func(_, _ string, q *dns.Msg) [][]byte {
			if q.IsEdns0() != nil {
				return packed(failure(q, dns.RcodeFormatError))
			}
			return packed(reply(q, "lb.example.net. 1 A 192.0.2.99"))
		})
		c.subnet = here.Subnet()
		found, err := c.lookup(t.Context(), "lb.example.net.", ipv4)
		expect(t, "error", err, nil)
		expect(t, "addresses", list(found.addrs), "192.0.2.99")
		expect(t, "the subnet is ignored", found.subnetIgnored, true)
	})
}
