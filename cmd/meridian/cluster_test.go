//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"meridian/cluster/observation"
	"meridian/control"
	"meridian/counterpart"
)

// clusterRegions are the regions of the nodes of a testCluster, by name.
var clusterRegions = map[string]string{"ams1": "eu-west", "iad1": "us-east", "sin1": "ap-south"}

// vantageAddresses are the addresses that the nodes send their probes from.
var vantageAddresses = map[string]string{"ams1": "127.0.0.11", "iad1": "127.0.0.12", "sin1": "127.0.0.13"}

// testCluster is three nodes, each in a process and a region of its own, that balance two endpoints.
type testCluster struct {
	t      *testing.T
	dir    string
	ports  []int // of etcd
	trust  string
	first  *splitEndpoint // preferred
	second *splitEndpoint
	nodes  map[string]*upgradable
}

// splitEndpoint is a web server that some vantages find broken.
type splitEndpoint struct {
	mu     sync.Mutex
	broken map[string]bool // by the address of the vantage
}

// ServeHTTP answers a probe.
func (e *splitEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken[from] {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// breakFor makes the endpoint fail for these nodes, and pass for all others.
func (e *splitEndpoint) breakFor(nodes ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = map[string]bool{}
	for _, n := range nodes {
		e.broken[vantageAddresses[n]] = true
	}
}

// listen makes the endpoint answer at an address.
func (e *splitEndpoint) listen(t *testing.T, address string, port int) (listening int) {
	t.Helper()
	e.breakFor()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: e}
	go s.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// newTestCluster returns a cluster of which neither etcd nor a node runs. A test without etcd-server ends.
func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	return newTestClusterStale(t, 2)
}

// newTestClusterStale is newTestCluster with another number of heartbeats without which a vantage is not fresh: a running
// process must not lose its name on a machine that is too busy for one.
func newTestClusterStale(t *testing.T, stale int) *testCluster {
	t.Helper()
	counterpart.Find(t, "etcd")
	c := &testCluster{t: t, dir: t.TempDir(), ports: counterpart.FreePorts(t, 2), first: new(splitEndpoint), second: new(splitEndpoint), nodes: map[string]*upgradable{}}
	port := c.first.listen(t, "127.0.0.61", 0)
	c.second.listen(t, "127.0.0.62", port)
	for _, name := range c.names() {
		key, err := observation.CreateIdentity(c.identity(name))
		if err != nil {
			t.Fatal(err)
		}
		c.trust += fmt.Sprintf("    %s: %q\n", name, observation.FormatPublicKey(key))
	}
	for _, name := range c.names() {
		n := newUpgradable(t)
		n.write(strings.Replace(c.config(name, port), "stale: 2", fmt.Sprintf("stale: %d", stale), 1))
		c.nodes[name] = n
	}
	return c
}

func (c *testCluster) names() []string { return slices.Sorted(maps.Keys(clusterRegions)) }

// identity returns the path of the private key of a node.
func (c *testCluster) identity(name string) string { return filepath.Join(c.dir, name+".ed25519") }

// config returns the configuration of a node.
func (c *testCluster) config(name string, port int) string {
	return fmt.Sprintf(`
node: %s
state: %s
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
cluster:
  name: prod
  region: %s
  etcd: {endpoints: ["http://127.0.0.1:%d"]}
  identity: %s
  heartbeat: 500ms
  stale: 2
  trust:
%s
checks:
  web: {type: http, port: %d, interval: 100ms, timeout: 100ms, fall: 2, rise: 2, source: %s}
pools:
  web:
    policy: failover
    check: web
    members: [{name: first, addresses: [127.0.0.61]}, {name: second, addresses: [127.0.0.62]}]
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, name, filepath.Join(c.dir, name), clusterRegions[name], c.ports[0], c.identity(name), c.trust, port, vantageAddresses[name])
}

// startEtcd starts etcd, or starts it again with its data.
func (c *testCluster) startEtcd() (stop func()) {
	c.t.Helper()
	return counterpart.StartEtcd(c.t, filepath.Join(c.dir, "etcd"), c.ports)
}

// start starts nodes.
func (c *testCluster) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		n := c.nodes[name]
		n.start(n.program, "serve", "-c", n.config)
	}
}

// awaitAnswers waits until the nodes give this answer.
func (c *testCluster) awaitAnswers(want string, names ...string) {
	c.t.Helper()
	for _, name := range names {
		awaitAnswer(c.t, c.nodes[name].dns, "www.example.com.", want)
	}
}

// expectAnswers expects this answer from the nodes now.
func (c *testCluster) expectAnswers(when, want string, names ...string) {
	c.t.Helper()
	for _, name := range names {
		if got := c.nodes[name].answers(); got != want {
			c.t.Errorf("%s: %s answers %s, want %s", when, name, got, want)
		}
	}
}

// expectNoChange expects that no health state has changed since the nodes have logged these texts.
func (c *testCluster) expectNoChange(when string, before map[string]string) {
	c.t.Helper()
	for name, text := range before {
		if since := strings.TrimPrefix(c.nodes[name].log.String(), text); strings.Contains(since, "health state changed") && strings.Contains(since, "to=down") {
			c.t.Errorf("%s: %s changed a health state:\n%s", when, name, since)
		}
	}
}

// logs returns what the nodes have logged.
func (c *testCluster) logs() map[string]string {
	texts := map[string]string{}
	for name, n := range c.nodes {
		texts[name] = n.log.String()
	}
	return texts
}

// cluster returns what a node knows of the cluster.
func (c *testCluster) cluster(name string) (s control.ClusterStatus) {
	c.t.Helper()
	response, err := http.Get("http://" + c.nodes[name].admin + "/v1/cluster")
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// awaitCluster waits until what each node knows of the cluster is as wanted.
func (c *testCluster) awaitCluster(what string, wanted func(*control.ClusterStatus) bool, names ...string) {
	c.t.Helper()
	for _, name := range names {
		counterpart.Await(c.t, func() error {
			if s := c.cluster(name); !wanted(&s) {
				return fmt.Errorf("%s: %s does not see that: %+v", what, name, s)
			}
			return nil
		})
	}
}

// allFresh reports whether the opinions of all nodes count.
func allFresh(s *control.ClusterStatus) bool {
	return s.Etcd == "ok" && !slices.ContainsFunc(s.Nodes, func(n control.ClusterNode) bool { return !n.Fresh })
}

// finds returns whether a node finds the preferred endpoint in a state.
func finds(name, state string) func(*control.ClusterStatus) bool {
	return func(s *control.ClusterStatus) bool { return s.Checks[0].Vantages[name] == state }
}

// TestNodesAgreeOverEtcd runs three nodes with a real etcd: a minority that finds an endpoint broken changes nothing, a
// majority changes all nodes, and an etcd that is killed and starts again changes nothing.
func TestNodesAgreeOverEtcd(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	stopEtcd := c.startEtcd()
	all := c.names()
	c.start(all...)
	c.awaitAnswers("127.0.0.61", all...)
	c.awaitCluster("all nodes are fresh", allFresh, all...)

	before := c.logs()
	c.first.breakFor("sin1")
	c.awaitCluster("sin1 finds it down", finds("sin1", "down"), all...)
	c.expectAnswers("one of three finds it down", "127.0.0.61", all...)
	c.expectNoChange("one of three finds it down", before)
	out, _ := c.nodes["iad1"].run("cluster", "status")
	if !strings.Contains(out, "cluster prod, seen from iad1: etcd ok, fresh 3 of 3 nodes, disagreements 0\n") ||
		!regexp.MustCompile(`web +127.0.0.61 +up +\S+ +down +up +up +2 of 3 regions find it up: eu-west, us-east\n`).MatchString(out) {
		t.Errorf("cluster status:\n%s", out)
	}

	c.first.breakFor("sin1", "ams1")
	c.awaitAnswers("127.0.0.62", all...)
	c.first.breakFor()
	c.awaitAnswers("127.0.0.61", all...)

	before = c.logs()
	stopEtcd()
	c.awaitCluster("etcd is lost", func(s *control.ClusterStatus) bool {
		return s.Etcd == "unreachable" && s.Checks[0].State == "uncertain"
	}, all...)
	c.first.breakFor(all...)
	for _, name := range all {
		c.awaitCluster("it finds it down", finds(name, "down"), name)
	}
	c.expectAnswers("etcd is lost", "127.0.0.61", all...)
	if status, _ := c.nodes["ams1"].run("status", "web/first"); !strings.Contains(status, "WARNING: etcd cannot be reached") ||
		!regexp.MustCompile(`first +- +uncertain `).MatchString(status) || !strings.Contains(status, "votes: ap-south unknown, eu-west down, us-east unknown; nodes: ams1 down\n") {
		t.Errorf("status does not show that the state holds:\n%s", status)
	}
	c.first.breakFor()
	for _, name := range all {
		c.awaitCluster("it finds it up", finds(name, "up"), name)
	}
	c.startEtcd()
	c.awaitCluster("all nodes are fresh again", allFresh, all...)
	c.expectNoChange("etcd was killed and started again", before)
	c.first.breakFor(all...)
	c.awaitAnswers("127.0.0.62", all...)
}

// TestSecondNodeOfOneName starts a node with the name and the key of another one: the second serves, publishes nothing, and
// says so; the first one goes on, and its name is free when it ends.
func TestSecondNodeOfOneName(t *testing.T) {
	t.Parallel()
	c := newTestClusterStale(t, 6)
	c.startEtcd()
	c.start("ams1", "iad1")
	bothFresh := func(s *control.ClusterStatus) bool { return s.Nodes[0].Fresh && s.Nodes[1].Fresh && !s.NameTaken }
	c.awaitCluster("both are fresh", bothFresh, "ams1", "iad1")
	first, second := c.nodes["ams1"], newUpgradable(t)
	text, err := os.ReadFile(first.config)
	if err != nil {
		t.Fatal(err)
	}
	second.write(strings.Replace(string(text), "state: ", "# state: ", 1))
	second.start(second.program, "serve", "-c", second.config)
	second.log.await(t, "another process publishes under the name of this node, and this one publishes nothing until that ends; give each node its own name and identity")
	if out, _ := second.run("status"); !strings.Contains(out, `WARNING: another process publishes as "ams1" in the cluster: the opinions of this one do not count`) {
		t.Errorf("status:\n%s", out)
	}
	if out, _ := second.run("cluster", "status"); !strings.Contains(out, `WARNING: another process publishes as "ams1"`) {
		t.Errorf("cluster status:\n%s", out)
	}
	if got := get(t, "http://"+second.admin+"/readyz"); !strings.Contains(got, `"ready": true`) || !strings.Contains(got, "another process publishes under the name of this node") {
		t.Errorf("readyz: %s", got)
	}
	awaitAnswer(t, second.dns, "www.example.com.", "127.0.0.61")
	c.awaitCluster("the first one goes on", bothFresh, "ams1", "iad1")
	c.expectAnswers("after the second", "127.0.0.61", "ams1", "iad1")
	if strings.Contains(first.log.String(), "another process publishes") {
		t.Errorf("the first process has lost its name:\n%s", first.log)
	}
	if err := syscall.Kill(first.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	second.log.await(t, "no other process publishes under the name of this node any more")
	c.nodes["ams1"] = second
	c.awaitCluster("the second one has the name", bothFresh, "ams1", "iad1")
}

// get returns the body of a response.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startAgents starts agents in place of nodes, with the files of these.
func (c *testCluster) startAgents(names ...string) {
	c.t.Helper()
	for _, name := range names {
		n := c.nodes[name]
		n.launch(n.program, "agent", "-c", n.config)
		n.admin = n.log.await(c.t, `msg="probing for the nodes of a cluster" cluster=prod .*admin=(\S+)`)[1]
	}
}

// TestAgentsVote runs a node and two agents with a real etcd: the agents outvote the node. An agent with the name of the node
// ends, and one that was killed votes again after its restart.
func TestAgentsVote(t *testing.T) {
	t.Parallel()
	c := newTestClusterStale(t, 6)
	c.startEtcd()
	c.start("ams1")
	c.startAgents("iad1", "sin1")
	c.awaitCluster("all are fresh", allFresh, c.names()...)
	c.awaitAnswers("127.0.0.61", "ams1")

	before := map[string]string{"ams1": c.nodes["ams1"].log.String()}
	c.first.breakFor("ams1")
	c.awaitCluster("the node finds it down", finds("ams1", "down"), c.names()...)
	c.expectAnswers("the node finds it down", "127.0.0.61", "ams1")
	c.expectNoChange("the node finds it down", before)
	c.first.breakFor("iad1", "sin1")
	c.awaitAnswers("127.0.0.62", "ams1")

	out := c.mustRun("ams1", "cluster", "status")
	if !strings.Contains(out, "cluster prod, seen from ams1: etcd ok, fresh 1 of 1 nodes and 2 of 2 agents, disagreements 0\n") ||
		!regexp.MustCompile(`(?s)ams1 +node +eu-west +fresh .*iad1 +agent +us-east +fresh .*sin1 +agent +ap-south +fresh `).MatchString(out) {
		t.Errorf("cluster status:\n%s", out)
	}
	if out := c.mustRun("ams1", "status"); !strings.Contains(out, "cluster prod: node ams1, etcd ok, fresh 3 of 3 nodes and agents\n") {
		t.Errorf("status of the node:\n%s", out)
	}
	if got := get(t, "http://"+c.nodes["ams1"].admin+"/metrics"); !strings.Contains(got, `meridian_cluster_vantage_fresh{kind="agent",node="iad1"} 1`) {
		t.Errorf("no metric of the agent in\n%s", got)
	}
	if out := c.mustRun("ams1", "drain", "web/first"); !strings.Contains(out, "confirmed by ams1\n") || strings.Contains(out, "NOT CONFIRMED") {
		t.Errorf("drain:\n%s", out)
	}
	c.expectAgent("iad1")
	c.expectNameTaken("ams1")
	c.awaitCluster("all go on", allFresh, c.names()...)

	if err := syscall.Kill(c.nodes["sin1"].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.first.breakFor("iad1") // what the killed process has found was another thing
	c.nodes["sin1"].log = new(transcript)
	c.startAgents("sin1")
	c.awaitCluster("the new process of sin1 finds it up", finds("sin1", "up"), c.names()...)
	c.awaitCluster("all are fresh again", allFresh, c.names()...)
	if strings.Contains(c.nodes["sin1"].log.String(), "another process publishes") {
		t.Errorf("the agent does not know its own heartbeat:\n%s", c.nodes["sin1"].log)
	}

	// The regions of vantages that end count as regions that do not vote: the node is no majority.
	for _, name := range []string{"iad1", "sin1"} {
		if err := syscall.Kill(c.nodes[name].pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.nodes[name].log.await(t, "msg=stopped")
	}
	c.awaitCluster("both agents are lost", func(s *control.ClusterStatus) bool { return !s.Nodes[1].Fresh && !s.Nodes[2].Fresh }, "ams1")
	c.awaitCluster("the node does not decide", func(s *control.ClusterStatus) bool {
		return s.Checks[0].State == "uncertain" && len(s.Checks[0].Votes) == 3
	}, "ams1")
	c.nodes["ams1"].log.await(t, "subject=iad1 message=\"vantage is lost: it was stopped more than 3s ago")
	if strings.Contains(c.nodes["ams1"].log.String(), "vantage is incomplete") {
		t.Errorf("a vantage that ends has taken its opinions back:\n%s", c.nodes["ams1"].log)
	}
}

// expectAgent expects what an agent answers and refuses.
func (c *testCluster) expectAgent(name string) {
	c.t.Helper()
	if out := c.mustRun(name, "status"); !strings.Contains(out, "agent, probing what ") || !strings.Contains(out, "cluster prod: agent "+name+", etcd ok") || !strings.Contains(out, "first") {
		c.t.Errorf("status of an agent:\n%s", out)
	}
	admin := "http://" + c.nodes[name].admin
	if got := get(c.t, admin+"/readyz"); !strings.Contains(got, `"ready": true`) {
		c.t.Errorf("readyz: %s", got)
	}
	for _, args := range []string{"zone list", "filter list", "resolvers", "top", "drain web/first", "undrain web/first", "force down web/first", "weight web/first 20%", "clear web/first", "config history"} {
		if out, ok := c.nodes[name].run(strings.Fields(args)...); ok || !strings.Contains(out, "this is an agent: it probes for the nodes of a cluster, and answers no queries\n  ask a node\n") {
			c.t.Errorf("%s: %v\n%s", args, ok, out)
		}
	}
	if out, ok := c.nodes[name].run("upgrade"); ok || !strings.Contains(out, "answers no queries\n  restart it, such as with systemctl restart meridian-agent") {
		c.t.Errorf("upgrade: %v\n%s", ok, out)
	}
	if got := get(c.t, admin+"/"); !strings.Contains(got, "open the dashboard of a node") {
		c.t.Errorf("the dashboard of an agent: %s", got)
	}
	for _, path := range []string{"/v1/zones", "/"} {
		response, err := http.Get(admin + path)
		if err != nil {
			c.t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusConflict || response.Header.Get("Content-Type") != "application/problem+json" {
			c.t.Errorf("%s: %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
		}
	}
}

// expectNameTaken expects that an agent with the file of a running node ends, and that the node goes on.
func (c *testCluster) expectNameTaken(name string) {
	c.t.Helper()
	out, err := exec.Command("meridian", "agent", "-c", c.nodes[name].config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("meridian: another process publishes as %q in cluster prod; give this agent a node name", name)) {
		c.t.Errorf("an agent with the name of a node: %v\n%s", err, out)
	}
	if after := c.cluster(name); after.NameTaken || after.Nodes[0].Kind != "node" {
		c.t.Errorf("%s has lost its name: %+v", name, after)
	}
}

// overrides returns the overrides that a node applies, as text.
func (c *testCluster) overrides(name string) string {
	c.t.Helper()
	response, err := http.Get("http://" + c.nodes[name].admin + "/v1/overrides")
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var of struct {
		Overrides []control.Override `json:"overrides"`
	}
	if err := json.NewDecoder(response.Body).Decode(&of); err != nil {
		c.t.Fatal(err)
	}
	var all []string
	for _, o := range of.Overrides {
		scope := "alone"
		if o.Shared != nil {
			scope = "shared"
		}
		all = append(all, fmt.Sprintf("%s %s %s", o.Target, o.Kind, scope))
	}
	return strings.Join(all, "; ")
}

// awaitOverrides waits until nodes apply these overrides.
func (c *testCluster) awaitOverrides(want string, names ...string) {
	c.t.Helper()
	for _, name := range names {
		counterpart.Await(c.t, func() error {
			if got := c.overrides(name); got != want {
				return fmt.Errorf("%s applies %q, want %q", name, got, want)
			}
			return nil
		})
	}
}

// mustRun runs a command that calls a node, which must succeed, and returns what it prints.
func (c *testCluster) mustRun(name string, args ...string) string {
	c.t.Helper()
	out, ok := c.nodes[name].run(args...)
	if !ok {
		c.t.Fatalf("%s: %v: %s", name, args, out)
	}
	return out
}

// TestOverridesAreShared sets overrides at one node of three with a real etcd: all apply them and confirm. Without etcd a
// change must be local; a node that starts without it keeps what it knew, and an etcd that has lost all gets it back.
func TestOverridesAreShared(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	stopEtcd := c.startEtcd()
	all := c.names()
	c.start(all...)
	c.awaitCluster("all nodes are fresh", allFresh, all...)

	out := c.mustRun("ams1", "drain", "web/first", "--for", "1h", "--reason", "kernel")
	if !strings.Contains(out, "confirmed by ams1, iad1, sin1\n") || strings.Contains(out, "NOT CONFIRMED") {
		t.Errorf("drain:\n%s", out)
	}
	c.expectAnswers("after the drain at ams1", "127.0.0.62", all...)
	if out, ok := c.nodes["sin1"].run("drain", "web/second"); ok || !strings.Contains(out, "draining web/second would leave no answer for www.example.com") {
		t.Errorf("a drain at sin1 of the last member: %v\n%s", ok, out)
	}
	if out := c.mustRun("iad1", "status"); !strings.Contains(out, "override: web/first is drained on all nodes (by ") || !strings.Contains(out, "at ams1) until ") {
		t.Errorf("status:\n%s", out)
	}
	if out := c.mustRun("iad1", "undrain", "web/first"); !strings.Contains(out, "confirmed by ams1, iad1, sin1\n") {
		t.Errorf("undrain:\n%s", out)
	}
	c.expectAnswers("after undrain at iad1", "127.0.0.61", all...)

	c.mustRun("sin1", "force", "down", "web/first", "--local")
	c.awaitOverrides("web/first forced down alone", "sin1")
	c.awaitOverrides("", "ams1", "iad1")
	if out, ok := c.nodes["sin1"].run("force", "off", "web/first"); ok || !strings.Contains(out, "web/first is forced down on this node only") {
		t.Errorf("force off without --local: %v\n%s", ok, out)
	}
	c.mustRun("sin1", "force", "off", "web/first", "--local")

	c.mustRun("ams1", "weight", "web/first", "20%")
	stopEtcd()
	c.awaitCluster("etcd is lost", func(s *control.ClusterStatus) bool { return s.Etcd == "unreachable" }, all...)
	if out, ok := c.nodes["ams1"].run("drain", "web/first"); ok || !strings.Contains(out, "etcd is unavailable, so that the change cannot be shared") || !strings.Contains(out, "--local changes this node only") {
		t.Errorf("a drain without etcd: %v\n%s", ok, out)
	}
	c.mustRun("ams1", "drain", "web/first", "--local")
	c.awaitOverrides("web/first weight shared; web/first drained alone", "ams1")
	c.restart("iad1")
	c.awaitOverrides("web/first weight shared", "iad1", "sin1")

	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	c.startEtcd()
	c.awaitCluster("all nodes are fresh again", allFresh, all...)
	counterpart.Await(t, func() error {
		if out, ok := c.nodes["sin1"].run("weight", "web/first", "off"); !ok {
			return errors.New(out)
		}
		return nil
	})
	c.awaitOverrides("", "iad1", "sin1")
	c.awaitOverrides("web/first drained alone", "ams1")
}

// restart ends a node and starts it again.
func (c *testCluster) restart(name string) {
	c.t.Helper()
	n := c.nodes[name]
	if err := syscall.Kill(n.pid, syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	n.log.await(c.t, "msg=stopped")
	n.log = new(transcript)
	n.start(n.program, "serve", "-c", n.config)
}
