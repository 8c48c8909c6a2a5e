// Package notify sends events to webhooks and to Alertmanager.
//
// Each sink has one goroutine, which reads the event log after the last event that the sink has
// accepted: the log is the queue. An event is sent until it is accepted, so a sink may get it
// twice. Events that leave the log while a sink fails are lost, and counted.
package notify

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"meridian/control/event"
)

// Sink is a destination of events.
type Sink struct {
	URL          string // of a webhook, or of an Alertmanager without its path
	Alertmanager bool
	Kinds        []string               // of events; empty: all
	Headers      []Header               // added to each request
	Secret       func() ([]byte, error) // signs the body; nil: no signature
}

// Header is a header of requests. Its value may be in a file, which is read for each request.
type Header struct {
	Name  string
	Value func() (string, error)
}

// Status is the status of a sink.
type Status struct {
	Sink      string    `json:"sink"`                   // its URL
	Delivered uint64    `json:"delivered"`              // events, or to Alertmanager requests
	Failed    uint64    `json:"failed"`                 // attempts
	Rejected  uint64    `json:"rejected"`               // events that the sink refused for good
	Lost      uint64    `json:"lost"`                   // events that left the log before they were sent, of all kinds
	Failing   time.Time `json:"failing_since,omitzero"` // zero: the last attempt succeeded
	Error     string    `json:"error,omitempty"`        // of the last attempt
}

// Options are the settings of a Notifier. Zero values are the defaults.
type Options struct {
	Events    *event.Log
	Logger    *slog.Logger
	Transport http.RoundTripper
	Timeout   time.Duration     // of one request; default 10s
	Cursors   map[string]uint64 // by URL: the last accepted event, from a previous process
	Instance  string            // the name of this server in alerts; default the host name
}

const (
	defaultTimeout = 10 * time.Second
	firstPause     = time.Second // after a failure; it doubles up to maxPause
	maxPause       = time.Minute
)

// Notifier sends events to sinks. It is safe for concurrent use.
type Notifier struct {
	events  *event.Log
	log     *slog.Logger
	client  *http.Client
	started uint64 // the last event at start

	instance string // the label of alerts

	mu      sync.Mutex // guards all below
	running map[string]*runner
	cursors map[string]uint64
}

// New returns a Notifier without sinks.
func New(o Options) *Notifier {
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxReply}
	}
	n := &Notifier{
		events: o.Events, log: o.Logger, started: o.Events.Last(), instance: o.Instance, running: map[string]*runner{}, cursors: map[string]uint64{},
		client: &http.Client{
			Transport: transport, Timeout: cmp.Or(o.Timeout, defaultTimeout),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if n.instance == "" {
		n.instance, _ = os.Hostname() // without a name, alerts have no such label
	}
	for url, id := range o.Cursors {
		n.cursors[url] = id
	}
	return n
}

// Use replaces the sinks. A nil Notifier has none. A sink with the same URL continues after its last accepted event; a new
// one begins with the next event. Use waits until the removed sinks have ended.
func (n *Notifier) Use(sinks []Sink) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for url, r := range n.running {
		r.stop()
		n.cursors[url] = r.position()
	}
	old := n.running
	n.running = map[string]*runner{}
	for _, s := range sinks {
		r := newRunner(n, s, n.cursorLocked(s.URL))
		if before := old[s.URL]; before != nil {
			r.inherit(before)
		}
		n.running[s.URL] = r
		r.start()
	}
}

func (n *Notifier) cursorLocked(url string) uint64 {
	if id, known := n.cursors[url]; known && id <= n.events.Last() {
		return id
	}
	return n.started
}

// Close ends all sinks and waits for them.
func (n *Notifier) Close() { n.Use(nil) }

// Cursors returns the last accepted event of each sink, for Options of the next process.
func (n *Notifier) Cursors() map[string]uint64 {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]uint64, len(n.running))
	for url, r := range n.running {
		all[url] = r.position()
	}
	return all
}

// Status returns the status of each sink, by URL.
func (n *Notifier) Status() []Status {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]Status, 0, len(n.running))
	for _, r := range n.running {
		all = append(all, r.snapshot())
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Sink, b.Sink) })
	return all
}

// runner sends events to one sink.
type runner struct {
	*Notifier
	sink   Sink
	filter event.Filter
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards all below
	cursor uint64     // the last event that the sink has, or lost
	taken  uint64     // the last event that was read from the log
	status Status
}

func newRunner(n *Notifier, s Sink, cursor uint64) *runner {
	return &runner{Notifier: n, sink: s, filter: event.Filter{Kinds: s.Kinds}, done: make(chan struct{}), cursor: cursor, status: Status{Sink: s.URL}}
}

// inherit takes over the counts of a runner that has ended.
func (r *runner) inherit(before *runner) {
	s := before.snapshot()
	r.status.Delivered, r.status.Failed, r.status.Rejected, r.status.Lost = s.Delivered, s.Failed, s.Rejected, s.Lost
}

func (r *runner) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		if r.sink.Alertmanager {
			r.sendAlerts(ctx)
			return
		}
		r.sendEvents(ctx)
	}()
}

func (r *runner) stop() {
	r.cancel()
	<-r.done
}

func (r *runner) position() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor
}

func (r *runner) snapshot() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Lost += r.missingLocked(r.events.Oldest())
	return s
}

// advance records that the sink has all events up to id.
func (r *runner) advance(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cursor = id
}

// take records that a page was read from the log, and counts the events before it that the log did not hold any more.
func (r *runner) take(p event.Page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Lost += r.missingLocked(p.Oldest)
	r.taken = p.Next
}

// missingLocked returns how many events before the oldest one have not been read from the log. Those of kinds that the sink
// does not get count too: they are gone.
func (r *runner) missingLocked(oldest uint64) uint64 {
	next := max(r.cursor, r.taken) + 1
	return max(oldest, next) - next
}

// retry calls send until it succeeds or ctx ends, with a growing pause. It reports whether it
// succeeded.
func (r *runner) retry(ctx context.Context, send func() error) bool {
	pause := firstPause
	for ctx.Err() == nil {
		err := send()
		if ctx.Err() != nil {
			return err == nil
		}
		r.record(err)
		if err == nil {
			return true
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
	return false
}

// record counts an attempt. It logs the first failure, and the recovery.
func (r *runner) record(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.status
	if err == nil {
		if !s.Failing.IsZero() {
			r.log.Info("notifications are delivered again", "sink", s.Sink, "failed_for", time.Since(s.Failing).Round(time.Second), "lost", s.Lost)
		}
		s.Delivered++
		s.Failing, s.Error = time.Time{}, ""
		return
	}
	s.Failed++
	s.Error = err.Error()
	if s.Failing.IsZero() {
		s.Failing = time.Now()
		r.log.Warn("notification cannot be delivered, retrying", "sink", s.Sink, "error", err)
	}
}

// errRejected is the error of a sink that will not accept an event when it is sent again.
type errRejected struct{ status string }

func (e *errRejected) Error() string { return fmt.Sprintf("the sink answered %s", e.status) }
