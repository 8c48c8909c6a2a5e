package telemetry

import (
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/server/answer"
	"meridian/telemetry/dnstap"
)

// drainInterval is the interval at which the queries that workers have logged are written.
const drainInterval = 20 * time.Millisecond

// QueryLog writes the queries that a server logs to the destinations of its configuration. It is safe for concurrent use.
type QueryLog struct {
	log     *slog.Logger
	version string
	lost    atomic.Uint64 // by destinations that are no longer used

	mu      sync.Mutex // guards all below
	current *queryWriter
}

// Lost returns how many queries destinations have lost.
func (q *QueryLog) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.current == nil {
		return q.lost.Load()
	}
	return q.lost.Load() + q.current.lost()
}

// Use logs the queries of the server of control as a configuration says. A destination that has not changed is kept; its
// file is opened again if it was renamed, so that a reload after log rotation returns when the old file is complete.
func (q *QueryLog) Use(control *control.Control, cfg *config.Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wanted := destinations{cfg.QueryLog.Dnstap, cfg.QueryLog.File, cfg.Server.NSID}
	if q.current != nil && q.current.control == control && reflect.DeepEqual(q.current.to, wanted) {
		q.current.reopen()
		return
	}
	q.closeLocked()
	if cfg.QueryLog.Enabled() {
		q.current = newQueryWriter(control, wanted, q.version, q.log)
	}
}

// Close writes what is logged and closes the destinations.
func (q *QueryLog) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeLocked()
}

func (q *QueryLog) closeLocked() {
	if q.current == nil {
		return
	}
	q.current.close()
	q.lost.Add(q.current.lost())
	q.current = nil
}

// destinations are where queries are logged, and by which name.
type destinations struct {
	dnstap   config.Destination
	file     string
	identity string
}

// queryWriter writes logged queries. One goroutine runs it.
type queryWriter struct {
	control *control.Control
	to      destinations
	version string
	dnstap  *dnstap.Sink // nil: none
	lines   *lineFile    // nil: none

	message dnstap.Message
	extra   []byte
	stop    chan struct{}      // closed when the writer is to end
	reopens chan chan struct{} // requests to follow a renamed file; each is closed when that is done
	done    chan struct{}
}

func newQueryWriter(control *control.Control, to destinations, version string, log *slog.Logger) *queryWriter {
	w := &queryWriter{control: control, to: to, version: version, stop: make(chan struct{}), reopens: make(chan chan struct{}), done: make(chan struct{})}
	if to.dnstap != (config.Destination{}) {
		w.dnstap = dnstap.NewSink(dnstap.Destination(to.dnstap), log)
	}
	if to.file != "" {
		w.lines = newLineFile(to.file, log)
	}
	go w.run()
	return w
}

// run writes logged queries until stop is closed, then those that are left.
func (w *queryWriter) run() {
	defer close(w.done)
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for stopped := false; !stopped; {
		select {
		case <-tick.C:
		case finished := <-w.reopens:
			w.drain()
			w.follow()
			close(finished)
			continue
		case <-w.stop:
			stopped = true
		}
		w.drain()
	}
	if w.dnstap != nil {
		w.dnstap.Close()
	}
	if w.lines != nil {
		w.lines.close()
	}
}

// drain writes all logged queries. The end of the writer does not interrupt it: queries that it has taken are in no ring any more, and
// connecting has a time limit of its own.
func (w *queryWriter) drain() {
	w.control.DrainQueryLog(func(q *answer.LoggedQuery) {
		if w.dnstap != nil {
			w.writeDnstap(q)
		}
		if w.lines != nil {
			w.lines.write(q)
		}
	})
	if w.dnstap != nil {
		w.dnstap.Flush()
	}
	if w.lines != nil {
		w.lines.flush()
	}
}

// follow opens a renamed file again, and tries a failed destination at once.
func (w *queryWriter) follow() {
	if w.dnstap != nil {
		w.dnstap.Reopen()
	}
	if w.lines != nil {
		w.lines.reopen()
	}
}

// reopen waits until the writer has followed a rename.
func (w *queryWriter) reopen() {
	finished := make(chan struct{})
	w.reopens <- finished // the writer ends after this only: Use and Close run one at a time
	<-finished
}

func (w *queryWriter) close() {
	close(w.stop)
	<-w.done
}

func (w *queryWriter) lost() (n uint64) {
	if w.dnstap != nil {
		n += w.dnstap.Lost()
	}
	if w.lines != nil {
		n += w.lines.lost.Load()
	}
	return n
}

// protocols holds the protocol of each transport as dnstap numbers it.
var protocols = map[answer.Transport]dnstap.Protocol{
	answer.UDP: dnstap.UDP, answer.TCP: dnstap.TCP,
	answer.DoT: dnstap.DoT, answer.DoH: dnstap.DoH, answer.DoH3: dnstap.DoH, answer.DoQ: dnstap.DoQ,
}

func (w *queryWriter) writeDnstap(q *answer.LoggedQuery) {
	w.extra = appendExtra(w.extra[:0], q)
	w.message = dnstap.Message{
		Identity: w.to.identity, Version: w.version, Extra: w.extra, Protocol: protocols[q.Transport],
		Client: q.Client, QueryTime: q.Time, ResponseTime: q.Time, Query: q.Query, Response: q.Response,
	}
	if q.Zone != "" {
		w.message.Zone = q.Zone.Wire()
	}
	w.dnstap.Write(&w.message)
}
