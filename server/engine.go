package server

import (
	"log/slog"
	"sync/atomic"

	"meridian/config"
	"meridian/snapshot"
)

// Engine answers queries from its current snapshot. Each worker has a Responder of it. Its
// methods are safe for concurrent use.
type Engine struct {
	log        *slog.Logger
	draw       func() uint64
	current    atomic.Pointer[activeSnapshot]
	responders responderPool
	shared     sharedCounters // counts outside of responders
	answers    answerLedger
	logRings   logRings
}

// NewEngine creates an engine without a snapshot. It keeps at most the given number of idle
// responders. draw is the random draw of each query, safe for concurrent use; nil means a fast
// source for each responder.
func NewEngine(log *slog.Logger, draw func() uint64, idle int) *Engine {
	return &Engine{log: log, draw: draw, responders: responderPool{idle: make(chan *Responder, idle)}}
}

// Begin sets the first snapshot.
func (e *Engine) Begin(snapshot *snapshot.Snapshot) {
	first := newActiveSnapshot(snapshot)
	e.answers.begin(first.answers)
	e.current.Store(first)
}

// Replace makes with the current one. The returned function waits until no query reads the
// previous one, and returns that.
func (e *Engine) Replace(with *snapshot.Snapshot) (waitUnused func() *snapshot.Snapshot) {
	next := newActiveSnapshot(with)
	e.answers.begin(next.answers)
	before := e.current.Swap(next)
	return func() *snapshot.Snapshot {
		e.responders.waitUnused(before)
		e.answers.end(before.answers, next.answers)
		return before.snapshot
	}
}

// Settings returns the server settings of the current snapshot.
func (e *Engine) Settings() *config.Server { return e.current.Load().config }

// Responder creates a responder for the current snapshot.
func (e *Engine) Responder() *Responder { return e.responders.add(e) }

// Remove removes a responder that its worker no longer uses.
func (e *Engine) Remove(r *Responder) { e.responders.remove(r) }

// Borrow returns an idle responder or creates one; Return makes it idle again.
func (e *Engine) Borrow() *Responder { return e.responders.get(e) }

// Return makes r idle, or removes it if there is no room.
func (e *Engine) Return(r *Responder) { e.responders.put(r) }

// Count counts n events outside of responders.
func (e *Engine) Count(c counter, n uint64) { e.shared.add(c, n) }

// Counters returns the counts of queries and events.
func (e *Engine) Counters() Counters {
	var sums rawCounts
	e.responders.count(&sums)
	return sums.counters(&e.shared)
}

// AnswerTotals returns the counts of answers by name.
func (e *Engine) AnswerTotals() AnswerTotals { return e.answers.totals() }

// Durations returns how long sampled queries took, by transport.
func (e *Engine) Durations() [transportCount]Durations { return e.responders.durations() }

// panicked logs a query that caused a panic: the 1st, 2nd, 4th, 8th and so on.
func (e *Engine) panicked(fault any, packet, stack []byte) {
	n := e.shared[panics].Add(1)
	if n&(n-1) == 0 {
		e.log.Error("panic on a query, answered SERVFAIL", "reason", fault, "query", packet, "panics", n, "stack", string(stack))
	}
}
