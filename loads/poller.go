package loads

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"meridian/config"
	"meridian/polling"
)

// jitter is the largest part of an interval by which a poll is early or late.
const jitter = 0.1

const (
	maxPrompt = 128 // polls of prompt targets that hold a slot
	maxSlow   = 256 // polls of slow targets
	// promptTime is how long a poll of a prompt target holds its slot; a usual poll takes less.
	promptTime = 100 * time.Millisecond
)

// newLimits returns the limits of concurrent polls. A target is prompt if it has a fresh report, or is new; it is slow if
// it was polled and has no fresh report. So a target that starts to stall is prompt until its last report is stale.
func newLimits() *polling.Limits { return polling.NewLimits(maxPrompt, maxSlow, promptTime) }

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Options holds the dependencies of a Poller.
type Options struct {
	Dial   Dial         // nil: a net.Dialer's
	Logger *slog.Logger // nil: slog.Default()
}

// Poller keeps the reports of targets current. Its methods are safe for
// concurrent use.
type Poller struct {
	dial    Dial
	log     *slog.Logger
	limits  *polling.Limits
	changes chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup // a goroutine for each target

	mu      sync.Mutex // guards targets and the fields of them marked so
	targets map[identity]*pollTarget
}

// identity identifies a target: equal sources except name and position, equal files, and an equal address.
type identity struct {
	source string
	addr   netip.Addr
}

// prepared is the source of a target with its identity and the authorities of its file.
type prepared struct {
	identity string
	trusted  *x509.CertPool // nil: the system's
}

// prepare reads the files that the sources of targets name, each once. It holds no lock, because a file on a stalled
// disk must not block Status.
func prepare(targets []Target) (map[*config.LoadSource]prepared, error) {
	all := map[*config.LoadSource]prepared{}
	for _, t := range targets {
		if _, done := all[t.Source]; done {
			continue
		}
		trusted, file, err := roots(t.Source.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("loads.%s.tls.ca: %w", t.Source.Name, err)
		}
		of := *t.Source
		of.Name, of.Pos, of.TLS.CAPos = "", config.Pos{}, config.Pos{}
		all[t.Source] = prepared{fmt.Sprintf("%+v %s", of, file), trusted}
	}
	return all, nil
}

// identityOf returns the identity of a target of a prepared source.
func (s *prepared) identityOf(t Target) identity {
	if t.Source.URL != "" {
		return identity{source: s.identity}
	}
	return identity{s.identity, t.Addr}
}

// New returns a Poller. Close stops it.
func New(o Options) *Poller {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Poller{
		dial:    o.Dial,
		log:     o.Logger,
		limits:  newLimits(),
		changes: make(chan struct{}, 1),
		targets: make(map[identity]*pollTarget),
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Close stops all polls and waits for them.
func (p *Poller) Close() {
	p.stop()
	p.running.Wait()
}

// Changes delivers after a new report, or after a report became stale.
func (p *Poller) Changes() <-chan struct{} { return p.changes }

// Watch is a subscription to some targets.
type Watch struct {
	poller  *Poller
	targets []*pollTarget
}

// Follow polls targets. The status of targets that are already polled is available at once; the others are polled at
// once. An error concerns a file that a source names; then nothing is followed.
func (p *Poller) Follow(targets []Target) (*Watch, error) {
	sources, err := prepare(targets)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &Watch{poller: p, targets: make([]*pollTarget, len(targets))}
	for i, t := range targets {
		source := sources[t.Source]
		id := source.identityOf(t)
		g := p.targets[id]
		if g == nil {
			g = p.newPolled(id, t, newFetcher(t, source.trusted, p.dial))
			p.targets[id] = g
			p.running.Go(g.run)
		}
		g.followers++
		f.targets[i] = g
	}
	return f, nil
}

// Close ends the subscription. Close is idempotent.
func (f *Watch) Close() {
	f.poller.mu.Lock()
	defer f.poller.mu.Unlock()
	f.closeLocked()
}

func (f *Watch) closeLocked() {
	for _, g := range f.targets {
		if g.followers--; g.followers == 0 {
			g.stop()
			delete(f.poller.targets, g.identity)
		}
	}
	f.targets = nil
}

// FirstRound waits until every target was polled once, or ctx ends.
func (f *Watch) FirstRound(ctx context.Context) {
	for _, g := range f.targets {
		select {
		case <-g.firstDone:
		case <-ctx.Done():
		}
	}
}

// Status returns the status of each target, in the order given to Follow. A report is fresh by its age at this moment,
// even if the poller is busy.
func (f *Watch) Status() []Status {
	f.poller.mu.Lock()
	defer f.poller.mu.Unlock()
	now := time.Now()
	all := make([]Status, len(f.targets))
	for i, g := range f.targets {
		all[i] = g.status
		all[i].Fresh = g.freshAt(now)
	}
	return all
}

// pollTarget is a polled target. Its own goroutine runs it.
type pollTarget struct {
	identity
	poller    *Poller
	source    string // its name, for the log
	fetch     *fetcher
	every     time.Duration
	within    time.Duration
	stale     time.Duration
	ctx       context.Context
	stop      context.CancelFunc
	firstDone chan struct{} // closed after the first poll

	followers int         // guarded by Poller.mu
	status    Status      // the same, without Fresh; only run writes it
	expiry    *time.Timer // the same; calls expired when the report becomes stale; nil: no report yet
}

func (p *Poller) newPolled(id identity, t Target, fetch *fetcher) *pollTarget {
	g := &pollTarget{
		identity: id, poller: p, source: t.Source.Name, fetch: fetch,
		every: t.Source.Interval, within: t.Source.Timeout, stale: t.Source.Stale,
		firstDone: make(chan struct{}),
	}
	g.ctx, g.stop = context.WithCancel(p.ctx)
	return g
}

// freshAt reports whether there is a report that is not stale. The caller holds Poller.mu.
func (g *pollTarget) freshAt(now time.Time) bool {
	return !g.status.At.IsZero() && now.Sub(g.status.At) < g.stale
}

// run polls until no Watch includes the target.
func (g *pollTarget) run() {
	defer g.end()
	g.poll()
	close(g.firstDone)
	// The first wait is random, so that targets that started together spread.
	next := time.NewTimer(time.Duration(rand.Float64() * float64(g.every)))
	defer next.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-next.C:
			g.poll()
			part := 1 - jitter + 2*jitter*rand.Float64()
			next.Reset(time.Duration(part * float64(g.every)))
		}
	}
}

func (g *pollTarget) end() {
	g.stop()
	g.poller.mu.Lock()
	defer g.poller.mu.Unlock()
	if g.expiry != nil {
		g.expiry.Stop()
	}
}

// poll polls once, as soon as the limits allow it.
func (g *pollTarget) poll() {
	release, ok := g.poller.limits.Acquire(g.ctx, g.isSlow())
	if !ok {
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(g.ctx, g.within)
	defer cancel()
	report, err := g.fetch.fetch(ctx)
	if g.ctx.Err() == nil {
		g.recordFailure(report, err)
	}
}

// isSlow reports whether the target was polled and has no fresh report.
func (g *pollTarget) isSlow() bool {
	g.poller.mu.Lock()
	defer g.poller.mu.Unlock()
	return g.status.Polls > 0 && !g.freshAt(time.Now())
}

// recordFailure stores the result of a poll. It logs the first of consecutive failures, and the report that ends them.
func (g *pollTarget) recordFailure(report Report, err error) {
	before := g.update(report, err)
	switch {
	case err != nil && before.Reason == "":
		g.poller.log.Warn("load report failed; using the previous one until it is stale", g.attributes("reason", err.Error())...)
	case err == nil && before.Reason != "":
		g.poller.log.Info("load report recovered", g.attributes("load", report.Load, "failures", before.Failures)...)
	}
	if err == nil {
		g.poller.changed()
	}
}

// update updates the status, and returns the previous one.
func (g *pollTarget) update(report Report, err error) (before Status) {
	g.poller.mu.Lock()
	defer g.poller.mu.Unlock()
	before = g.status
	s := &g.status
	s.Polls++
	if s.Reason = ""; err != nil {
		s.Failures++
		s.Reason = err.Error()
		return before
	}
	s.Report, s.At = report, time.Now()
	if g.expiry == nil {
		g.expiry = time.AfterFunc(g.stale, g.expired)
	} else {
		g.expiry.Reset(g.stale)
	}
	return before
}

// expired reports that the target has no fresh report any more. It runs on its own goroutine, so a stalled poll does
// not delay it.
func (g *pollTarget) expired() {
	g.poller.mu.Lock()
	status, fresh := g.status, g.freshAt(time.Now()) // fresh: a report has just arrived
	g.poller.mu.Unlock()
	if fresh || g.ctx.Err() != nil {
		return
	}
	g.poller.log.Error("load report is stale; ignoring it",
		g.attributes("since", status.At.Format(time.RFC3339), "reason", status.Reason)...)
	g.poller.changed()
}

func (g *pollTarget) attributes(more ...any) []any {
	a := []any{"source", g.source}
	if g.addr.IsValid() {
		a = append(a, "address", g.addr.String())
	}
	return append(a, more...)
}

func (p *Poller) changed() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}
