package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/cluster/rollout"
	"meridian/control"
	"meridian/counterpart"
)

// dnsAddress returns an address at which a node answers queries.
func (n *sharingNode) dnsAddress(t *testing.T) string {
	t.Helper()
	return n.status(t).Listen[0]
}

// status returns the status of the node.
func (n *sharingNode) status(t *testing.T) (s control.Status) {
	t.Helper()
	code, out := n.try(t, "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); code != exitOK || err != nil {
		t.Fatalf("status: exit %d, %v\n%s", code, err, out)
	}
	return s
}

// asked is an answer for a client subnet.
type asked struct {
	address string
	scope   uint8
}

// askFor asks a node for the address of www, for a client subnet.
func askFor(t *testing.T, at, network string, subnet netip.Prefix) asked {
	t.Helper()
	q := new(dns.Msg).SetQuestion("www.gslb.example.com.", dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(subnet.Bits()), Address: net.IP(subnet.Addr().AsSlice())}}
	var got asked
	counterpart.Await(t, func() error { // packets are lost on a busy machine
		m, _, err := (&dns.Client{Net: network}).Exchange(q, at)
		if err != nil || len(m.Answer) != 1 || m.IsEdns0() == nil {
			return fmt.Errorf("%v: %v", err, m)
		}
		got.address = m.Answer[0].(*dns.A).A.String()
		for _, o := range m.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_SUBNET); ok {
				got.scope = o.SourceScope
			}
		}
		return nil
	})
	return got
}

// split asks nodes for many clients, and returns which ones get the address of the canary: the same on all nodes and over all
// transports.
func split(t *testing.T, canary string, nodes ...*sharingNode) (selected map[netip.Prefix]bool) {
	t.Helper()
	selected = map[netip.Prefix]bool{}
	for i := range 64 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), 24)
		for j, n := range nodes {
			got := askFor(t, n.dnsAddress(t), []string{"udp", "tcp"}[(i+j)%2], subnet)
			if got.scope != 24 {
				t.Fatalf("%s: scope %d for %s, want 24", n.name, got.scope, subnet)
			}
			if j > 0 && selected[subnet] != (got.address == canary) {
				t.Fatalf("%s answers %s for %s, and another node does not", n.name, got.address, subnet)
			}
			selected[subnet] = got.address == canary
		}
	}
	return selected
}

func countTrue(selected map[netip.Prefix]bool) (n int) {
	for _, is := range selected {
		if is {
			n++
		}
	}
	return n
}

// TestShareOfClientsGetsAGenerationFirst pushes a generation to a share of the clients of two nodes over a real etcd. It is
// refused if it cannot be split, survives a restart and a reload, is explained, shown, rolled back by an operator and by a
// pool that fails open, and reaches all clients.
func TestShareOfClientsGetsAGenerationFirst(t *testing.T) {
	t.Parallel()
	counterpart.Find(t, "etcd")
	ports := counterpart.FreePorts(t, 2)
	counterpart.StartEtcd(t, t.TempDir(), ports)
	nodes := sharingCluster(t, ports[0], "a", "b")
	a, b := nodes[0], nodes[1]
	a.start(t)
	b.start(t)
	push := func(want int, says string, args ...string) {
		t.Helper()
		if code, out := a.try(t, append([]string{"config", "push"}, args...)...); code != want || !strings.Contains(out, says) {
			t.Fatalf("push %q: exit %d, want %d and %q\n%s", args, code, want, says, out)
		}
	}
	awaitCanary := func(n *sharingNode, generation uint64) {
		t.Helper()
		counterpart.Await(t, func() error {
			if s := n.status(t); generation == 0 && s.Canary != nil || generation != 0 && (s.Canary == nil || s.Canary.Generation != generation) {
				return fmt.Errorf("%s has the canary %+v, want generation %d", n.name, s.Canary, generation)
			}
			return nil
		})
	}
	push(exitConfig, "push the first one without a canary", sharedText(t, "192.0.2.1", ""), "--canary", "50%")
	push(exitOK, "generation 1 of the cluster", sharedText(t, "192.0.2.1", ""))
	a.answers(t, "192.0.2.1")
	b.answers(t, "192.0.2.1")
	if got := askFor(t, a.dnsAddress(t), "udp", netip.MustParsePrefix("198.18.0.0/24")); got.scope != 0 {
		t.Errorf("without a canary the scope is %d, want 0", got.scope)
	}

	for args, says := range map[string]string{
		"0%": "not a share of the clients", "100%": "not a share of the clients", "x%": "not a share of the clients", "5.001%": "two decimals at most", "99.999%": "two decimals at most", "": "all nodes would get the configuration at once", "5%,b": "not a share of the clients", "nobody": `canary "nobody" is not in cluster.trust`,
	} {
		push(exitConfig, says, sharedText(t, "192.0.2.2", ""), "--canary", args)
	}
	push(exitConfig, "zones.gslb.example.com.serial: a share of the clients cannot have it while others do not; push it to all nodes at once, or to some nodes first with --canary NODE",
		sharedText(t, "192.0.2.2", ", serial: increment"), "--canary", "50%")

	// an operator ends it; a restarted node has it again, and a reload keeps it
	push(exitOK, "b serving", sharedText(t, "192.0.2.2", ""), "--canary", "50%", "--for", "1h")
	selected := split(t, "192.0.2.2", a, b)
	if n := countTrue(selected); n < 10 || n > 54 {
		t.Errorf("%d of 64 networks get the canary, want about half", n)
	}
	for subnet, is := range selected {
		_, out := b.try(t, "explain", "www.gslb.example.com", "--client", subnet.String())
		said := strings.Join(strings.Fields(out), " ")
		if strings.Contains(said, "and that generation answers it") != is || !strings.Contains(said, "generation 2 is on a canary of 50% of the clients") {
			t.Errorf("explain for %s, which is in the share: %v\n%s", subnet, is, out)
			break
		}
	}
	if _, out := a.try(t, "config", "history"); !strings.Contains(out, "canary 50% of clients") || strings.Count(out, "\nb ") != 2 {
		t.Errorf("history prints\n%s", out)
	}
	if _, out := b.try(t, "status"); !strings.Contains(out, "generation 2 on a canary of 50% of the clients") {
		t.Errorf("status prints\n%s", out)
	}
	if _, out := b.try(t, "cluster", "status"); !strings.Contains(out, "1, canary 2") {
		t.Errorf("cluster status prints\n%s", out)
	}
	b.stop()
	b.start(t)
	awaitCanary(b, 2)
	if code, out := a.try(t, "reload"); code != exitOK {
		t.Errorf("reload: exit %d\n%s", code, out)
	}
	for subnet, is := range split(t, "192.0.2.2", a, b) {
		if is != selected[subnet] {
			t.Errorf("after a restart and a reload, %s gets the canary: %v, and before: %v", subnet, is, selected[subnet])
		}
	}
	if code, out := b.try(t, "config", "rollback"); code != exitOK {
		t.Errorf("rollback: exit %d\n%s", code, out)
	}
	awaitCanary(a, 0)
	awaitCanary(b, 0)
	if got := askFor(t, a.dnsAddress(t), "udp", netip.MustParsePrefix("198.18.0.0/24")); got != (asked{"192.0.2.1", 0}) {
		t.Errorf("after the rollback: %+v", got)
	}

	// a pool that fails open takes it back, and so does one without an answer
	failing := filepath.Join(t.TempDir(), "new.yaml")
	text, err := os.ReadFile(sharedText(t, "127.0.0.1", ""))
	if err != nil {
		t.Fatal(err)
	}
	check := fmt.Sprintf("checks: {dead: {type: tcp, port: %d, interval: 1s, timeout: 1s, fall: 1}}\n", counterpart.FreePorts(t, 1)[0])
	for failOpen, says := range map[string]string{"remaining": `makes pool "web" fail open`, "never": `leaves pool "web" without an answer`} {
		writeFile(t, failing, strings.Replace(string(text), "policy: weighted,", "policy: weighted, check: dead, fail_open: "+failOpen+",", 1)+check)
		a.try(t, "config", "push", failing, "--canary", "1%", "--for", "1h")
		counterpart.Await(t, func() error {
			for _, n := range nodes {
				if _, out := n.try(t, "events"); strings.Contains(out, says) {
					return nil
				}
			}
			return fmt.Errorf("no canary was rolled back because it %s", says)
		})
		awaitCanary(a, 0)
		awaitCanary(b, 0)
		wantPrinted(t, b, says, "config", "history")
		wantPrinted(t, b, "WARNING: the canary of generation", "status", "--problems")
		wantPrinted(t, b, "WARNING: the canary of generation", "cluster", "status")
		if r := a.status(t).Cluster.Canary; r == nil || r.Result != rollout.RolledBack || r.Percent != 1 || r.Where != "1% of the clients" || !strings.Contains(r.Why, says) || r.Until.Before(r.Since) {
			t.Errorf("the status has the canary %+v", r)
		}
	}

	// after its time, all clients get it
	push(exitOK, "a serving", sharedText(t, "192.0.2.4", ""), "--canary", "0.5%", "--for", "1s")
	a.answers(t, "192.0.2.4")
	b.answers(t, "192.0.2.4")
	awaitCanary(a, 0)
	awaitCanary(b, 0)
	wantPrinted(t, a, "0.5% of the clients promoted ", "config", "history")
	wantPrinted(t, a, "no problems", "status", "--problems")
	if got := askFor(t, b.dnsAddress(t), "tcp", netip.MustParsePrefix("198.18.1.0/24")); got != (asked{"192.0.2.4", 0}) {
		t.Errorf("after the canary: %+v", got)
	}

	// the NSEC records of a signed zone are the same for all clients
	signed := fmt.Sprintf("dnssec: {keys: %s, policies: {default: {manager: auto}}}\n", t.TempDir())
	push(exitOK, "b serving", appended(t, sharedText(t, "192.0.2.5", ", dnssec: default"), signed))
	push(exitConfig, "zones.gslb.example.com.names.www: its pools give A AAAA, and A in the generation that serves: a share of the clients cannot have other types in a signed zone",
		appended(t, sharedText(t, `192.0.2.5, "2001:db8::1"`, ", dnssec: default"), signed), "--canary", "50%")
}
