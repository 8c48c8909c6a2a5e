package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/cluster/observation"
	"meridian/cluster/rollout"
	"meridian/control"
	"meridian/counterpart"
)

// sharingNode is a node of a cluster that shares its configuration.
type sharingNode struct {
	name, dir, file, api string
	stop                 func()
}

// sharingCluster writes the files of nodes that share their configuration on an etcd.
func sharingCluster(t *testing.T, port int, names ...string) (nodes []*sharingNode) {
	t.Helper()
	var trust strings.Builder
	for _, name := range names {
		n := &sharingNode{name: name, dir: t.TempDir(), api: freeAddress(t)}
		n.file = filepath.Join(n.dir, "meridian.yaml")
		public, err := observation.CreateIdentity(filepath.Join(n.dir, "node.ed25519"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&trust, "    %s: %q\n", name, observation.FormatPublicKey(public))
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		writeFile(t, n.file, fmt.Sprintf(`node: %s
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: %q}
state: state
cluster:
  name: prod
  region: east
  etcd: {endpoints: ["http://127.0.0.1:%d"]}
  identity: node.ed25519
  heartbeat: 500ms
  config: shared
  trust:
%s`, n.name, n.api, port, &trust))
	}
	return nodes
}

// start runs the node until stop is called or the test ends.
func (n *sharingNode) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stderr, code := new(transcript), make(chan int, 1)
	go func() { code <- run(ctx, []string{"serve", "-c", n.file}, new(transcript), stderr) }()
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if c := <-code; c != exitOK || t.Failed() {
			t.Logf("%s: exit %d\n%s", n.name, c, stderr)
		}
	}
	t.Cleanup(n.stop)
	counterpart.Await(t, func() error {
		code, body := fetch("http://" + n.api + "/readyz")
		if code != 200 && !strings.Contains(body, "waiting for the first generation") {
			return fmt.Errorf("%s is not ready: %d %s\n%s", n.name, code, body, stderr)
		}
		return nil
	})
}

// try runs a command for the node, and returns its exit code and what it printed.
func (n *sharingNode) try(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), append(args, "--server", "http://"+n.api), &out, &out)
	return code, out.String()
}

// answers waits until the node answers www with an address.
func (n *sharingNode) answers(t *testing.T, address string) {
	t.Helper()
	counterpart.Await(t, func() error {
		if code, body := fetch("http://" + n.api + "/readyz"); code != http.StatusOK {
			return fmt.Errorf("%s is not ready: %d %s", n.name, code, body)
		}
		if _, out := n.try(t, "explain", "www.gslb.example.com", "--client", "192.0.2.9", "-o", "json"); !strings.Contains(out, `"`+address+`"`) {
			return fmt.Errorf("%s does not answer %s\n%s", n.name, address, out)
		}
		return nil
	})
}

// sharedText returns a shared configuration that answers www with an address.
func sharedText(t *testing.T, address, more string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "new.yaml")
	writeFile(t, file, fmt.Sprintf(`pools: {web: {policy: weighted, members: [{name: a, addresses: [%s]}]}}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: h@example.com, names: {www: {pool: web}}%s}}
`, address, more))
	return file
}

// TestNodesShareTheirConfiguration pushes generations to two nodes over a real etcd: one that both serve, one that a node
// rejects, one on a canary, and starts a node without etcd.
func TestNodesShareTheirConfiguration(t *testing.T) {
	t.Parallel()
	ports := counterpart.FreePorts(t, 2)
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	stopEtcd := counterpart.Start(t, "etcd", "--data-dir", t.TempDir(), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	counterpart.AwaitListeners(t, ports[0])
	nodes := sharingCluster(t, ports[0], "a", "b")
	a, b := nodes[0], nodes[1]
	a.start(t)
	b.start(t)
	if code, body := fetch("http://" + a.api + "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("a node without a configuration is ready: %d %s", code, body)
	}

	push := func(n *sharingNode, want int, says string, args ...string) {
		t.Helper()
		if code, out := n.try(t, append([]string{"config", "push"}, args...)...); code != want || !strings.Contains(out, says) {
			t.Fatalf("push %q: exit %d, want %d and %q\n%s", args, code, want, says, out)
		}
	}
	counterpart.Await(t, func() error { // until each knows the other
		if _, out := a.try(t, "config", "history"); !strings.Contains(out, "GENERATION") {
			return fmt.Errorf("history prints %s", out)
		}
		return nil
	})
	if code, out := a.try(t, "config", "diff", sharedText(t, "192.0.2.1", "")); code != exitConfig || !strings.Contains(out, "the cluster has no configuration yet\n  meridian config push FILE") {
		t.Errorf("diff without a configuration: exit %d\n%s", code, out)
	}
	push(a, exitConfig, "such as 5%, in a URL 5%25", sharedText(t, "192.0.2.1", ""), "--canary", "100%")
	push(a, exitConfig, `for: "0s" is not how long`, sharedText(t, "192.0.2.1", ""), "--canary", "a", "--for", "0s")
	push(a, exitConfig, "for needs a canary", sharedText(t, "192.0.2.1", ""), "--for", "5m")
	push(a, exitOK, "generation 1 of the cluster", sharedText(t, "192.0.2.1", ""))
	a.answers(t, "192.0.2.1")
	b.answers(t, "192.0.2.1")

	empty := filepath.Join(t.TempDir(), "empty.yaml")
	writeFile(t, empty, "")
	push(a, exitConfig, "the file is empty; a configuration has at least zones", empty)

	// only a has the file, which is relative to the state directory
	writeFile(t, filepath.Join(a.dir, "state", "x.zone"), "txt TXT x\n")
	push(a, exitConfig, "  b rejected: ", sharedText(t, "192.0.2.2", ", file: x.zone"))
	a.answers(t, "192.0.2.1")
	b.answers(t, "192.0.2.1")
	if _, out := b.try(t, "config", "history"); !strings.Contains(out, `"b rejected generation 2: `) {
		t.Errorf("history prints\n%s", out)
	}

	push(a, exitConfig, "--expect", sharedText(t, "192.0.2.3", ""), "--expect", "1")
	push(a, exitOK, "b serving", withCheck(t, sharedText(t, "192.0.2.3", ""), ports[0]), "--expect", "3", "--canary", "b,b", "--for", "1h")
	b.answers(t, "192.0.2.3")
	a.answers(t, "192.0.2.1")
	wantPrinted(t, b, "new 127.0.0.1 up, provisional ", "cluster", "status")
	wantPrinted(t, b, `"provisional": true`, "cluster", "status", "-o", "json")
	wantPrinted(t, b, "provisional: check new finds 127.0.0.1 up: ", "status")
	push(a, exitConfig, "generation 4 is a canary on b, pushed", sharedText(t, "192.0.2.4", ""))
	push(a, exitConfig, "meridian config rollback ends the canary of generation 4; or wait: all nodes serve it to all clients after ", sharedText(t, "192.0.2.4", ""), "--canary", "a")
	wantPrinted(t, a, "canary of generation 4 on b, since ", "status")
	wantPrinted(t, a, "a rejection, a guardrail or meridian config rollback ends it before", "cluster", "status")
	wantPrinted(t, a, "4 b running ", "config", "history")
	if code, out := a.try(t, "config", "rollback", "99"); code != exitConfig || !strings.Contains(out, "no generation 99 in the cluster") {
		t.Errorf("rollback to a generation that does not exist: exit %d\n%s", code, out)
	}
	if _, out := a.try(t, "config", "history"); !regexp.MustCompile(`(?m)^ *4 .*canary`).MatchString(out) {
		t.Errorf("after that, the canary does not serve any more:\n%s", out)
	}
	if code, out := a.try(t, "config", "rollback", "--reason", "a typing error"); code != exitOK {
		t.Errorf("rollback: exit %d\n%s", code, out)
	}
	b.answers(t, "192.0.2.1")
	wantPrinted(t, b, "4 canary, canceled", "config", "history")
	wantPrinted(t, b, "a typing error", "config", "history")
	wantPrinted(t, b, "the canary of generation 4 on b, since ", "cluster", "status")
	push(b, exitConfig, "server: this section is in the wrong file", appended(t, sharedText(t, "192.0.2.5", ""), "server: {workers: 2}\n"))

	push(a, exitConfig, "the change then reaches all nodes", sharedText(t, "192.0.2.9", ""), "--file", filepath.Join(a.dir, "state", "shared.yaml"))
	a.answers(t, "192.0.2.1")

	// what is edited by hand is not an input: a reload and a start restore it
	edited := filepath.Join(b.dir, "state", "shared.yaml")
	for _, load := range []func(){
		func() {
			if code, out := b.try(t, "reload"); code != exitOK {
				t.Errorf("reload with an edited shared.yaml: exit %d\n%s", code, out)
			}
		},
		func() { b.stop(); b.start(t) },
	} {
		text, err := os.ReadFile(edited)
		if err != nil {
			t.Fatal(err)
		}
		counterpart.Await(t, func() error { // the copy is written in the background
			if copied, err := os.ReadFile(filepath.Join(b.dir, "state", "last-good.zip")); err != nil || !bytes.Contains(copied, text) {
				return fmt.Errorf("the last good configuration is not what serves: %w", err)
			}
			return nil
		})
		writeFile(t, edited, strings.Replace(string(text), "192.0.2.1", "192.0.2.77", 1))
		load()
		b.answers(t, "192.0.2.1")
		if again, err := os.ReadFile(edited); err != nil || string(again) != string(text) {
			t.Errorf("shared.yaml is not restored: %v\n%s", err, again)
		}
	}

	// a node that starts without etcd serves the last generation
	stopEtcd()
	b.stop()
	b.start(t)
	b.answers(t, "192.0.2.1")
	push(b, exitConfig, "the shared configuration cannot be changed", sharedText(t, "192.0.2.6", ""))
	if code, out := b.try(t, "config", "history"); code != exitConfig || !strings.Contains(out, "the shared configuration cannot be read") {
		t.Errorf("history without etcd: exit %d\n%s", code, out)
	}
}

// withCheck adds a pool with a check of a port to a shared configuration.
func withCheck(t *testing.T, file string, port int) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, fmt.Sprintf("checks: {new: {type: tcp, port: %d}}\n", port)+strings.NewReplacer(
		"pools: {", "pools: {probed: {policy: weighted, check: new, members: [{name: p, addresses: [127.0.0.1]}]}, ",
		"names: {", "names: {probed: {pool: probed}, ",
	).Replace(string(text)))
	return file
}

// wantPrinted waits until a command of the node prints a text, in which any white space is one space.
func wantPrinted(t *testing.T, n *sharingNode, text string, args ...string) {
	t.Helper()
	counterpart.Await(t, func() error {
		if code, out := n.try(t, args...); code != exitOK || !strings.Contains(strings.Join(strings.Fields(out), " "), text) {
			return fmt.Errorf("%q: exit %d, want %q\n%s", args, code, text, out)
		}
		return nil
	})
}

// appended returns a file with more text at its end.
func appended(t *testing.T, file, more string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(text)+more)
	return file
}

// TestPushNamesCanariesThatDoNotAnswer prints a push to two nodes, of which one does not run.
func TestPushNamesCanariesThatDoNotAnswer(t *testing.T) {
	for _, c := range []struct {
		canary []string
		want   string
	}{
		{nil, ""},
		{[]string{"5%"}, ""},
		{[]string{"a"}, ""},
		{[]string{"a", "b"}, "  b has not answered; the other nodes wait for it: see meridian config history\n"},
	} {
		var out strings.Builder
		o := configOptions{canary: c.canary}
		loaded := control.Loaded{Shared: true, Generation: 2, Config: "shared.yaml", Nodes: []rollout.NodeAck{{Node: "a", Ack: rollout.Ack{State: rollout.Serving}}}}
		if err := o.printLoaded(&loaded, &out); err != nil || out.String() != "generation 2 of the cluster: shared.yaml\n  a serving\n"+c.want {
			t.Errorf("%q: %v\n%s", c.canary, err, out.String())
		}
	}
}
