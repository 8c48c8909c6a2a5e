// Package health probes endpoints out of band and tells their verdicts.
package health

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"meridian/config"
)

// Target is what one prober probes: an address by a check. Two targets with an
// equal address and check definition are probed once.
type Target struct {
	Check *config.Check
	Addr  netip.Addr
}

// Verdict is what the probes say of a target.
type Verdict uint8

// The verdicts. Unknown counts as up.
const (
	Unknown Verdict = iota
	Up
	Down
)

func (v Verdict) String() string { return [...]string{"unknown", "up", "down"}[v] }

// Turn is a change of a target's verdict.
type Turn struct {
	Index    int // of the target in the slice given to Watch
	Target   Target
	From, To Verdict
	Reason   string        // of the last probe: what was found, e.g. `status 500, want 200-299`
	Latency  time.Duration // of the last probe
	At       time.Time
}

// Options are what a Prober takes from outside; zero fields take the real thing.
type Options struct {
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger
}

// Prober owns all probing. Its methods are safe for concurrent use.
type Prober struct{}

// NewProber makes a Prober; Run drives it.
func NewProber(o Options) *Prober { panic("skeleton") }

// Run probes until ctx ends, then waits for the probes under way.
func (p *Prober) Run(ctx context.Context) { panic("skeleton") }

// Watch subscribes to targets. turned is called from the prober's one owner
// goroutine: first, before Watch returns, with the known verdicts of targets
// that were being watched already; afterwards with every turn. It must not block.
// Close the Watch to end it; targets that nobody watches are forgotten.
func (p *Prober) Watch(targets []Target, turned func([]Turn)) (*Watch, error) { panic("skeleton") }

// Watch is one subscription.
type Watch struct{}

// FirstRound waits until every target of the watch has a verdict or ctx ends,
// and reports how many have none.
func (w *Watch) FirstRound(ctx context.Context) (unknown int) { panic("skeleton") }

// Close ends the subscription; turned is not called after Close returns.
func (w *Watch) Close() { panic("skeleton") }
