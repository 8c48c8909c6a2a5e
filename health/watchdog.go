package health

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The times by which the prober watches itself.
const (
	heartbeatInterval = time.Second      // the owner's loop turns at least this often
	stallTimeout      = 10 * time.Second // without a turn for this long the owner hangs
	restartDelay      = time.Second      // from a panic of the owner to its next turn, lest a panic that repeats fill the log
)

// Heartbeat tells whether the prober itself is well.
type Heartbeat struct {
	At      time.Time // when the owner's loop last turned: more than some seconds ago, it hangs; zero: Run has not begun
	Panics  uint64    // of the owner, each recovered
	Targets int       // that are watched
	Probing int       // probes under way
}

// Stalled reports whether the owner hangs at now: no verdict turns then.
func (p Heartbeat) Stalled(now time.Time) bool { return !p.At.IsZero() && now.Sub(p.At) > stallTimeout }

// heartbeat is Pulse as the owner writes it.
type heartbeat struct {
	began   time.Time    // when the prober was made
	at      atomic.Int64 // nanoseconds since, by a clock that nobody sets; 0: Run has not begun
	panics  atomic.Int64
	targets atomic.Int64
	probing atomic.Int64
}

// Heartbeat tells how the prober fares, without asking the owner, so that it
// answers when that hangs.
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

// recordHeartbeat notes a turn of the loop. What was late for the owner's own sake, such
// as a process that was stopped for a while, makes no verdict uncertain.
func (o *scheduler) recordHeartbeat(now time.Time) {
	at := max(1, now.Sub(o.heartbeat.began))
	if last := o.heartbeat.at.Swap(int64(at)); last != 0 && at-time.Duration(last) > 2*heartbeatInterval {
		o.lastStall = now
	}
	o.heartbeat.targets.Store(int64(len(o.entries)))
	o.heartbeat.probing.Store(int64(o.running))
}

// startWatchdog says in the log that the owner hangs, once each time, and that it goes
// on. What it returns ends it.
func (p *Prober) startWatchdog() (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(heartbeatInterval)
		defer ticker.Stop()
		told := false
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				told = p.checkHeartbeat(now, told)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// checkHeartbeat looks at the pulse, and reports whether the log says now that the owner hangs.
func (p *Prober) checkHeartbeat(now time.Time, told bool) bool {
	pulse := p.Heartbeat()
	hangs := pulse.Stalled(now)
	switch {
	case hangs && !told:
		p.log.Error("the prober hangs: no verdict turns until it goes on", "since", pulse.At.Format(time.RFC3339))
	case told && !hangs:
		p.log.Info("the prober goes on")
	}
	return hangs
}

// recoverPanic ends a panic of the owner: it is told loudly, the schedule is made
// anew from the targets, and every watch is told all verdicts again, since what
// it was being told may be lost. Verdicts and rows stay: they are replaced
// whole, never in part.
func (o *scheduler) recoverPanic() {
	v := recover()
	if v == nil {
		return
	}
	o.heartbeat.panics.Add(1)
	o.log.LogAttrs(o.ctx, slog.LevelError, "the prober panicked and goes on",
		slog.String("reason", fmt.Sprint(v)),
		slog.String("stack", string(debug.Stack())))
	select {
	case <-time.After(restartDelay):
	case <-o.ctx.Done():
	}
	o.rebuild()
}

// rebuild makes the owner's state anew from its targets.
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

// renotifyAll notes what is known for every watch, to be told with the next event.
func (o *scheduler) renotifyAll() {
	o.composites = nil
	for _, e := range o.entries {
		e.affected = false
		for _, s := range e.subs {
			s.watch.news, s.watch.idle = nil, nil
		}
	}
	for _, e := range o.entries {
		switch v, _ := e.verdict.effective(); {
		case v != Unknown, !e.verdict.since.IsZero(): // also what has become unknown
			o.notifySubscribers(e, v)
		case e.settled:
			o.markSettled(e)
		}
		if len(e.parts) > 0 {
			o.markDirty(e)
		}
	}
}
