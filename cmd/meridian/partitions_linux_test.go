package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"meridian/cluster/observation"
	"meridian/counterpart"
)

// partitionRounds is the environment variable with the number of rounds; bench/partitions sets it.
const partitionRounds = "MERIDIAN_PARTITION_ROUNDS"

// host is a network namespace behind a link to the bridge of the test.
type host struct {
	name, address string
	holder        int // process of the namespace
}

// testHosts makes namespaces with the addresses 10.9.0.10 and up, on a bridge with 10.9.0.1 and 10.9.0.2.
func testHosts(t *testing.T, names []string) map[string]*host {
	t.Helper()
	makeLink(t, "br0", "type", "bridge")
	for _, a := range []string{"10.9.0.1/24", "10.9.0.2/24"} {
		counterpart.Output(t, "ip", "addr", "add", a, "dev", "br0")
	}
	counterpart.Output(t, "ip", "link", "set", "br0", "up")
	hosts := map[string]*host{}
	for i, name := range names {
		holder := exec.Command(counterpart.Find(t, "sleep"), "3600")
		holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
		h := &host{name, fmt.Sprintf("10.9.0.%d", 10+i), holder.Process.Pid}
		hosts[name] = h
		makeLink(t, h.link(), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(h.holder))
		counterpart.Output(t, "ip", "link", "set", h.link(), "master", "br0", "up")
		for _, line := range []string{"ip link set lo up", "ip addr add " + h.address + "/24 dev eth0", "ip link set eth0 up"} {
			h.run(t, strings.Fields(line)...)
		}
	}
	return hosts
}

// makeLink makes a network interface. A kernel or a container without that kind of interface skips the test.
func makeLink(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(counterpart.Find(t, "ip"), append([]string{"link", "add"}, args...)...).CombinedOutput()
	if err != nil {
		counterpart.Missing(t, fmt.Sprintf("no network interface %s can be made: %v: %s", strings.Join(args, " "), err, out))
	}
}

// link returns the name of the end of the link of h at the bridge.
func (h *host) link() string { return "v" + h.name }

// within returns the arguments of nsenter for a program in the namespace.
func (h *host) within(args ...string) []string {
	return append([]string{"-t", strconv.Itoa(h.holder), "-n", "--"}, args...)
}

func (h *host) run(t *testing.T, args ...string) string {
	t.Helper()
	return counterpart.Output(t, "nsenter", h.within(args...)...)
}

// cut loses packets of h without a word: to it, from it, or both. It returns what heals the link.
func (p *partitioned) cut(h *host, how string) (heal func()) {
	t := p.t
	do := func(line string) { t.Helper(); f := strings.Fields(line); counterpart.Output(t, f[0], f[1:]...) }
	switch how {
	case "to", "from": // frames go to an address that nobody has
		forget := func() {}
		for _, other := range p.hosts {
			from, to := h, other
			if how == "to" {
				from, to = other, h
			}
			if other != h {
				from.run(t, "ip", "neigh", "replace", to.address, "lladdr", "02:00:00:00:00:fe", "dev", "eth0", "nud", "permanent")
				before := forget
				forget = func() { before(); from.run(t, "ip", "neigh", "del", to.address, "dev", "eth0") }
			}
		}
		return forget
	}
	do("ip link set " + h.link() + " down")
	return func() { do("ip link set " + h.link() + " up") }
}

// partitioned is a cluster of which each process has a host.
type partitioned struct {
	t       *testing.T
	hosts   map[string]*host
	nodes   map[string]*upgradable
	first   *splitEndpoint
	members []*etcdHost
	whole   string // in the status, when all count
}

// newPartitioned starts members of etcd, nodes and agents, all with failsafe. Each gets its own folder from folder.
func newPartitioned(t *testing.T, members, nodes, agents []string, folder func() string) *partitioned {
	t.Helper()
	vantages := slices.Concat(nodes, agents)
	p := &partitioned{t: t, hosts: testHosts(t, slices.Concat(members, vantages)), nodes: map[string]*upgradable{}, first: new(splitEndpoint)}
	p.whole = fmt.Sprintf("fresh %d of %d nodes and %d of %d agents", len(nodes), len(nodes), len(agents), len(agents))
	p.first.breakFor()
	for address, handler := range map[string]http.Handler{"10.9.0.1:80": p.first, "10.9.0.2:80": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: handler}
		go s.Serve(l) //nolint:errcheck // ends with the test
		t.Cleanup(func() { s.Close() })
	}
	dir, trust := t.TempDir(), ""
	for _, name := range vantages {
		key, err := observation.CreateIdentity(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		trust += fmt.Sprintf("    %s: %q\n", name, observation.FormatPublicKey(key))
	}
	p.addMembers(members, folder)
	for _, name := range vantages {
		n := newUpgradable(t)
		n.state = folder()
		a := p.hosts[name].address
		n.write(fmt.Sprintf(`
node: %s
state: %s
server: {listen: ["%s:53"], workers: 1}
admin: {listen: "127.0.0.1:8053"}
cluster:
  name: prod
  region: %s
  etcd: {endpoints: [%s]}
  failsafe: {}
  identity: %s
  heartbeat: 500ms
  stale: 6
  trust:
%s
checks:
  web: {type: http, interval: 200ms, timeout: 150ms, fall: 2, rise: 2}
pools:
  web:
    policy: failover
    check: web
    members: [{name: first, addresses: [10.9.0.1]}, {name: second, addresses: [10.9.0.2]}]
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, name, n.state, a, name[:1], p.endpoints(), filepath.Join(dir, name), trust))
		p.nodes[name] = n
		p.start(name, slices.Contains(agents, name))
	}
	return p
}

// start starts a node or an agent, or starts it again.
func (p *partitioned) start(name string, agent bool) {
	p.t.Helper()
	n, command, started := p.nodes[name], "serve", "msg=serving"
	if agent {
		command, started = "agent", "probing for the nodes of a cluster"
	}
	n.log = new(transcript)
	n.launch(counterpart.Find(p.t, "nsenter"), p.hosts[name].within(n.program, command, "-c", n.config)...)
	n.log.await(p.t, started)
}

// status returns what a node knows of the cluster, asked within its namespace.
func (p *partitioned) status(name string) string {
	out, _ := exec.Command("nsenter", p.hosts[name].within(p.nodes[name].program, "cluster", "status")...).CombinedOutput()
	return string(out)
}

// await waits until what vantages know of the cluster contains a text, or does not contain it.
func (p *partitioned) await(what, text string, wanted bool, names ...string) {
	p.t.Helper()
	for _, name := range names {
		counterpart.Await(p.t, func() error {
			if s := p.status(name); strings.Contains(s, text) != wanted || !strings.HasPrefix(s, "cluster prod") {
				return fmt.Errorf("%s: %s: want %v for %q in\n%s", what, name, wanted, text, s)
			}
			return nil
		})
	}
}

// breakFor makes the preferred endpoint fail for vantages.
func (p *partitioned) breakFor(names ...string) {
	p.first.mu.Lock()
	defer p.first.mu.Unlock()
	p.first.broken = map[string]bool{}
	for _, name := range names {
		p.first.broken[p.hosts[name].address] = true
	}
}

// awaitAnswers waits until nodes give an answer.
func (p *partitioned) awaitAnswers(want string, names ...string) {
	p.t.Helper()
	for _, name := range names {
		awaitAnswer(p.t, p.hosts[name].address+":53", "www.example.com.", want)
	}
}

// TestPartitions cuts the links of a cluster in network namespaces, in one direction and in both, and stops and kills
// processes. A vantage that is cut off changes no health state, the others go on to agree, and all are equal afterwards.
// bench/partitions runs more rounds, with three members of etcd, which it stops, kills, and leaves without space.
func TestPartitions(t *testing.T) {
	t.Parallel()
	counterpart.Find(t, "etcd")
	rounds, _ := strconv.Atoi(os.Getenv(partitionRounds))
	if !inOwnNamespaces(t, rounds > 0) {
		return
	}
	members, nodes, agents, folder := []string{"etcd"}, []string{"a1", "b1", "c1"}, []string{"c2"}, t.TempDir
	if rounds > 0 {
		members, nodes, agents = []string{"e1", "e2", "e3"}, []string{"a1", "a2", "b1", "b2", "c1"}, []string{"a3", "b3", "c2"}
		folder = func() string { return smallDisk(t) }
	}
	p := newPartitioned(t, members, nodes, agents, folder)
	all := slices.Concat(nodes, agents)
	p.await("all are fresh", p.whole, true, all...)
	p.awaitAnswers("10.9.0.1", nodes...)
	if rounds == 0 {
		p.cutOff(nodes, all, "a1", "from")
		p.withoutEtcd(nodes, all, "b1")
	}
	for round := range rounds {
		victim, member := nodes[round%len(nodes)], p.members[round%len(p.members)]
		for _, how := range []string{"to", "from", "both"} {
			p.cutOff(nodes, all, victim, how)
		}
		p.withoutEtcd(nodes, all, victim)
		for _, how := range []string{"killed", "stopped", "cut off"} {
			p.withoutMember(nodes, all, member, how)
			p.withoutMajority(nodes, all, member, how)
		}
		p.fullMember(nodes, all, member)
		p.fullState(nodes, all, victim)
	}
}

// without returns names but one.
func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// cutOff loses the packets of a node that sees the preferred endpoint fail: it changes nothing, as does no other node.
func (p *partitioned) cutOff(nodes, all []string, victim, how string) {
	t, others := p.t, without(all, victim)
	before := p.nodes[victim].log.String()
	heal := p.cut(p.hosts[victim], how)
	p.await("the node is cut off: "+how, "lost", true, others[0])
	p.breakFor(victim)
	p.await("it finds that it is a minority", "uncertain", true, victim)
	p.awaitAnswers("10.9.0.1", without(nodes, victim)...)
	if since := strings.TrimPrefix(p.nodes[victim].log.String(), before); strings.Contains(since, "to=down") {
		t.Errorf("%s, cut off (%s), changed a health state:\n%s", victim, how, since)
	}
	p.breakFor()
	heal()
	p.await("all are fresh after "+how, p.whole, true, all...)
	p.await("etcd is reached after "+how, "etcd ok", true, all...)
}

// withoutEtcd ends etcd. The nodes go on to agree, also while one of them is stopped or killed.
func (p *partitioned) withoutEtcd(nodes, all []string, victim string) {
	others := without(all, victim)
	p.stopEtcd()
	p.await("without etcd", "mode direct", true, all...)
	p.await("without etcd", p.whole, true, all...)
	p.breakFor(all...)
	p.awaitAnswers("10.9.0.2", nodes...)
	p.breakFor()
	p.awaitAnswers("10.9.0.1", nodes...)
	if os.Getenv(partitionRounds) != "" {
		p.signal(victim, syscall.SIGSTOP)
		p.await("the node is stopped", "lost", true, others[0])
		p.awaitAnswers("10.9.0.1", without(nodes, victim)...)
		p.signal(victim, syscall.SIGCONT)
		p.await("the node goes on", p.whole, true, all...)
	}
	p.signal(victim, syscall.SIGKILL)
	p.await("the node is killed", "lost", true, others[0])
	p.start(victim, false)
	p.await("the node is back", p.whole, true, all...)
	p.startEtcd(p.members...)
	p.await("etcd is back", "etcd ok", true, all...)
	p.await("etcd is back", p.whole, true, all...)
	p.await("all are equal", "other results", false, all...)
	p.awaitAnswers("10.9.0.1", nodes...)
}

func (p *partitioned) signal(name string, s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.nodes[name].pid, s); err != nil {
		p.t.Fatal(err)
	}
}
