//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"meridian/control"
)

// The environment variables with the program of an earlier build, and with what it lacks. bench/versions sets them.
const (
	earlierProgram = "MERIDIAN_EARLIER_PROGRAM"
	earlierLacks   = "MERIDIAN_EARLIER_LACKS" // "share": it cannot serve a generation to a share of the clients
)

// mixedCluster is a cluster of two nodes that follow a shared configuration: ams1 runs an earlier program, iad1 this one. The third
// node of the cluster does not run, so that no state changes without the votes of both.
type mixedCluster struct {
	*testCluster
	earlier string
	text    string // of the shared configuration
}

func newMixedCluster(t *testing.T) *mixedCluster {
	t.Helper()
	m := &mixedCluster{testCluster: newTestClusterStale(t, 6), earlier: os.Getenv(earlierProgram)}
	for _, name := range m.both() {
		n := m.nodes[name]
		text, err := os.ReadFile(n.config)
		if err != nil {
			t.Fatal(err)
		}
		own, shared, _ := strings.Cut(string(text), "\nchecks:\n")
		n.write(strings.Replace(own, "  heartbeat:", "  config: shared\n  failsafe: {listen: \"127.0.0.1:0\"}\n  heartbeat:", 1))
		m.text = regexp.MustCompile(`, source: [0-9.]+`).ReplaceAllString("checks:\n"+shared, "")
	}
	m.nodes["ams1"].link(m.earlier)
	return m
}

func (m *mixedCluster) both() []string { return []string{"ams1", "iad1"} }

// push pushes the shared configuration with a TTL to a node.
func (m *mixedCluster) push(name, ttl string, args ...string) (out string, ok bool) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "shared.yaml")
	writeFile(m.t, file, strings.Replace(m.text, "    contact:", "    ttl: "+ttl+"\n    contact:", 1))
	return m.nodes[name].run(append([]string{"config", "push", file}, args...)...)
}

// breakAll makes the preferred endpoint fail for all nodes, or pass for all.
func (m *mixedCluster) breakAll(broken bool) {
	m.first.mu.Lock()
	defer m.first.mu.Unlock()
	m.first.broken = map[string]bool{"127.0.0.1": broken}
}

// failOver makes the preferred endpoint fail and pass again. All nodes follow, with the votes of each other.
func (m *mixedCluster) failOver(when string) {
	m.t.Helper()
	m.breakAll(true)
	m.awaitAnswers("127.0.0.62", m.both()...)
	m.breakAll(false)
	m.awaitAnswers("127.0.0.61", m.both()...)
	for _, name := range m.both() {
		s := m.cluster(name)
		if votes := s.Checks[0].Votes; votes["eu-west"] != "up" || votes["us-east"] != "up" {
			m.t.Errorf("%s: %s has the votes %v", when, name, votes)
		}
	}
}

// drain sets an override at one node and removes it at the other one. Both confirm.
func (m *mixedCluster) drain(when, set, remove string) {
	m.t.Helper()
	if out := m.mustRun(set, "drain", "web/first", "--reason", "upgrade"); !strings.Contains(out, "confirmed by ams1, iad1\n") || strings.Contains(out, "NOT CONFIRMED") {
		m.t.Errorf("%s: drain at %s:\n%s", when, set, out)
	}
	m.awaitAnswers("127.0.0.62", m.both()...)
	m.mustRun(remove, "undrain", "web/first")
	m.awaitAnswers("127.0.0.61", m.both()...)
}

// bothFresh reports whether the opinions of both nodes count, and they decide the same.
func bothFresh(s *control.ClusterStatus) bool {
	fresh := slices.DeleteFunc(slices.Clone(s.Nodes), func(n control.ClusterNode) bool { return !n.Fresh || n.Disagrees })
	return s.Etcd == "ok" && len(fresh) == 2
}

// expectNoRejection expects that each node has accepted all that the other one has sent.
func (m *mixedCluster) expectNoRejection(when string) {
	m.t.Helper()
	for _, name := range m.both() {
		metrics := get(m.t, "http://"+m.nodes[name].admin+"/metrics")
		rejected := regexp.MustCompile(`(?m)^meridian_cluster_\w+_rejected_total\{.*reason="(?:malformed|version|signature|unknown_vantage)"\} (\S+)`)
		found := rejected.FindAllStringSubmatch(metrics, -1)
		if len(found) < 8 { // of messages and of inputs
			m.t.Errorf("%s: %s has few metrics: %q", when, name, found)
		}
		for _, f := range found {
			if f[1] != "0" {
				m.t.Errorf("%s: %s: %s", when, name, f[0])
			}
		}
	}
}

// TestVersions runs a node of an earlier build together with one of this build on a real etcd, as during an upgrade of a cluster:
// they agree on health over etcd and without it, share overrides and configurations, and report what the earlier one lacks. Then
// the earlier one is upgraded while it serves, and this build is rolled back. bench/versions runs it.
func TestVersions(t *testing.T) {
	if os.Getenv(earlierProgram) == "" {
		t.Skip("SKIPPED: no program of an earlier build; bench/versions makes one")
	}
	m := newMixedCluster(t)
	stopEtcd := m.startEtcd()
	m.start(m.both()...)
	if out, ok := m.push("iad1", "60"); !ok {
		t.Fatalf("push: %s", out)
	}
	m.awaitAnswers("127.0.0.61", m.both()...)
	m.awaitCluster("both are fresh", bothFresh, m.both()...)
	m.failOver("two versions")
	m.drain("two versions", "ams1", "iad1")
	m.drain("two versions", "iad1", "ams1")

	for ttl, nodes := range map[string][2]string{"61": {"ams1", "iad1"}, "62": {"iad1", "ams1"}} { // pushed at, canary
		out, ok := m.push(nodes[0], ttl, "--canary", nodes[1], "--for", "1s")
		if !ok {
			t.Fatalf("canary: %s", out)
		}
		m.awaitGeneration(out)
	}
	out, ok := m.push("iad1", "63", "--canary", "50%", "--for", "1s")
	if lacks := os.Getenv(earlierLacks) == "share"; ok == lacks || lacks && !strings.Contains(out, "these nodes run a version that serves one generation only: ams1; upgrade them") {
		t.Errorf("a canary for a share of the clients: %s", out)
	} else if !lacks {
		m.awaitGeneration(out)
	}
	m.expectNoRejection("two versions")

	stopEtcd()
	m.awaitCluster("without etcd", func(s *control.ClusterStatus) bool { return s.Etcd == "unreachable" && s.Mode == "direct" }, m.both()...)
	m.failOver("two versions without etcd")
	m.startEtcd()
	m.awaitCluster("etcd is back", bothFresh, m.both()...)
	m.expectNoRejection("etcd is back")

	ams1 := m.nodes["ams1"]
	m.mustRun("iad1", "drain", "web/first")
	ams1.link(ams1.binary())
	ams1.upgrade()
	m.expectAnswers("the earlier node is upgraded", "127.0.0.62", m.both()...)
	m.mustRun("ams1", "undrain", "web/first")
	m.awaitCluster("the earlier node is upgraded", bothFresh, m.both()...)
	if out, ok := m.push("iad1", "64", "--canary", "50%", "--for", "1s"); !ok {
		t.Errorf("a canary for a share of the clients, after the upgrade: %s", out)
	} else {
		m.awaitGeneration(out)
	}
	m.rollBack("iad1")
	m.awaitCluster("a node is rolled back", bothFresh, m.both()...)
	m.failOver("a node is rolled back")
	m.drain("a node is rolled back", "iad1", "ams1")
	m.expectNoRejection("a node is rolled back")
}

// awaitGeneration waits until all nodes serve the generation that a push has printed.
func (m *mixedCluster) awaitGeneration(pushed string) {
	m.t.Helper()
	found := regexp.MustCompile(`generation (\d+)`).FindStringSubmatch(pushed)
	if found == nil {
		m.t.Fatalf("no generation in\n%s", pushed)
	}
	number, _ := strconv.ParseUint(found[1], 10, 64)
	m.awaitCluster("generation "+found[1], func(s *control.ClusterStatus) bool {
		return !slices.ContainsFunc(s.Nodes, func(n control.ClusterNode) bool { return n.Fresh && n.Generation != number }) && bothFresh(s)
	}, m.both()...)
}

// rollBack restarts a node with the earlier program and the state that this one has written.
func (m *mixedCluster) rollBack(name string) {
	m.t.Helper()
	n := m.nodes[name]
	process, err := os.FindProcess(n.pid)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	n.log.await(m.t, `msg=stopped`)
	n.link(m.earlier)
	n.log = new(transcript)
	n.start(n.program, "serve", "-c", n.config)
	m.awaitAnswers("127.0.0.61", name)
	if strings.Contains(n.log.String(), "corrupt") {
		m.t.Errorf("the earlier program cannot read the state of this one:\n%s", n.log)
	}
}
