package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/health"
	"meridian/snapshot"
)

// The Internet of this test, on the loopback of a network namespace: BIND serves the root and
// example.com, which delegates gslb.example.com to Meridian; unbound and a second BIND resolve
// from the root down. Referrals carry no port, so all servers listen on 53.
const (
	parentAddress   = "127.0.53.10"
	meridianAddress = "127.0.53.11"
	unboundAddress  = "127.0.53.12"
	bindAddress     = "127.0.53.13"
)

const delegatedConfig = `
server: {listen: ["` + meridianAddress + `:53"]}
geo:
  networks:
    198.51.100.0/24: {region: us-east}
    203.0.113.0/24: {region: eu-west}
    127.0.0.0/8: {region: us-east}
regions:
  us-east: {location: [39.04, -77.49]}
  eu-west: {location: [53.35, -6.26]}
checks:
  tcp: {type: tcp, port: 1}
pools:
  web:
    policy: proximity
    check: tcp
    members:
      - {name: east, region: us-east, addresses: [192.0.2.10, "2001:db8::10"]}
      - {name: west, region: eu-west, addresses: [192.0.2.20]}
zones:
  gslb.example.com:
    nameservers: {ns1.gslb.example.com: [` + meridianAddress + `]}
    contact: hostmaster@example.com
    ttl: 1
    negative_ttl: 1
    names: {www: {pool: web, https: {alpn: [h2, h3], port: 8443}}, "@": {pool: web}}
`

const rootZone = `$TTL 3600
. SOA ns.root. hostmaster.root. 1 3600 600 86400 60
. NS ns.root.
ns.root. A ` + parentAddress + `
example.com. NS ns.example.com.
ns.example.com. A ` + parentAddress + `
`

const parentZone = `$TTL 3600
example.com. SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 60
example.com. NS ns.example.com.
ns.example.com. A ` + parentAddress + `
gslb.example.com. NS ns1.gslb.example.com.
ns1.gslb.example.com. A ` + meridianAddress + `
web.example.com. CNAME www.gslb.example.com.
`

const hints = ". 3600 NS ns.root.\nns.root. 3600 A " + parentAddress + "\n"

func TestResolversFollowDelegation(t *testing.T) {
	counterpart.Find(t, "named")
	counterpart.Find(t, "unbound")
	if !counterpart.InOwnNetwork(t, parentAddress, meridianAddress, unboundAddress, bindAddress) {
		return
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("root.zone", rootZone)
	write("parent.zone", parentZone)
	write("hints", hints)
	run(t, parentAddress, "named", "-g", "-c", write("parent.conf", namedConf(dir, "parent", parentAddress,
		`recursion no;`, `zone "." { type primary; file "root.zone"; }; zone "example.com" { type primary; file "parent.zone"; };`)))
	run(t, bindAddress, "named", "-g", "-c", write("bind.conf", namedConf(dir, "bind", bindAddress,
		`recursion yes; allow-recursion { any; }; qname-minimization strict;`, `zone "." { type hint; file "hints"; };`)))
	run(t, unboundAddress, "unbound", "-d", "-c", write("unbound.conf", unboundConf(dir)))
	snapshot := serveHere(t, delegatedConfig).Snapshot()

	for _, resolver := range []string{unboundAddress, bindAddress} {
		t.Run(resolver, func(t *testing.T) {
			resolves(t, resolver, "www.gslb.example.com.", dns.TypeA, "", "192.0.2.10")
			resolves(t, resolver, "gslb.example.com.", dns.TypeAAAA, "", "2001:db8::10")
			resolves(t, resolver, "web.example.com.", dns.TypeA, "", "192.0.2.10")
			resolves(t, resolver, "WwW.gSlB.example.com.", dns.TypeA, "", "192.0.2.10")
			resolves(t, resolver, "www.gslb.example.com.", dns.TypeHTTPS, "", `1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.10" ipv6hint="2001:db8::10"`)
			resolves(t, resolver, "web.example.com.", dns.TypeHTTPS, "", `1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.10" ipv6hint="2001:db8::10"`)
			nameError(t, resolver, "nothing.gslb.example.com.")
			turnEast(t, snapshot, health.Down)
			resolves(t, resolver, "www.gslb.example.com.", dns.TypeA, "", "192.0.2.20")
			turnEast(t, snapshot, health.Up)
			resolves(t, resolver, "www.gslb.example.com.", dns.TypeA, "", "192.0.2.10")
		})
	}
	t.Run("a resolver that forwards client subnets keeps clients apart", func(t *testing.T) {
		resolves(t, unboundAddress, "www.gslb.example.com.", dns.TypeA, "198.51.100.0/24", "192.0.2.10")
		resolves(t, unboundAddress, "www.gslb.example.com.", dns.TypeA, "203.0.113.0/24", "192.0.2.20")
		resolves(t, unboundAddress, "www.gslb.example.com.", dns.TypeA, "198.51.100.0/24", "192.0.2.10")
	})
}

func namedConf(dir, name, address, options, zones string) string {
	return fmt.Sprintf(`options {
  directory %[1]q; pid-file "%[2]s.pid"; session-keyfile "%[2]s.key"; managed-keys-directory %[1]q;
  listen-on port 53 { %[3]s; }; listen-on-v6 { none; }; query-source address %[3]s;
  dnssec-validation no; notify no; empty-zones-enable no; max-cache-ttl 1; max-ncache-ttl 1;
  %[4]s
};
controls { };
%[5]s
`, dir, name, address, options, zones)
}

func unboundConf(dir string) string {
	return fmt.Sprintf(`server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  num-threads: 1
  interface: %[2]s
  outgoing-interface: %[2]s
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  root-hints: "hints"
  module-config: "subnetcache iterator"
  client-subnet-always-forward: yes
  send-client-subnet: %[3]s
  use-caps-for-id: yes
  qname-minimisation-strict: yes
  cache-max-ttl: 1
  cache-max-negative-ttl: 1
remote-control:
  control-enable: no
`, dir, unboundAddress, meridianAddress)
}

// run starts a server in the foreground and waits until it answers.
func run(t *testing.T, address, program string, args ...string) {
	t.Helper()
	counterpart.Start(t, program, args...)
	counterpart.Await(t, func() error {
		_, err := exchange(address, question(".", dns.TypeNS, ""))
		return err
	})
}

func turnEast(t *testing.T, snapshot *snapshot.Snapshot, v health.Verdict) {
	t.Helper()
	turns, err := snapshot.Pools.SimulateVerdict("web", "east", v)
	if err != nil {
		t.Fatal(err)
	}
	snapshot.Pools.Apply(turns)
}

func question(name string, qtype uint16, ecs string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	if ecs != "" {
		p := netip.MustParsePrefix(ecs)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(),
		}}
	}
	return m
}

func exchange(address string, m *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Timeout: 2 * time.Second}
	answer, _, err := client.Exchange(m, net.JoinHostPort(address, "53"))
	return answer, err
}

// resolves queries until the answer ends in want; a resolver may cache an older one for a second.
func resolves(t *testing.T, resolver, name string, qtype uint16, ecs, want string) {
	t.Helper()
	counterpart.Await(t, func() error {
		answer, err := exchange(resolver, question(name, qtype, ecs))
		if err != nil {
			return err
		}
		if len(answer.Answer) == 0 || fieldsOf(answer.Answer[len(answer.Answer)-1])[4] != want {
			return fmt.Errorf("%s for client %q: want %s, got %v", name, ecs, want, answer)
		}
		return nil
	})
}

func nameError(t *testing.T, resolver, name string) {
	t.Helper()
	counterpart.Await(t, func() error {
		answer, err := exchange(resolver, question(name, dns.TypeA, ""))
		if err == nil && answer.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("%s: want NXDOMAIN, got %v", name, answer)
		}
		return err
	})
}
