//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"meridian/cluster/observation"
)

// node is a process that serves.
type node struct {
	*host
	name   string
	config string
	log    string
	client *dns.Client
}

// newNodes writes the files of nodes and starts them. In each file, the text of more follows the settings of the cluster.
func newNodes(o options, e *etcd, cluster string, names []string, more string) (nodes []*node, err error) {
	trust := ""
	for _, name := range names {
		key, err := observation.CreateIdentity(filepath.Join(o.work, cluster+name+".ed25519"))
		if err != nil {
			return nil, err
		}
		trust += fmt.Sprintf("    %s: %q\n", name, observation.FormatPublicKey(key))
	}
	for _, name := range names {
		h, err := e.newHost()
		if err != nil {
			return nil, err
		}
		n := &node{h, name, filepath.Join(o.work, cluster+name+".yaml"), filepath.Join(o.work, cluster+name+".log"), &dns.Client{Timeout: 5 * time.Second}}
		nodes = append(nodes, n)
		text := fmt.Sprintf(`
node: %s
state: %s
server: {listen: ["%s:53"], workers: 1}
admin: {listen: "127.0.0.1:8053"}
cluster:
  name: %s
  region: %s
  etcd: {endpoints: ["%s"]}
  identity: %s
  heartbeat: 500ms
  stale: 6
  trust:
%s%s`, name, filepath.Join(o.work, cluster+name), h.address, cluster, name[:1], strings.Join(e.endpoints, `", "`), filepath.Join(o.work, cluster+name+".ed25519"), trust, more)
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		if _, err := e.start(h, n.log, o.meridian, "serve", "-c", n.config); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// ask returns the address that a node answers; empty: it answers none.
func (n *node) ask() (string, error) {
	m, _, err := n.client.Exchange(new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA), n.address+":53")
	if err != nil || len(m.Answer) == 0 {
		return "", err
	}
	return m.Answer[0].(*dns.A).A.String(), nil
}

// awaitAnswers waits until all nodes give an answer, and returns when the last one did.
func awaitAnswers(ctx context.Context, nodes []*node, want string, most, pause time.Duration) (time.Time, error) {
	at, failed := make([]time.Time, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			failed[i] = await(ctx, n.name+" answers "+want+"; see "+n.log, most, pause, func() bool { got, _ := n.ask(); return got == want })
			at[i] = time.Now()
		})
	}
	all.Wait()
	return slices.MaxFunc(at, time.Time.Compare), errors.Join(failed...)
}

// run runs a command for a node.
func (n *node) run(o options, args ...string) error {
	args = append(append(slices.Clone(n.within), o.meridian), args...)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// endpoint is the preferred endpoint, which fails for some nodes.
type endpoint struct {
	mu     sync.Mutex
	broken map[string]bool        // by address of the node
	failed map[string][]time.Time // when it has failed, since it is broken
}

// ServeHTTP answers a probe.
func (p *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken[from] {
		w.WriteHeader(http.StatusServiceUnavailable)
		p.failed[from] = append(p.failed[from], time.Now())
	}
}

// breakFor makes the endpoint fail for these nodes only.
func (p *endpoint) breakFor(nodes ...*node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken, p.failed = map[string]bool{}, map[string][]time.Time{}
	for _, n := range nodes {
		p.broken[n.address] = true
	}
}

// failures returns when the endpoint has failed for a node.
func (p *endpoint) failures(n *node) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.failed[n.address])
}

// fall is how many probes must fail: the last of them is the vote of a node.
const fall = 2

const balanced = `
checks:
  web: {type: http, interval: 500ms, timeout: 500ms, fall: 2, rise: 2}
pools:
  web:
    policy: failover
    check: web
    members: [{name: first, addresses: [10.9.0.1]}, {name: second, addresses: [10.9.0.2]}]
zones:
  example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com, names: {www: {pool: web}}}
`

const (
	first, second = "10.9.0.1", "10.9.0.2"
	patience      = 2 * time.Minute
	askPause      = 2 * time.Millisecond
)

// measureNodes measures five nodes in three regions: agreement, an outage of etcd, and its end.
func measureNodes(ctx context.Context, o options, e *etcd, r *report, wants func(string) bool) error {
	p := new(endpoint)
	p.breakFor()
	for address, handler := range map[string]http.Handler{first: p, second: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})} {
		l, err := net.Listen("tcp", address+":80")
		if err != nil {
			return err
		}
		defer l.Close()
		go http.Serve(l, handler) //nolint:errcheck // ends with l
	}
	nodes, err := newNodes(o, e, "nodes", []string{"a1", "a2", "b1", "b2", "c1"}, balanced)
	if err != nil {
		return err
	}
	if _, err := awaitAnswers(ctx, nodes, first, patience, askPause); err != nil {
		return err
	}
	if wants("agreement") {
		for _, of := range []struct {
			delay, asked time.Duration
			what         string
		}{{0, 300 * time.Millisecond, ""}, {75 * time.Millisecond, 1500 * time.Millisecond, ", 150ms round trip to etcd and between its members"}} {
			e.delay.Store(int64(of.delay))
			if err := measureAgreement(ctx, o, nodes, p, r, of.asked, of.what); err != nil {
				return err
			}
		}
		e.delay.Store(0)
	}
	if !wants("outage") {
		return nil
	}
	return measureOutage(ctx, o, e, nodes, p, r)
}

// measureAgreement lets votes change until that of b2 decides, and measures from the end of its probe that made it vote.
func measureAgreement(ctx context.Context, o options, nodes []*node, p *endpoint, r *report, asked time.Duration, what string) error {
	var all []time.Duration
	for range o.rounds {
		p.breakFor(nodes[0], nodes[1], nodes[2])
		if err := await(ctx, "probes fail", patience, askPause, func() bool { return len(p.failures(nodes[2])) > 3*fall }); err != nil {
			return err
		}
		for _, n := range nodes {
			if got, err := n.ask(); got != first {
				return fmt.Errorf("%s answers %s, %v before the deciding vote", n.name, got, err)
			}
		}
		p.breakFor(nodes[:4]...)
		at, err := awaitAnswers(ctx, nodes, second, patience, askPause)
		if err != nil {
			return err
		}
		all = append(all, at.Sub(p.failures(nodes[3])[fall-1]))
		p.breakFor()
		if _, err := awaitAnswers(ctx, nodes, first, patience, askPause); err != nil {
			return err
		}
	}
	slices.Sort(all)
	r.atMost("agreement: from the deciding vote to the answers of all 5 nodes"+what, asked, all[len(all)-1], fmt.Sprintf(" the longest of %d, median %v", len(all), all[len(all)/2].Round(time.Millisecond)))
	return nil
}

// measureOutage kills etcd and asks all nodes, while one of them finds the preferred endpoint broken. Then all find that, which
// they agree on when etcd is back.
func measureOutage(ctx context.Context, o options, e *etcd, nodes []*node, p *endpoint, r *report) error {
	before := changes(nodes)
	e.kill()
	p.breakFor(nodes[4])
	asking, stop := context.WithTimeout(ctx, o.outage)
	defer stop()
	var asked, lost, other atomic.Int64
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			for ; asking.Err() == nil; time.Sleep(20 * time.Millisecond) {
				got, err := n.ask()
				asked.Add(1)
				switch {
				case err != nil || got == "":
					lost.Add(1)
				case got != first:
					other.Add(1)
				}
			}
		})
	}
	all.Wait()
	changed := changes(nodes) - before
	r.countAtMost(fmt.Sprintf("outage: answers lost in %v without etcd, 300 heartbeats are ten minutes at 2s", o.outage), 0, float64(lost.Load()), fmt.Sprintf(" of %d", asked.Load()))
	r.countAtMost("outage: answers of another endpoint", 0, float64(other.Load()), "")
	r.countAtMost("outage: changes of a health state", 0, float64(changed), "")
	p.breakFor(nodes...)
	if err := await(ctx, "all find the endpoint broken", patience, askPause, func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return len(p.failures(n)) <= fall })
	}); err != nil {
		return err
	}
	if err := e.startMembers(); err != nil {
		return err
	}
	healthy := time.Now()
	at, err := awaitAnswers(ctx, nodes, second, patience, askPause)
	r.atMost("heal: from etcd taking writes to a state change at all 5 nodes", 5*time.Second, at.Sub(healthy), "")
	return err
}

// changes returns how many changes of a health state the nodes have logged.
func changes(nodes []*node) (count int) {
	for _, n := range nodes {
		text, err := os.ReadFile(n.log)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "health state changed") && (strings.Contains(line, "to=down") || strings.Contains(line, "to=up")) {
				count++
			}
		}
	}
	return count
}

// sharedText returns a configuration of about a size, of which www has an address.
func sharedText(size int, address string) string {
	var pools, names strings.Builder
	for i := 0; pools.Len()+names.Len() < size; i++ {
		fmt.Fprintf(&pools, "  p%06d: {policy: weighted, members: [{name: a, addresses: [198.18.%d.%d], weight: 3}, {name: b, addresses: [198.19.%d.%d]}]}\n", i, i>>8&255, i&255, i>>8&255, i&255)
		fmt.Fprintf(&names, "      n%06d: {pool: p%06d}\n", i, i)
	}
	return fmt.Sprintf(`pools:
  web: {policy: weighted, members: [{name: a, addresses: [%s]}]}
%szones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
      www: {pool: web}
%s`, address, &pools, &names)
}

// measurePush pushes configurations to nodes, and rolls back.
func measurePush(ctx context.Context, o options, e *etcd, r *report, _ func(string) bool) error {
	names := make([]string, o.nodes)
	for i := range names {
		names[i] = fmt.Sprintf("%c%02d", 'a'+i%3, i)
	}
	nodes, err := newNodes(o, e, "pushed", names, "  config: shared\n")
	if err != nil {
		return err
	}
	file := filepath.Join(o.work, "shared.yaml")
	const size = 5 << 20
	push := func(size int, address string) []string {
		err = errors.Join(err, os.WriteFile(file, []byte(sharedText(size, address)), 0o600))
		return []string{"config", "push", file, "--allow-removal"}
	}
	back := []string{"config", "rollback", "--allow-removal"}
	if err := await(ctx, "the first push", patience, time.Second, func() bool { return nodes[0].run(o, push(0, "192.0.2.1")...) == nil }); err != nil {
		return err
	}
	if _, err := awaitAnswers(ctx, nodes, "192.0.2.1", patience, 20*time.Millisecond); err != nil {
		return err
	}
	for _, step := range []struct {
		what, want string
		size       int
		asked      time.Duration
	}{
		{"push: 5 MB", "192.0.2.2", size, 10 * time.Second},
		{"push: rollback of it, to a small one", "192.0.2.1", -1, 2 * time.Second},
		{"push: 5 MB again", "192.0.2.3", size, 10 * time.Second},
		{"push: another 5 MB", "192.0.2.4", size, 10 * time.Second},
		{"push: rollback of it, to 5 MB", "192.0.2.3", -1, 2 * time.Second},
	} {
		args := back
		if step.size >= 0 {
			args = push(step.size, step.want)
		}
		used, began := usedBy(e.started), time.Now()
		commanded := make(chan error, 1)
		go func() { commanded <- nodes[0].run(o, args...) }()
		at, failed := awaitAnswers(ctx, nodes, step.want, patience, 20*time.Millisecond)
		if err := errors.Join(err, <-commanded, failed); err != nil {
			return err
		}
		r.atMost(fmt.Sprintf("%s, served by all %d nodes", step.what, len(nodes)), step.asked, at.Sub(began), fmt.Sprintf("; %.1f s of processor time of all nodes and etcd", (usedBy(e.started)-used).Seconds()))
	}
	for _, c := range e.started[len(e.started)-2*len(nodes):] { // free their memory
		_ = c.Process.Kill()
	}
	return nil
}

// usedBy returns the processor time of processes that run.
func usedBy(all []*exec.Cmd) (used time.Duration) {
	for _, c := range all {
		var field [15]int64
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), ") ")
		for i, of := range strings.Fields(after) {
			if i == 11 || i == 12 { // user and system time, in hundredths of a second
				fmt.Sscan(of, &field[i])
			}
		}
		used += time.Duration(field[11]+field[12]) * 10 * time.Millisecond
	}
	return used
}
