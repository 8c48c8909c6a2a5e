package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"meridian/health"
	"meridian/pools"
	"meridian/resolver"
	"meridian/zones"
)

// firstRound is how long the first round of probes may hold back the first
// answer (DESIGN 5.5).
const firstRound = 5 * time.Second

// Lifecycle is a server from its first socket to its last answer: it binds,
// probes once, serves, reloads when told and drains at the end. One goroutine,
// the one that calls Run, owns all of it.
type Lifecycle struct {
	// Load builds the configuration's snapshot afresh, at start and for each reload.
	Load func() (*zones.Snapshot, error)
	// Reload asks for a reload with each signal; nil: never.
	Reload <-chan os.Signal
	// Ready, unless nil, is called once, when questions are being answered.
	Ready func([]netip.AddrPort)
	// Turned, unless nil, is told every verdict that turns, and every Share and
	// Response that moves, which are no verdicts. It must not block.
	Turned func([]health.Turn, *pools.Tree)
	Logger *slog.Logger
}

// BindError is a failure to listen, as opposed to a configuration at fault.
type BindError struct{ Err error }

func (e *BindError) Error() string { return e.Err.Error() }
func (e *BindError) Unwrap() error { return e.Err }

// life is a Lifecycle under way.
type life struct {
	*Lifecycle
	server  *Server
	prober  *health.Prober
	tracker *resolver.Tracker
	modes   modeLog
}

// Run serves until ctx ends. The error is a *BindError where an address could
// not be bound, else what Load returned.
func (l *Lifecycle) Run(ctx context.Context) error {
	snapshot, err := l.firstLoad(ctx)
	if snapshot == nil {
		return err
	}
	s := New(snapshot, Options{Logger: l.Logger})
	if err := s.Listen(); err != nil {
		return &BindError{err}
	}
	run := &life{
		Lifecycle: l, server: s,
		prober:  health.NewProber(health.Options{Logger: l.Logger}),
		tracker: resolver.New(resolver.Options{Logger: l.Logger}),
		modes:   modeLog{log: l.Logger},
	}
	defer run.tracker.Close()
	probing, stopProbing := context.WithCancel(context.WithoutCancel(ctx))
	probed := make(chan struct{})
	go func() { defer close(probed); run.prober.Run(probing) }()
	defer func() { stopProbing(); <-probed }()

	k, err := run.prepare(ctx, snapshot)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if k.snapshot != snapshot {
		if _, err := s.Swap(k.snapshot); err != nil {
			return &BindError{err}
		}
	}
	return run.serve(ctx, k)
}

// firstLoad is Load, but for ctx's end: nobody waits for it then, and neither
// a snapshot nor an error comes back.
func (l *Lifecycle) firstLoad(ctx context.Context) (*zones.Snapshot, error) {
	type loaded struct {
		snapshot *zones.Snapshot
		err      error
	}
	done := make(chan loaded, 1)
	go func() {
		snapshot, err := l.Load()
		done <- loaded{snapshot, err}
	}()
	select {
	case got := <-done:
		return got.snapshot, got.err
	case <-ctx.Done():
		return nil, nil
	}
}

// serve answers and reloads until ctx ends.
func (l *life) serve(ctx context.Context, k *kept) error {
	l.modes.serve(k.snapshot.Pools)
	debug.FreeOSMemory() // building takes several times what serving does
	served := make(chan error, 1)
	go func() { served <- l.server.Serve(ctx) }()
	if l.Ready != nil {
		l.Ready(l.server.Addrs())
	}
	l.Logger.Info("serving", "listen", join(l.server.Addrs()), "zones", len(k.snapshot.Config.Zones))
	var settled <-chan time.Time // nil: the addresses of targets are those that the pools have
	for {
		select {
		case err := <-served:
			k.close()
			l.Logger.Info("stopped", "counted", l.server.Counters())
			return err
		case <-l.Reload:
			next, err := l.reload(ctx)
			if err != nil {
				l.Logger.Error("reload refused; the old configuration keeps serving", "error", err)
				continue
			}
			k.close()
			k = next
		case <-l.tracker.Changes():
			settled = k.settle()
		case <-settled:
			settled = nil
			if err := l.readdress(ctx, k); err != nil {
				l.Logger.Error("the new addresses of targets are not taken over", "error", err)
			}
		}
	}
}

// reload builds the new world beside the old one, gives its new targets their
// first probes, and swaps. Whatever fails leaves the old one serving.
func (l *life) reload(ctx context.Context) (*kept, error) {
	begun := time.Now()
	snapshot, err := l.Load()
	if err != nil {
		return nil, err
	}
	k, err := l.prepare(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	old, err := l.server.Swap(k.snapshot)
	if err != nil {
		k.close()
		return nil, err
	}
	l.modes.serve(k.snapshot.Pools)
	if err := old.Close(); err != nil {
		l.Logger.Warn("closing the old configuration", "error", err)
	}
	if ctx.Err() != nil { // it is ending, and listens no more
		return k, nil
	}
	debug.FreeOSMemory()
	l.Logger.Info("reloaded", "zones", len(snapshot.Config.Zones), "listen", join(l.server.Addrs()),
		"took", time.Since(begun).Round(time.Millisecond), "counted", l.server.Counters())
	return k, nil
}

// watch has the snapshot's targets probed and waits for their first verdicts,
// until ctx ends.
func (l *life) watch(ctx context.Context, snapshot *zones.Snapshot) (*health.Watch, error) {
	tree := snapshot.Pools
	watch, err := l.prober.Watch(tree.Targets(), func(turns []health.Turn) {
		l.modes.changed(tree, tree.Apply(turns))
		if l.Turned != nil {
			l.Turned(turns, tree)
		}
	})
	if err != nil {
		return nil, err
	}
	if unknown := watch.FirstRound(ctx); unknown > 0 {
		l.Logger.Warn("first round of probes unfinished; what is unknown counts as up", "unknown", unknown)
	}
	return watch, nil
}

// LogValue is the counters that tell how the server fares, for a log line.
func (c Counters) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("queries", c.Queries),
		slog.Uint64("tcp", c.TCP),
		slog.Uint64("fail_open", c.FailedOpen),
		slog.Uint64("truncated", c.Truncated),
		slog.Uint64("dropped", c.Dropped),
		slog.Uint64("panics", c.Panics),
		slog.Uint64("tcp_refused", c.Refused),
	)
}

func join(addrs []netip.AddrPort) string {
	var b strings.Builder
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, a)
	}
	return b.String()
}
