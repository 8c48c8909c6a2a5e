package health

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"meridian/health/probe"
)

// maxProbes is the most probes that run at once: enough for 10,000 targets at the default interval of 5 s that all hang for
// the default timeout of 2 s, so that they do not delay the probes of the others.
const maxProbes = 4096

// programsPerProcessor is the most programs of exec checks that run at once per processor: they mostly wait, but each costs
// a new process.
const programsPerProcessor = 8

// Prober runs all probes. Its methods are safe for concurrent use.
type Prober struct {
	dial      probe.Dial
	log       *slog.Logger
	limit     int // probes at once
	programs  int // of these, exec programs
	saved     []SavedTarget
	observer  Observer
	opinions  func(Opinion) // nil: this node decides alone
	calls     chan func(*scheduler)
	changes   chan struct{} // capacity 1
	heartbeat heartbeat
	stopped   chan struct{} // closed when Run has returned

	confirmsFirst atomic.Bool // see ConfirmFirst
}

// NewProber returns a Prober; Run drives it.
func NewProber(o Options) *Prober {
	if o.Dial == nil {
		o.Dial = probe.SystemDial
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Prober{
		dial:      o.Dial,
		log:       o.Logger,
		limit:     min(maxProbes, max(1, fileLimit()/2)), // the server needs the other half
		programs:  programsPerProcessor * runtime.GOMAXPROCS(0),
		saved:     o.Saved,
		observer:  o.Observer,
		opinions:  o.Opinions,
		calls:     make(chan func(*scheduler)),
		changes:   make(chan struct{}, 1),
		heartbeat: heartbeat{began: time.Now()},
		stopped:   make(chan struct{}),
	}
}

// Run probes until ctx ends, then waits for running probes: their results no longer count; it does not wait for programs
// that cannot be killed. Call it once; Watch and the methods of a Watch wait for it to begin, and do nothing after it has
// returned.
func (p *Prober) Run(ctx context.Context) {
	defer close(p.stopped)
	defer p.startWatchdog()()
	o := newScheduler(ctx, p)
	o.loop()
	for o.running > 0 {
		if r := <-o.reports; !r.orphanExited {
			o.running--
		}
	}
	o.workers.Wait()
}

// ConfirmFirst makes targets that are added from now on need two failures in a row before their first verdict is down, the
// second probe at once after the first. Before it, as at the start of a server, the first result alone decides.
func (p *Prober) ConfirmFirst() { p.confirmsFirst.Store(true) }

// callTimeout is how long a call waits for the scheduler: longer than the restart after a panic, far longer than any step.
const callTimeout = 5 * time.Second

// call runs f in the scheduler between two events and waits for it. It returns false if f has not completed: Run has
// returned, f panicked, or the scheduler is stalled. In the last case f may run later, so the caller may read what f writes
// only after true.
func (p *Prober) call(f func(*scheduler)) (ran bool) {
	patience := time.NewTimer(callTimeout)
	defer patience.Stop()
	done := make(chan bool, 1)
	select {
	case p.calls <- func(o *scheduler) {
		ran := false
		defer func() { done <- ran }()
		f(o)
		ran = true
	}:
	case <-p.stopped:
		return false
	case <-patience.C:
		return false
	}
	select {
	case ran = <-done:
		return ran
	case <-patience.C:
		return false
	}
}
