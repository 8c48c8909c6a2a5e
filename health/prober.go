package health

import (
	"context"
	"log/slog"
	"runtime"
	"time"
)

// maxProbes is how many probes run at once, at most: enough for 10,000 targets
// at the default interval of 5 s that all hang for the default timeout of 2 s,
// so that endpoints that hang do not hold up the probes of the others.
const maxProbes = 4096

// programsPerProcessor is how many programs of exec checks run at once, at most, for each
// processor: most of their time they wait, but each costs the making of a process.
const programsPerProcessor = 8

// Prober owns all probing. Its methods are safe for concurrent use.
type Prober struct {
	dial      Dial
	log       *slog.Logger
	limit     int // probes at once
	programs  int // of these programs
	recalls   []SavedTarget
	calls     chan func(*scheduler)
	changes   chan struct{} // holds one
	heartbeat heartbeat
	stopped   chan struct{} // closed when Run has returned
}

// NewProber makes a Prober; Run drives it.
func NewProber(o Options) *Prober {
	if o.Dial == nil {
		o.Dial = systemDial
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Prober{
		dial:      o.Dial,
		log:       o.Logger,
		limit:     min(maxProbes, max(1, fileLimit()/2)), // the other half is the server's own
		programs:  programsPerProcessor * runtime.GOMAXPROCS(0),
		recalls:   o.Saved,
		calls:     make(chan func(*scheduler)),
		changes:   make(chan struct{}, 1),
		heartbeat: heartbeat{began: time.Now()},
		stopped:   make(chan struct{}),
	}
}

// Run probes until ctx ends, then waits for the probes under way, whose
// results no longer count; not for programs that cannot be killed. Call it once; Watch and the methods of a Watch wait
// for it to begin, and do nothing after it has returned.
func (p *Prober) Run(ctx context.Context) {
	defer close(p.stopped)
	defer p.startWatchdog()()
	o := newScheduler(ctx, p)
	o.loop()
	for o.running > 0 {
		if r := <-o.reports; !r.gone {
			o.running--
		}
	}
	o.workers.Wait()
}

// callWithin is how long whoever asks the owner waits for it: longer than it takes
// to go on after a panic, far longer than any of its turns.
const callWithin = 5 * time.Second

// call has the owner run f between two events and waits for it. It reports false
// when f has not run to its end: when Run has returned, when f panicked, and when the
// owner hangs. In the last case f may run later, so that what f writes is the
// caller's to read only after true.
func (p *Prober) call(f func(*scheduler)) (ran bool) {
	patience := time.NewTimer(callWithin)
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
