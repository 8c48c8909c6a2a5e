package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/health"
	"meridian/pools"
	"meridian/snapshot"
)

// TestStalledProberDelaysNothingElse checks that overrides work, that status shows all data
// outside of the prober, and that the server ends.
func TestStalledProberDelaysNothingElse(t *testing.T) {
	t.Parallel()
	cfg, _, err := config.Parse("meridian.yaml", []byte(steered))
	if err != nil {
		t.Fatal(err)
	}
	var c *control.Control
	ready, ended, hangs, release := make(chan struct{}), make(chan error, 1), make(chan struct{}), make(chan struct{})
	defer close(release)
	first := true
	ctx, cancel := context.WithCancel(t.Context())
	l := Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) { s, _, err := b(cfg); return s, err },
		Admin: func(of *control.Control, _ config.Admin) (http.Handler, error) {
			c = of
			return http.NotFoundHandler(), nil
		},
		OnTransition: func([]health.Transition, *pools.Tree) {
			if first {
				first = false
				close(hangs)
				<-release
			}
		},
		Ready:  func([]netip.AddrPort) { close(ready) },
		Logger: slog.New(slog.DiscardHandler),
	}
	go func() { ended <- l.Run(ctx) }()
	<-ready
	<-hangs
	asked := make(chan error, 2)
	go func() { _, err := c.Status(control.Selector{}); asked <- err }()
	go func() { _, err := c.Clear(control.Selector{Pool: "web"}); asked <- err }()
	if _, err := c.Override(control.Selector{Pool: "web", Member: "a"}, pools.Drained, control.OverrideOptions{}); err != nil {
		t.Error(err)
	}
	c.Tick(time.Now())
	for range 2 {
		if err := <-asked; err != nil && err != control.ErrProberStalled {
			t.Error(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
