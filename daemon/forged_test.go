package daemon

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"meridian/cluster"
	"meridian/cluster/direct"
	"meridian/cluster/etcd"
	"meridian/cluster/observation"
	"meridian/config"
	"meridian/counterpart"
	"meridian/health"
)

// attacked is a node of a cluster on a real etcd and with a real listener for the other nodes. The test plays the others.
type attacked struct {
	*cluster.Node
	store    *etcd.Store
	client   *direct.Client
	listener *direct.Listener
	probe    health.ProbeID
	mu       sync.Mutex
	agreed   []health.Agreement
}

func attackKey(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

// newAttacked runs the node a1, which trusts b1 and c1, until the test ends. The client has the key of b1.
func newAttacked(t *testing.T) *attacked {
	t.Helper()
	ports, trust := counterpart.FreePorts(t, 2), map[string]ed25519.PublicKey{}
	counterpart.StartEtcd(t, t.TempDir(), ports)
	for _, name := range []string{"a1", "b1", "c1"} {
		trust[name] = attackKey(name).Public().(ed25519.PublicKey)
	}
	log, check := slog.New(slog.DiscardHandler), &config.Check{Name: "web", Type: config.TCPConnect, Port: 80}
	address := netip.MustParseAddr("192.0.2.1")
	a := &attacked{probe: health.IDOf(check, address)}
	var err error
	a.store, err = etcd.Open(etcd.Options{
		Endpoints: []string{fmt.Sprintf("http://127.0.0.1:%d", ports[0])}, Prefix: "/meridian", Cluster: "prod", Logger: log,
		Patience: cluster.Patience{Quiet: time.Hour, Answer: time.Hour, End: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	identity := func(name string) direct.Identity {
		return direct.Identity{Cluster: "prod", Name: name, Key: attackKey(name), Trust: trust}
	}
	a.Node = cluster.New(cluster.Options{
		Cluster: "prod", Name: "a1", Region: "a1", Key: attackKey("a1"), Trust: trust, Heartbeat: 30 * time.Second, Stale: 100, // a busy machine is slow
		Transport: a.store.Transport(), Report: func(slog.Level, string, string) {}, Agree: a.agree,
	})
	if a.listener, err = direct.Open(netip.MustParseAddrPort("127.0.0.1:0"), false, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.listener.Serve(direct.Settings{Identity: identity("a1"), Heartbeat: time.Nanosecond, Answer: a.Answer, Logger: log}); err != nil {
		t.Fatal(err)
	}
	a.client = direct.NewClient(identity("b1"))
	a.Opinion(health.Opinion{ID: a.probe, Target: health.Target{Check: check, Addr: address}, Verdict: health.Up, Since: time.Now()})
	a.Begin()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended; a.client.Close(); a.listener.Close(); _ = a.store.Close() })
	return a
}

func (a *attacked) agree(all []health.Agreement) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.agreed = append(a.agreed, all...)
	return true
}

// state returns the last agreed state, and whether it has ever been down.
func (a *attacked) state() (last health.Verdict, wasDown bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.agreed {
		last, wasDown = g.Verdict, wasDown || g.Verdict == health.Down
	}
	return last, wasDown
}

// by returns the messages of a vantage with an opinion of the probe, signed for a cluster by a key.
func (a *attacked) by(vantage, of string, key ed25519.PrivateKey, boot uint64, v health.Verdict) []observation.Record {
	o := observation.NewOutbox(of, key, observation.Sender{Vantage: vantage, Region: vantage, Boot: boot})
	o.Set(observation.Entry{ID: a.probe, Verdict: v, Since: uint32(time.Now().Unix())})
	return o.Take(observation.Heartbeat{At: time.Now()})
}

// TestForgedAndReplayedBlocksChangeNothing sends messages to a node over a real etcd and over the connection of a trusted node
// that are signed by another key, for another cluster, by an unknown vantage, or were sent before. All say that an endpoint is
// down; they are refused and counted, and it stays up.
func TestForgedAndReplayedBlocksChangeNothing(t *testing.T) {
	a := newAttacked(t)
	now := uint64(time.Now().UnixNano())
	publish := func(records []observation.Record) {
		t.Helper()
		if err := a.store.Publish(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	exchange := func(records []observation.Record) {
		t.Helper()
		var request observation.Exchange
		for _, r := range records {
			request.Messages = append(request.Messages, observation.Passed{Raw: r.Value})
		}
		if _, err := a.client.Exchange(t.Context(), "a1", a.listener.Addr(), &request); err != nil {
			t.Fatal(err)
		}
	}
	genuine := func(boot uint64, v health.Verdict) (records []observation.Record) {
		return slices.Concat(a.by("b1", "prod", attackKey("b1"), boot, v), a.by("c1", "prod", attackKey("c1"), boot, v))
	}
	awaitState := func(want health.Verdict) {
		t.Helper()
		counterpart.Await(t, func() error {
			if last, _ := a.state(); last != want {
				return fmt.Errorf("the state is %v, want %v; %+v", last, want, a.Status())
			}
			return nil
		})
	}
	counterpart.Await(t, func() error {
		if s := a.Status(); !s.Connected {
			return fmt.Errorf("not connected: %+v", s)
		}
		return nil
	})
	before := genuine(now, health.Down) // is sent again below
	publish(before)
	awaitState(health.Down)
	publish(genuine(now+1, health.Up))
	awaitState(health.Up)
	a.mu.Lock()
	a.agreed = a.agreed[len(a.agreed)-1:]
	a.mu.Unlock()

	for way, send := range map[string]func([]observation.Record){"etcd": publish, "direct": exchange} {
		for what, c := range map[string]struct {
			records []observation.Record
			reason  observation.Rejection
		}{
			"another key":     {slices.Concat(a.by("b1", "prod", attackKey("evil"), now+9, health.Down), a.by("c1", "prod", attackKey("evil"), now+9, health.Down)), observation.BadSignature},
			"another cluster": {slices.Concat(a.by("b1", "test", attackKey("b1"), now+9, health.Down), a.by("c1", "test", attackKey("c1"), now+9, health.Down)), observation.BadSignature},
			"an unknown name": {slices.Concat(a.by("x1", "prod", attackKey("x1"), now+9, health.Down), a.by("y1", "prod", attackKey("y1"), now+9, health.Down)), observation.UnknownVantage},
			"sent again":      {before, observation.Replay},
		} {
			counted := a.Status().Rejected[c.reason]
			send(c.records)
			if way == "direct" && c.reason == observation.Replay {
				continue // within 30 s it may have taken a longer way, and is left out without a count
			}
			counterpart.Await(t, func() error {
				if n := a.Status().Rejected[c.reason]; n < counted+uint64(len(c.records)) {
					return fmt.Errorf("%s over %s: %d rejected by %s, want %d more than %d", what, way, n, c.reason, len(c.records), counted)
				}
				return nil
			})
		}
	}
	if last, wasDown := a.state(); last != health.Up || wasDown {
		t.Errorf("the state is %v, and was down: %v", last, wasDown)
	}
	publish(genuine(now+20, health.Down)) // the genuine nodes still count
	awaitState(health.Down)
}
