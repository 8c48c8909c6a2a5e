package load

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"meridian/config"
)

const (
	maxPolls = 64  // at once
	jitter   = 0.1 // the part of an interval by which a poll comes early or late, at most
)

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Options are what a Poller takes from outside.
type Options struct {
	Dial   Dial         // nil: a net.Dialer's
	Logger *slog.Logger // nil: slog.Default()
}

// Poller keeps the reports of targets current. Its methods are safe for
// concurrent use.
type Poller struct {
	dial    Dial
	log     *slog.Logger
	slots   chan struct{} // one taken for each poll under way
	changes chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup // a goroutine for each target

	mu      sync.Mutex // guards targets, and what of them says so
	targets map[identity]*polled
}

// identity is what makes two targets one: an equal source but for its name and
// place, equal files, and an equal address.
type identity struct {
	source string
	addr   netip.Addr
}

func identityOf(t Target) identity {
	of := *t.Source
	of.Name, of.Pos, of.TLS.CAPos = "", config.Pos{}, config.Pos{}
	var files []byte
	if of.TLS.CA != "" {
		files, _ = readPEM(of.TLS.CA) // newFetcher says what is wrong with it
	}
	id := identity{source: fmt.Sprintf("%+v %s", of, files)}
	if of.URL == "" {
		id.addr = t.Addr
	}
	return id
}

// New makes a Poller. Close ends it.
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
		slots:   make(chan struct{}, maxPolls),
		changes: make(chan struct{}, 1),
		targets: make(map[identity]*polled),
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Close ends all polls and waits for them.
func (p *Poller) Close() {
	p.stop()
	p.running.Wait()
}

// Changes delivers when there has been a report since it last delivered, or one
// has become stale.
func (p *Poller) Changes() <-chan struct{} { return p.changes }

// Following is an interest in some targets.
type Following struct {
	poller  *Poller
	targets []*polled
}

// Follow polls targets. What is known of those that are polled already is known
// at once; the others are asked at once. An error is of a file that a source
// names; then nothing is followed.
func (p *Poller) Follow(targets []Target) (*Following, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &Following{poller: p}
	for _, t := range targets {
		id := identityOf(t)
		g := p.targets[id]
		if g == nil {
			fetch, err := newFetcher(t, p.dial)
			if err != nil {
				f.closeLocked()
				return nil, fmt.Errorf("loads.%s.tls.ca: %w", t.Source.Name, err)
			}
			g = p.newPolled(id, t, fetch)
			p.targets[id] = g
			p.running.Go(g.run)
		}
		g.followers++
		f.targets = append(f.targets, g)
	}
	return f, nil
}

// Close ends the interest. Closing twice is closing once.
func (f *Following) Close() {
	f.poller.mu.Lock()
	defer f.poller.mu.Unlock()
	f.closeLocked()
}

func (f *Following) closeLocked() {
	for _, g := range f.targets {
		if g.followers--; g.followers == 0 {
			g.stop()
			delete(f.poller.targets, g.identity)
		}
	}
	f.targets = nil
}

// FirstRound waits until every target was polled once, or ctx ends.
func (f *Following) FirstRound(ctx context.Context) {
	for _, g := range f.targets {
		select {
		case <-g.asked:
		case <-ctx.Done():
		}
	}
}

// Status tells what is known of each target, in the order given to Follow.
func (f *Following) Status() []Status {
	f.poller.mu.Lock()
	defer f.poller.mu.Unlock()
	all := make([]Status, len(f.targets))
	for i, g := range f.targets {
		all[i] = g.status
	}
	return all
}

// polled is a target that is polled. Its own goroutine runs it.
type polled struct {
	identity
	poller *Poller
	source string // its name, for the log
	fetch  *fetcher
	every  time.Duration
	within time.Duration
	stale  time.Duration
	ctx    context.Context
	stop   context.CancelFunc
	asked  chan struct{} // closed after the first poll

	followers int    // guarded by Poller.mu
	status    Status // likewise; run alone writes it
}

func (p *Poller) newPolled(id identity, t Target, fetch *fetcher) *polled {
	g := &polled{
		identity: id, poller: p, source: t.Source.Name, fetch: fetch,
		every: t.Source.Interval, within: t.Source.Timeout, stale: t.Source.Stale,
		asked: make(chan struct{}),
	}
	g.ctx, g.stop = context.WithCancel(p.ctx)
	return g
}

// run polls until nobody follows.
func (g *polled) run() {
	defer g.stop()
	g.poll()
	close(g.asked)
	// The first wait is of any length, so that targets which began together spread.
	next := time.NewTimer(time.Duration(rand.Float64() * float64(g.every)))
	defer next.Stop()
	old := time.NewTimer(g.stale)
	defer old.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-old.C:
			g.age()
		case <-next.C:
			if g.poll() {
				old.Reset(g.stale)
			}
			part := 1 - jitter + 2*jitter*rand.Float64()
			next.Reset(time.Duration(part * float64(g.every)))
		}
	}
}

// poll asks once, and reports whether there was a report.
func (g *polled) poll() bool {
	select {
	case g.poller.slots <- struct{}{}:
	case <-g.ctx.Done():
		return false
	}
	defer func() { <-g.poller.slots }()
	ctx, cancel := context.WithTimeout(g.ctx, g.within)
	defer cancel()
	report, err := g.fetch.fetch(ctx)
	if g.ctx.Err() != nil {
		return false
	}
	g.note(report, err)
	return err == nil
}

// note keeps what a poll brought. A line of the log tells the first failure of a
// row, and the report that ends it.
func (g *polled) note(report Report, err error) {
	g.poller.mu.Lock()
	before := g.status
	s := &g.status
	s.Polls++
	if s.Reason = ""; err != nil {
		s.Failures++
		s.Reason = err.Error()
	} else {
		s.Report, s.At, s.Fresh = report, time.Now(), true
	}
	g.poller.mu.Unlock()
	switch {
	case err != nil && before.Reason == "":
		g.poller.log.Warn("load report failed; the one before holds until it is stale", g.attributes("reason", err.Error())...)
	case err == nil && before.Reason != "":
		g.poller.log.Info("load is reported again", g.attributes("load", report.Load, "failures", before.Failures)...)
	}
	if err == nil {
		g.poller.changed()
	}
}

// age makes the report stale, if there is a report that is not.
func (g *polled) age() {
	g.poller.mu.Lock()
	was := g.status
	g.status.Fresh = false
	g.poller.mu.Unlock()
	if !was.Fresh {
		return
	}
	g.poller.log.Error("load report is stale, and ignored from now on",
		g.attributes("since", was.At.Format(time.RFC3339), "reason", was.Reason)...)
	g.poller.changed()
}

func (g *polled) attributes(more ...any) []any {
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
