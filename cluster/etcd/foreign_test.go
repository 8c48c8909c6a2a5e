package etcd

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/cluster"
	"meridian/counterpart"
)

// reportingNode is a node of a cluster on a real etcd, with what it has reported.
type reportingNode struct {
	*cluster.Node
	mu      sync.Mutex
	reports []string
}

// startNode runs a node until the test ends.
func startNode(t *testing.T, port int, of, name string, keys map[string]ed25519.PrivateKey) *reportingNode {
	t.Helper()
	trust := map[string]ed25519.PublicKey{}
	for name, key := range keys {
		trust[name] = key.Public().(ed25519.PublicKey)
	}
	n := new(reportingNode)
	n.Node = cluster.New(cluster.Options{
		Cluster: of, Name: name, Region: name, Key: keys[name], Trust: trust, Heartbeat: 200 * time.Millisecond, Stale: 5,
		Transport: open(t, port, of).Transport(),
		Report: func(_ slog.Level, subject, message string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.reports = append(n.reports, subject+": "+message)
		},
	})
	n.Begin()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return n
}

// await waits until the node has a state and has reported texts.
func (n *reportingNode) await(t *testing.T, what string, is func(*cluster.Status) bool, texts ...string) {
	t.Helper()
	counterpart.Await(t, func() error {
		s := n.Status()
		n.mu.Lock()
		reports := strings.Join(n.reports, "\n")
		n.mu.Unlock()
		for _, text := range texts {
			if !strings.Contains(reports, text) {
				return fmt.Errorf("%s: no %q in\n%s", what, text, reports)
			}
		}
		if !is(&s) {
			return fmt.Errorf("%s: %+v", what, s)
		}
		return nil
	})
}

// A node with the etcd of another cluster, or below the prefix of one with another name, counts itself only and says why. It does
// not disturb that cluster.
func TestNodeAtEtcdOfAnotherClusterSaysSo(t *testing.T) {
	counterpart.Find(t, "etcd")
	ports := counterpart.FreePorts(t, 2)
	counterpart.StartEtcd(t, t.TempDir(), ports)
	keysOf := func() map[string]ed25519.PrivateKey {
		keys := map[string]ed25519.PrivateKey{}
		for _, name := range []string{"ams1", "iad1", "sin1"} {
			_, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			keys[name] = key
		}
		return keys
	}
	keys := keysOf()
	first, second := startNode(t, ports[0], "prod", "ams1", keys), startNode(t, ports[0], "prod", "iad1", keys)
	twoFresh := func(s *cluster.Status) bool { return s.Connected && s.Fresh() == 2 && !s.Unheard }
	first.await(t, "the first node", twoFresh)
	second.await(t, "the second node", twoFresh)

	isAlone := func(s *cluster.Status) bool { return s.Connected && s.Fresh() == 1 && s.Unheard }
	startNode(t, ports[0], "stage", "sin1", keys).await(t, "another name below the prefix", isAlone, "stage: "+cluster.Unheard)
	startNode(t, ports[0], "prod", "sin1", keysOf()).await(t, "the etcd of another cluster", isAlone, "prod: "+cluster.Unheard, "the signature is not of vantage")
	first.await(t, "the first node", twoFresh, "the signature is not of vantage sin1 in cluster prod")
	second.await(t, "the second node", twoFresh)
}
