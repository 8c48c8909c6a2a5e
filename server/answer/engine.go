// Package answer computes the response to one DNS message.
//
// A message takes one path:
//
//	message -> Responder.Answer -> query.parse -+-> fastPath (eligible queries: bytes appended in place)
//	                                            +-> slowPath (all others, with a dns.Msg)
//	response <----------------------------------+
//
// The fast path and the slow path make the same lookups in zones and pools and give the same
// answers; a test compares them on random configurations. query.fastPathEligible selects the
// path.
//
// # Words
//
// - The Engine has the current snapshot, and the Responders that answer from it. - A Responder
// holds all memory that one worker or connection needs to answer, and reuses it. While it answers,
// the current snapshot is pinned. - activeSnapshot holds a snapshot and the values derived from it
// once.
//
// # Invariants
//
// The query path takes no lock, allocates no memory and logs nothing, except after a panic, which
// becomes SERVFAIL. All data that a query reads hangs on the pointer Engine.current, loaded once
// a batch. Engine.Replace returns the old snapshot when no responder reads it any more.
//
// The package knows no socket, no policy and no file format.
package answer

import (
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/server/limit"
	"meridian/snapshot"
	"meridian/transfer"
)

// Engine answers queries from its current snapshot. Each worker has a Responder of it. Its
// methods are safe for concurrent use.
type Engine struct {
	log         *slog.Logger
	draw        func() uint64
	clock       func() time.Time
	current     atomic.Pointer[activeSnapshot]
	cookies     *limit.Cookies // of snapshots without secrets
	rate        limit.Rate     // of the current snapshot
	responders  responderPool
	shared      sharedCounters // counts outside of responders
	connections connectionCounts
	answers     answerLedger
	logRings    logRings

	untrusted lastAddress // source of a PROXY header

	filters    filters
	quarantine quarantine
	reports    errorReports
	numbers    atomic.Uint32 // of responders, so far

	journals *transfer.Journals                 // of zones; nil: no zone has one
	updates  func(*Update) UpdateOutcome        // makes a dynamic update; nil: none is made
	notified atomic.Pointer[func(dnsname.Name)] // OnNotify; nil: not set

	observations observations
	samples      samples
	sampleSeed   maphash.Seed // of the sample of resolvers
}

// NewEngine creates an engine without a snapshot. It keeps at most the given number of idle
// responders. draw is the random draw of each query, safe for concurrent use; nil means a fast
// source for each responder.
func NewEngine(log *slog.Logger, draw func() uint64, idle int) *Engine {
	return &Engine{log: log, draw: draw, clock: time.Now, cookies: limit.NewCookies(), responders: responderPool{idle: make(chan *Responder, idle)}, sampleSeed: maphash.MakeSeed(), quarantine: quarantine{seed: maphash.MakeSeed()}}
}

// UseJournals sets the journals of zones, before the first query.
func (e *Engine) UseJournals(journals *transfer.Journals) { e.journals = journals }

// Begin sets the first snapshot.
func (e *Engine) Begin(snapshot *snapshot.Snapshot) {
	first := e.activate(snapshot)
	e.filters.configure(first.config.Filter)
	e.answers.begin(first.answers)
	e.current.Store(first)
}

// Replace makes with the current one. The returned function waits until no query reads the
// previous one, and returns that.
func (e *Engine) Replace(with *snapshot.Snapshot) (waitUnused func() *snapshot.Snapshot) {
	if next := e.current.Load().withZones(with); next != nil {
		before := e.current.Swap(next)
		return func() *snapshot.Snapshot {
			e.responders.waitUnused(before, next)
			return before.snapshot
		}
	}
	next := e.activate(with)
	e.answers.begin(next.answers)
	before := e.current.Swap(next)
	e.filters.configure(next.config.Filter)
	return func() *snapshot.Snapshot {
		e.responders.waitUnused(before, next)
		e.answers.end(before.answers, next.answers)
		return before.snapshot
	}
}

// activate derives what answers need from a snapshot. Signatures of earlier snapshots stay in the cache, unless its
// size changes.
func (e *Engine) activate(snapshot *snapshot.Snapshot) *activeSnapshot {
	next := newActiveSnapshot(snapshot)
	if next.cookies = snapshot.Cookies; next.cookies == nil {
		next.cookies = e.cookies
	}
	next.rates = e.ratesFor(&snapshot.Config.Server)
	next.sample = newResolverSample(&snapshot.Config.ResolverStats, e.sampleSeed)
	next.records = next.log != nil || next.sample != nil
	if before := e.current.Load(); before != nil {
		next.useCanary(before.canary)
	}
	signing := snapshot.Signing
	if signing == nil {
		return next
	}
	if before := e.current.Load(); before != nil && before.signer != nil && before.snapshot.Signing.Settings == signing.Settings {
		next.signer = before.signer
	} else {
		next.signer = dnssec.NewSigner(signing.CacheSize, signing.Signers)
	}
	return next
}

// Snapshot returns the current snapshot.
func (e *Engine) Snapshot() *snapshot.Snapshot { return e.current.Load().snapshot }

// Signer returns the signer of the current snapshot; nil: no zone is signed.
func (e *Engine) Signer() *dnssec.Signer { return e.current.Load().signer }

// Settings returns the server settings of the current snapshot.
func (e *Engine) Settings() *config.Server { return e.current.Load().config }

// Cookies returns the cookies of snapshots without secrets.
func (e *Engine) Cookies() *limit.Cookies { return e.cookies }

// Responder creates a responder for the current snapshot.
func (e *Engine) Responder() *Responder { return e.responders.add(e) }

// Responders returns the number of responders.
func (e *Engine) Responders() int { return e.responders.size() }

// Remove removes a responder that its worker no longer uses.
func (e *Engine) Remove(r *Responder) { e.responders.remove(r) }

// Borrow returns an idle responder or creates one; Return makes it idle again.
func (e *Engine) Borrow() *Responder { return e.responders.get(e) }

// Return makes r idle, or removes it if there is no room.
func (e *Engine) Return(r *Responder) { e.responders.put(r) }

// Count counts n events outside of responders.
func (e *Engine) Count(c Event, n uint64) { e.shared.add(c, n) }

// Counters returns the counts of queries and events.
func (e *Engine) Counters() Counters {
	var sums rawCounts
	e.responders.count(&sums)
	n := sums.counters(&e.shared)
	for t := range n.Connections {
		n.Connections[t] = e.connections.of(Transport(t))
	}
	return n
}

// AnswerTotals returns the counts of answers by name.
func (e *Engine) AnswerTotals() AnswerTotals { return e.answers.totals() }

// PoolAnswers returns the number of answers by pool, as AnswerTotals has them over all modes.
func (e *Engine) PoolAnswers() map[string]uint64 { return e.answers.poolAnswers() }

// Durations returns how long sampled queries took, by transport.
func (e *Engine) Durations() [TransportCount]Durations { return e.responders.durations() }

// panicked logs a query that caused a panic: the 1st, 2nd, 4th, 8th and so on.
func (e *Engine) panicked(fault any, packet, stack []byte) {
	n := e.shared[panics].Add(1)
	if n&(n-1) == 0 {
		e.log.Error("panic on a query, answered SERVFAIL; the same packet is dropped for ten minutes", "reason", fault, "query", packet, "panics", n, "stack", string(stack))
	}
}
