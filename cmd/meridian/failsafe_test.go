//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"meridian/control"
)

// useFailsafe makes the nodes of a cluster ask each other while etcd is away.
func (c *testCluster) useFailsafe() {
	c.t.Helper()
	for _, n := range c.nodes {
		text, err := os.ReadFile(n.config)
		if err != nil {
			c.t.Fatal(err)
		}
		n.write(strings.Replace(string(text), "  heartbeat:", "  failsafe: {listen: \"127.0.0.1:0\"}\n  heartbeat:", 1))
	}
}

// isDirect reports whether a node is without etcd and hears of all others.
func isDirect(s *control.ClusterStatus) bool {
	for _, n := range s.Nodes {
		if !n.Fresh {
			return false
		}
	}
	return s.Etcd == "unreachable" && s.Mode == "direct"
}

// knowsAddress returns whether the address of a node is known.
func knowsAddress(name string) func(*control.ClusterStatus) bool {
	return func(s *control.ClusterStatus) bool {
		for _, n := range s.Nodes {
			if n.Name == name {
				return n.Address != ""
			}
		}
		return false
	}
}

// TestNodesAgreeDirectly runs two nodes and an agent, and kills etcd: no health state changes by it, and the next changes are
// agreed directly. A node that is killed and one that is upgraded without etcd are back, and all return to etcd.
func TestNodesAgreeDirectly(t *testing.T) {
	t.Parallel()
	c := newTestClusterStale(t, 6)
	c.useFailsafe()
	stopEtcd := c.startEtcd()
	all := c.names()
	c.start("ams1", "iad1")
	c.startAgents("sin1")
	c.awaitCluster("all are fresh", allFresh, all...)
	c.awaitCluster("ams1 can be asked", knowsAddress("ams1"), "iad1", "sin1")
	c.awaitCluster("iad1 can be asked", knowsAddress("iad1"), "ams1", "sin1")
	c.awaitAnswers("127.0.0.61", "ams1", "iad1")

	before := c.logs()
	stopEtcd()
	c.awaitCluster("etcd is lost", isDirect, all...)
	c.expectNoChange("etcd is lost", before)
	for name := range c.nodes {
		if since := strings.TrimPrefix(c.nodes[name].log.String(), before[name]); strings.Contains(since, "vantage is lost") {
			t.Errorf("%s has lost a vantage with etcd:\n%s", name, since)
		}
	}
	c.first.breakFor("ams1")
	c.awaitCluster("ams1 finds it down", finds("ams1", "down"), all...)
	c.expectAnswers("one of three finds it down", "127.0.0.61", "ams1", "iad1")
	c.first.breakFor("ams1", "sin1") // a node and the agent
	c.awaitAnswers("127.0.0.62", "ams1", "iad1")
	c.expectDirectStatus()

	c.nodes["iad1"].log.await(t, "mode direct")
	if err := syscall.Kill(c.nodes["iad1"].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.awaitCluster("iad1 is lost", func(s *control.ClusterStatus) bool { return !s.Nodes[1].Fresh }, "ams1")
	c.nodes["iad1"].log = new(transcript)
	c.start("iad1")
	c.awaitCluster("iad1 is back without etcd", isDirect, all...)
	c.nodes["ams1"].upgrade()
	c.awaitCluster("ams1 is upgraded without etcd", isDirect, all...)
	c.first.breakFor()
	c.awaitAnswers("127.0.0.61", "ams1", "iad1")

	c.startEtcd()
	c.awaitCluster("etcd is back", allFresh, all...)
	c.first.breakFor(all...)
	c.awaitAnswers("127.0.0.62", "ams1", "iad1")
	for _, name := range all {
		if s := c.cluster(name); len(s.Rejected) > 0 || s.Mode != "etcd" || s.Disagreements > 0 {
			t.Errorf("%s: rejected %v, mode %s, %d disagreements", name, s.Rejected, s.Mode, s.Disagreements)
		}
	}
}

// expectDirectStatus expects what operators see without etcd, and that overrides of the cluster are refused.
func (c *testCluster) expectDirectStatus() {
	c.t.Helper()
	for _, step := range []struct {
		args string
		ok   bool
		want string
	}{
		{"cluster status", true, "seen from ams1: etcd unreachable, mode direct, fresh 2 of 2 nodes and 1 of 1 agents"},
		{"status", true, "WARNING: etcd cannot be reached: mode direct, health states are agreed with the nodes that can be reached"},
		{"events", true, "mode direct"},
		{"drain web/second", false, "--local"},
		{"drain web/second --local", true, "on this node only"},
		{"undrain web/second --local", true, ""},
	} {
		if out, ok := c.nodes["ams1"].run(strings.Fields(step.args)...); ok != step.ok || !strings.Contains(out, step.want) {
			c.t.Errorf("%s: %v, want %q in\n%s", step.args, ok, step.want, out)
		}
	}
	metrics := get(c.t, "http://"+c.nodes["ams1"].admin+"/metrics")
	for _, want := range []string{`meridian_cluster_mode{mode="direct"} 1`, `meridian_cluster_mode{mode="etcd"} 0`, `meridian_cluster_direct_refused_total{reason="untrusted"} 0`} {
		if !strings.Contains(metrics, want+"\n") {
			c.t.Errorf("no metric %s", want)
		}
	}
}

// A port that another program has is an error at the start, with the exit code of other ports.
func TestFailsafePortInUse(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t)
	c.startEtcd()
	c.useFailsafe()
	n := c.nodes["ams1"]
	text, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	n.write(strings.Replace(string(text), "127.0.0.1:0\"}\n  heartbeat", fmt.Sprintf("127.0.0.1:%d\"}\n  heartbeat", c.ports[0]), 1))
	raw, err := exec.Command("meridian", "serve", "-c", n.config).CombinedOutput()
	var exit *exec.ExitError
	if out := string(raw); !errors.As(err, &exit) || exit.ExitCode() != exitBind || !strings.Contains(out, fmt.Sprintf("listen on 127.0.0.1:%d for the nodes of the cluster", c.ports[0])) || !strings.Contains(out, "address already in use") {
		t.Errorf("%v\n%s", err, out)
	}
}
