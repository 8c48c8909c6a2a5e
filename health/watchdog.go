package health

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The times by which the prober monitors itself.
const (
	heartbeatInterval = time.Second      // the scheduler's loop runs at least this often
	stallTimeout      = 10 * time.Second // a longer iteration counts as a stall
	restartDelay      = time.Second      // after a panic of the scheduler, so that a repeated panic does not fill the log
)

// Heartbeat is the state of the prober itself.
type Heartbeat struct {
	At      time.Time // of the scheduler's last iteration: too long ago, it is stalled; zero: Run has not begun
	Panics  uint64    // of the scheduler, each recovered
	Targets int       // with a watch
	Probing int       // probes in progress
}

// Stalled reports whether the scheduler is stalled at now: health states are frozen then.
func (p Heartbeat) Stalled(now time.Time) bool { return !p.At.IsZero() && now.Sub(p.At) > stallTimeout }

// heartbeat holds the values of Heartbeat as the scheduler writes them.
type heartbeat struct {
	began   time.Time    // when the prober was created
	at      atomic.Int64 // nanoseconds since began, by the monotonic clock; 0: Run has not begun
	panics  atomic.Int64
	targets atomic.Int64
	probing atomic.Int64
}

// Heartbeat returns the state of the prober without a call to the scheduler, so that it works during a stall.
func (p *Prober) Heartbeat() Heartbeat {
	now := Heartbeat{
		Panics:  uint64(p.heartbeat.panics.Load()),
		Targets: int(p.heartbeat.targets.Load()),
		Probing: int(p.heartbeat.probing.Load()),
	}
	if at := p.heartbeat.at.Load(); at != 0 {
		now.At = p.heartbeat.began.Add(time.Duration(at))
	}
	return now
}

// recordHeartbeat records an iteration of the loop. Delays of the scheduler itself, such as a process stopped for a while,
// make no verdict uncertain.
func (o *scheduler) recordHeartbeat(now time.Time) {
	at := max(1, now.Sub(o.heartbeat.began))
	if last := o.heartbeat.at.Swap(int64(at)); last != 0 && at-time.Duration(last) > 2*heartbeatInterval {
		o.lastStall = now
	}
	o.heartbeat.targets.Store(int64(len(o.entries)))
	o.heartbeat.probing.Store(int64(o.running))
}

// startWatchdog logs each stall of the scheduler once, and its end. end stops it.
func (p *Prober) startWatchdog() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(heartbeatInterval)
		defer ticker.Stop()
		logged := false
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				logged = p.checkHeartbeat(now, logged)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// checkHeartbeat checks for a stall, and returns whether one is now logged.
func (p *Prober) checkHeartbeat(now time.Time, logged bool) bool {
	beat := p.Heartbeat()
	stalled := beat.Stalled(now)
	switch {
	case stalled && !logged:
		p.log.Error("prober stalled, health states frozen", "since", beat.At.Format(time.RFC3339))
	case logged && !stalled:
		p.log.Info("prober recovered")
	}
	return stalled
}

// recoverPanic recovers from a panic of the scheduler: it logs the panic, rebuilds the schedule from the targets, and
// notifies every watch of all verdicts again, since notifications may be lost. Verdicts and streaks stay valid: they are
// only replaced whole.
func (o *scheduler) recoverPanic() {
	v := recover()
	if v == nil {
		return
	}
	o.heartbeat.panics.Add(1)
	o.log.LogAttrs(o.ctx, slog.LevelError, "prober panicked, recovered",
		slog.String("reason", fmt.Sprint(v)),
		slog.String("stack", string(debug.Stack())))
	select {
	case <-time.After(restartDelay):
	case <-o.ctx.Done():
	}
	o.rebuild()
}

// rebuild rebuilds the scheduler's state from its targets.
func (o *scheduler) rebuild() {
	o.waiting, o.leases, o.running, o.pendingNotify = queue{}, queue{}, 0, o.pendingNotify[:0]
	for _, l := range o.limiters {
		*l = l.empty()
	}
	o.programs = o.programs.empty()
	for _, e := range o.entries {
		e.parked = nil
		if e.probing {
			o.running++
			e.limiter.running++
		}
		if e.execLimiter != nil && (e.probing || e.stuck) {
			e.execLimiter.running++
		}
		if e.probing || e.stuck {
			continue
		}
		o.schedule(e)
	}
	o.renotifyAll()
}

// renotifyAll queues the current state for every watch, for delivery with the next event.
func (o *scheduler) renotifyAll() {
	o.composites = nil
	for _, e := range o.entries {
		e.dirty = false
		for _, s := range e.subs {
			s.watch.queued, s.watch.idle = nil, nil
		}
	}
	for _, e := range o.entries {
		switch v, _ := e.verdict.effective(); {
		case v != Unknown, !e.verdict.since.IsZero(): // includes targets that have become unknown
			o.notifySubscribers(e, v)
		case e.settled:
			o.markSettled(e)
		}
		if len(e.parts) > 0 {
			o.markDirty(e)
		}
	}
}
