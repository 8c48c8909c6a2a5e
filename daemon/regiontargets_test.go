package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/counterpart"
)

// The load balancer elsewhere: a server that answers lb.example.net by client subnet.
const regionalUpstream = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1}
geo: {networks: {198.51.100.0/24: {region: us}, 203.0.113.0/24: {region: eu}}, default: eu}
regions: {us: {location: [39, -77]}, eu: {location: [53, -6]}}
pools:
  lb:
    policy: proximity
    members: [{name: us, region: us, addresses: [%[2]s]}, {name: eu, region: eu, addresses: [%[3]s]}]
zones:
  example.net: {nameservers: {ns.example.org: []}, contact: h@example.net, ttl: 1, names: {lb: {pool: lb}}}
`

// A resolver that forwards client subnets to that server.
const subnetResolver = `server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  num-threads: 1
  interface: 127.0.0.1@%[2]d
  do-not-query-localhost: no
  do-ip6: no
  module-config: "%[4]siterator"
  client-subnet-always-forward: yes
  send-client-subnet: 127.0.0.1
  cache-max-ttl: 1
remote-control:
  control-enable: no
stub-zone:
  name: example.net
  stub-addr: 127.0.0.1@%[3]d
`

const regionalTarget = `
server: {listen: ["127.0.0.1:%[1]d"], workers: 1, resolvers: ["127.0.0.1:%[2]d"]}
geo: {networks: {198.51.100.0/24: {region: us}, 203.0.113.0/24: {region: eu}}}
regions:
  us: {location: [39, -77], subnet: 198.51.100.0/24}
  eu: {location: [53, -6], subnet: 203.0.113.0/24}
checks: {tcp: {type: tcp, port: %[3]d, interval: 100ms, rise: 1, fall: 1}}
admin: {listen: "127.0.0.1:0"}
dnssec: {keys: %[4]q}
pools:
  web:
    policy: proximity
    check: tcp
    members: [{name: lb, target: {name: lb.example.net, ecs: region}}]
zones:
  example.com:
    nameservers: {ns1.example.org: []}
    contact: h@example.com
    dnssec: default
    names: {www: {pool: web}}
`

// startRegional serves regionalTarget, with a resolver of some modules between it and its upstream.
func startRegional(t *testing.T, modules string) (*runningDaemon, *rack, string) {
	t.Helper()
	counterpart.Find(t, "unbound")
	rack := newRack(t, 2)
	ports := counterpart.FreePorts(t, 3)
	start(t, fmt.Sprintf(regionalUpstream, ports[0], rack.address(0), rack.address(1)))
	dir := t.TempDir()
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(subnetResolver, dir, ports[1], ports[0], modules)), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, "unbound", "-d", "-c", path)
	counterpart.AwaitListeners(t, ports[1])
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	return start(t, fmt.Sprintf(regionalTarget, ports[2], ports[1], rack.port, keys)), rack, fmt.Sprintf("127.0.0.1:%d", ports[2])
}

// answerFor returns the addresses and the number of signatures of www.example.com for clients in a subnet.
func answerFor(server, subnet string) string {
	q := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA).SetEdns0(1232, true)
	p := netip.MustParsePrefix(subnet)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}}
	answer, _, err := patient().Exchange(q, server)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			all = append(all, a.A.String())
		} else {
			all = append(all, dns.TypeToString[rr.Header().Rrtype])
		}
	}
	return strings.Join(all, " ")
}

// awaitAnswers waits until clients in us and in eu get these addresses, signed.
func awaitAnswers(t *testing.T, server, us, eu string) {
	t.Helper()
	counterpart.Await(t, func() error {
		want := us + " RRSIG, " + eu + " RRSIG"
		if got := answerFor(server, "198.51.100.0/24") + ", " + answerFor(server, "203.0.113.0/24"); got != want {
			return fmt.Errorf("answers %s, want %s", got, want)
		}
		return nil
	})
}

// TestClientsGetAddressesOfTheirRegionOfATarget resolves a target through unbound for each region. When the addresses of one
// region fail their checks, its clients get those of the next.
func TestClientsGetAddressesOfTheirRegionOfATarget(t *testing.T) {
	r, rack, server := startRegional(t, "subnetcache ")
	awaitAnswers(t, server, rack.address(0), rack.address(1))
	r.expect(t, "at first", "web/lb.us=up web/lb.eu=up")
	rack.turnOff(t, 0, 1)
	awaitAnswers(t, server, rack.address(1), rack.address(1))
	rack.turnOn(t, 0)
	awaitAnswers(t, server, rack.address(0), rack.address(1))
	status, err := r.Status(control.Selector{Pool: "web", Member: "lb.us"})
	if err != nil {
		t.Fatal(err)
	}
	m := status.Pools[0].Members[0]
	if m.Target != "lb.example.net. for 198.51.100.0/24" || m.Resolving == nil || m.Resolving.SubnetIgnored {
		t.Errorf("status of the member in us: %+v, %+v", m, m.Resolving)
	}
}

// TestResolverWithoutClientSubnetsIsReported has a resolver that forwards none: all regions have the same addresses.
func TestResolverWithoutClientSubnetsIsReported(t *testing.T) {
	r, rack, server := startRegional(t, "")
	awaitAnswers(t, server, rack.address(1), rack.address(1))
	counterpart.Await(t, func() error {
		status, err := r.Status(control.Selector{Pool: "web"})
		if err != nil {
			return err
		}
		for _, m := range status.Pools[0].Members {
			if m.Resolving == nil || !m.Resolving.SubnetIgnored {
				return fmt.Errorf("status of %s: %+v", m.Member, m.Resolving)
			}
		}
		return nil
	})
}
