//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/counterpart"
)

// placedResolver is the resolver of a node: it has an address of its own for lb.example.net, or fails.
type placedResolver struct {
	mu      sync.Mutex
	address string // empty: it fails
}

func (r *placedResolver) set(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.address = address
}

// ServeDNS answers a query.
func (r *placedResolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	address := r.address
	r.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	switch {
	case address == "":
		m.Rcode = dns.RcodeServerFailure
	case q.Question[0].Qtype == dns.TypeA:
		rr, _ := dns.NewRR(fmt.Sprintf("%s 1 A %s", q.Question[0].Name, address))
		m.Answer = []dns.RR{rr}
	}
	_ = w.WriteMsg(m)
}

// listen makes r answer on a port of loopback, which it returns.
func (r *placedResolver) listen(t *testing.T) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: r}
	go server.ActivateAndServe() //nolint:errcheck // ends with the test
	t.Cleanup(func() { socket.Close() })
	return socket.LocalAddr().String()
}

// withInputs adds a pool that sheds by reports at a URL, and one with a target, to the file of a node.
func (c *testCluster) withInputs(name, url, resolver string) {
	c.t.Helper()
	text, err := os.ReadFile(c.nodes[name].config)
	if err != nil {
		c.t.Fatal(err)
	}
	more := strings.NewReplacer(
		"workers: 1}", "workers: 1, resolvers: [\""+resolver+"\"]}",
		"zones:\n", `  cloud: {policy: failover, members: [{name: lb, target: lb.example.net, check: none}]}
  busy:
    policy: failover
    shed: {low: 70%, high: 90%}
    members:
      - {name: first, addresses: [127.0.0.63], check: none, load: report, capacity: 1000}
      - {name: second, addresses: [127.0.0.64], check: none}
loads:
  report: {type: json, url: "`+url+`", load: load, interval: 200ms, stale: 10s}
zones:
`, "names: {www: {pool: web}}", "ttl: 1\n    names: {www: {pool: web}, cloud: {pool: cloud}, busy: {pool: busy}}")
	c.nodes[name].write(more.Replace(string(text)))
}

// status returns the status of a node.
func (c *testCluster) status(name string) (s control.Status) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(get(c.t, "http://"+c.nodes[name].admin+"/v1/status")), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// keeps returns the part of its clients that the busy member keeps at a node, and the node that has polled its report.
func (c *testCluster) keeps(name string) (part float64, from string) {
	c.t.Helper()
	s := c.status(name)
	for i := range s.Pools {
		if s.Pools[i].Pool == "busy" && s.Pools[i].Members[0].Load != nil {
			part = s.Pools[i].Members[0].Load.Keeps
		}
	}
	return part, s.Loads[0].From
}

// awaitShedding waits until nodes keep about half of the clients of the busy member, and the same part, by a report that a node
// has polled.
func (c *testCluster) awaitShedding(what, from string, names ...string) {
	c.t.Helper()
	counterpart.Await(c.t, func() error {
		parts := map[float64]bool{}
		for _, name := range names {
			part, polled := c.keeps(name)
			parts[part] = true
			if want := strings.TrimSuffix(from, name); from != "" && polled != want || part < 0.4 || part > 0.6 {
				return fmt.Errorf("%s: %s keeps %v by a report of %q, want one of %q", what, name, part, polled, want)
			}
		}
		if len(parts) != 1 {
			return fmt.Errorf("%s: nodes keep %v", what, parts)
		}
		return nil
	})
}

// awaitCloud waits until nodes have this address of the target and no other one, and answer it.
func (c *testCluster) awaitCloud(want string, names ...string) {
	c.t.Helper()
	c.awaitCluster("the target is at "+want, func(s *control.ClusterStatus) bool {
		return len(s.Inputs.Targets) == 1 && fmt.Sprint(s.Inputs.Targets[0].Addresses) == "["+want+"]"
	}, names...)
	for _, name := range names {
		awaitAnswer(c.t, c.nodes[name].dns, "cloud.example.com.", want)
	}
}

// TestInputsAreShared runs three nodes with a real etcd. Each has a resolver of its own, which answers by place or fails, and
// polls the same load: all use the addresses and the shedding of the first node that has them, also after its loss, and go on
// from these without etcd.
func TestInputsAreShared(t *testing.T) {
	t.Parallel()
	c := newTestClusterStale(t, 4)
	stopEtcd := c.startEtcd()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"load": 800}`) }))
	defer source.Close()
	resolvers := map[string]*placedResolver{"ams1": {address: "127.0.0.71"}, "iad1": {}, "sin1": {address: "127.0.0.73"}}
	for name, r := range resolvers {
		c.withInputs(name, source.URL, r.listen(t))
	}
	c.start("ams1", "iad1", "sin1")
	all := c.names()
	c.awaitCluster("all nodes are fresh", allFresh, all...)
	c.awaitCloud("127.0.0.71", all...)
	c.awaitShedding("all run", "ams1", all...)
	c.expectInputs()

	resolvers["ams1"].set("")
	c.awaitCloud("127.0.0.73", all...)
	c.awaitCluster("sin1 gives the target", func(s *control.ClusterStatus) bool { return s.Inputs.Targets[0].From == "sin1" }, all...)

	if err := syscall.Kill(c.nodes["ams1"].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	left := all[1:]
	c.awaitShedding("ams1 is lost", "iad1", left...)
	c.expectCloud("ams1 is lost", "127.0.0.73", left...)
	resolvers["ams1"].set("127.0.0.71")
	c.nodes["ams1"].log = new(transcript)
	c.start("ams1")
	c.awaitShedding("ams1 is back", "ams1", all...)
	c.awaitCloud("127.0.0.71", all...)

	stopEtcd()
	c.awaitCluster("etcd is lost", func(s *control.ClusterStatus) bool { return s.Etcd == "unreachable" }, all...)
	for _, name := range all {
		c.awaitShedding("etcd is lost", "", name)
	}
	c.awaitCloud("127.0.0.73", "sin1") // by its own resolver, after some lookups
	c.expectCloud("etcd is lost", "127.0.0.71", "ams1", "iad1")
	c.startEtcd()
	c.awaitCluster("all nodes are fresh again", allFresh, all...)
	c.awaitCloud("127.0.0.71", all...)
	c.awaitShedding("etcd is back", "ams1", all...)
}

// expectCloud expects that nodes answer this address of the target now.
func (c *testCluster) expectCloud(when, want string, names ...string) {
	c.t.Helper()
	for _, name := range names {
		m, err := counterpart.Exchange(new(dns.Msg).SetQuestion("cloud.example.com.", dns.TypeA), c.nodes[name].dns)
		if err != nil || len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), "\t"+want) {
			c.t.Errorf("%s: %s answers %v %v, want %s", when, name, m, err, want)
		}
	}
}

// expectInputs expects shared inputs in the output of commands and in metrics.
func (c *testCluster) expectInputs() {
	c.t.Helper()
	out := c.mustRun("sin1", "cluster", "status")
	if !strings.Contains(out, "loads: reports and shedding of ams1\ntarget lb.example.net.: 127.0.0.71, found by ams1; sin1 finds 127.0.0.73\n") {
		c.t.Errorf("cluster status:\n%s", out)
	}
	if out := c.mustRun("sin1", "status", "cloud"); !strings.Contains(out, "note: target lb.example.net. has the addresses that ams1 finds; this node finds 127.0.0.73\n") {
		c.t.Errorf("status:\n%s", out)
	}
	if out := c.mustRun("iad1", "status", "cloud"); !strings.Contains(out, "note: target lb.example.net. has the addresses that ams1 finds, not resolvable here for ") {
		c.t.Errorf("status of a node that cannot resolve it:\n%s", out)
	}
	if out := c.mustRun("iad1", "explain", "cloud.example.com", "--client", "192.0.2.1"); !strings.Contains(strings.Join(strings.Fields(out), " "), "it has the addresses that ams1 finds") {
		c.t.Errorf("explain:\n%s", out)
	}
	metrics := get(c.t, "http://"+c.nodes["sin1"].admin+"/metrics")
	for _, want := range []string{`meridian_cluster_inputs_given{kind="loads"} 1`, `meridian_cluster_inputs_given{kind="targets"} 1`, `meridian_cluster_inputs_rejected_total{reason="signature"} 0`} {
		if !strings.Contains(metrics, want) {
			c.t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}
