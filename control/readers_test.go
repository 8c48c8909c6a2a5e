package control

import (
	"context"
	"log/slog"
	"testing"

	"github.com/miekg/dns"

	"meridian/control/event/notify"
	"meridian/discovery"
	"meridian/health"
	"meridian/loads"
	"meridian/server"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// controlling returns the Control of a server with the snapshot of answertest, and a running
// prober.
func controlling(t *testing.T) *Control {
	t.Helper()
	snapshot, log := answertest.World(t), slog.New(slog.DiscardHandler)
	prober, tracker, poller := health.NewProber(health.Options{}), discovery.New(discovery.Options{}), loads.New(loads.Options{})
	probing, stop := context.WithCancel(context.Background())
	probed := make(chan struct{})
	go func() { defer close(probed); prober.Run(probing) }()
	c := New(server.New(snapshot, server.Options{Logger: log}), log)
	notifier := notify.New(notify.Options{Events: c.Events(), Logger: log})
	t.Cleanup(func() {
		notifier.Close()
		stop()
		<-probed
		tracker.Close()
		poller.Close()
	})
	watch, err := prober.Watch(snapshot.Pools.Targets(), func(all []health.Transition) { c.Apply(snapshot.Pools, all) })
	if err != nil {
		t.Fatal(err)
	}
	reports, err := poller.Follow(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Use(prober, notifier)
	c.Commit(Generation{Users: NewUsers(func() {}), Snapshot: snapshot, Watch: watch, Loads: reports, Targets: tracker.Follow(nil, nil)})
	return c
}

// TestReadersWaitForNoLock makes requests of operators while overrides or pools change, and while
// other requests run.
func TestReadersWaitForNoLock(t *testing.T) {
	c := controlling(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.hold() // as Explain does
	defer at.Release()
	if _, err := c.Status(Selector{}); err != nil {
		t.Error(err)
	}
	if e := c.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA}); len(e.Answers) == 0 {
		t.Errorf("%+v", e)
	}
	c.Overrides()
}
