package resolver

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// jitter is the part of a wait by which a lookup comes later, at most, so that
	// targets which began together spread.
	jitter = 0.1
	// retryFirst and retryLast bound the wait after a lookup that failed; each
	// failure in a row doubles it.
	retryFirst = time.Second
	retryLast  = time.Minute
)

// host is a name that is being tracked. Its goroutine, run, owns it but for
// what Tracker.mu guards.
type host struct {
	identity
	tracker   *Watcher
	client    client
	ctx       context.Context
	stop      context.CancelFunc
	firstDone chan struct{} // closed when it was looked up once

	left    int          // addresses that found no room, as told
	useless []netip.Addr // as told

	// Guarded by Tracker.mu. What known refers to never changes.
	followers int
	known     addresses
	since     time.Time // of the addresses, or that there are none
	failing   failureStreak
	next      time.Time // when it is looked up again
}

// failureStreak is what lookups in a row failed for.
type failureStreak struct {
	failures int       // 0: none
	since    time.Time // of the first
	reason   string    // of the last
}

func (t *Watcher) newTarget(id identity, servers []netip.AddrPort) *host {
	g := &host{
		identity:  id,
		tracker:   t,
		client:    client{dial: t.dial, servers: servers},
		firstDone: make(chan struct{}),
		since:     time.Now(),
	}
	g.ctx, g.stop = context.WithCancel(t.ctx)
	return g
}

// run looks the target up again and again until it is stopped.
func (g *host) run() {
	first := sync.OnceFunc(func() { close(g.firstDone) })
	defer first()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-g.ctx.Done():
			return
		}
		wait := g.refresh()
		wait += time.Duration(jitter * rand.Float64() * float64(wait))
		g.due(time.Now().Add(wait))
		first()
		timer.Reset(wait)
	}
}

// due notes when the target is looked up again.
func (g *host) due(at time.Time) {
	g.tracker.mu.Lock()
	defer g.tracker.mu.Unlock()
	g.next = at
}

// refresh looks the target up once, as soon as it may, and tells how long to wait
// for the next time.
func (g *host) refresh() time.Duration {
	select {
	case g.tracker.slots <- struct{}{}:
		defer func() { <-g.tracker.slots }()
	case <-g.ctx.Done():
		return 0
	}
	var answers [families]found
	var errs [families]error
	var both sync.WaitGroup
	for f := range families {
		both.Go(func() { answers[f], errs[f] = g.client.lookup(g.ctx, string(g.name), f) })
	}
	both.Wait()
	if g.ctx.Err() != nil {
		return 0
	}
	if errs == [families]error{} && len(answers[ipv4].addrs)+len(answers[ipv6].addrs) == 0 {
		errs[ipv4] = errors.New("it has no address")
		errs[ipv6] = errs[ipv4]
	}
	g.update(answers, errs)
	return g.logOutcome(answers, errs)
}

// update notes the answers of the families that have one; a family that failed
// keeps the addresses it had.
func (g *host) update(answers [families]found, errs [families]error) {
	next, left := g.known, 0 // only this goroutine writes it
	for f := range families {
		if errs[f] == nil {
			var n int
			next[f], n = after(g.known[f], answers[f].addrs)
			left += n
		}
	}
	g.logLimits(answers, left)
	before, now := g.known.list(), next.list()
	changed := !slices.Equal(before, now)

	g.tracker.mu.Lock()
	g.known = next
	if changed {
		g.since = time.Now()
	}
	g.tracker.mu.Unlock()
	if !changed {
		return
	}
	g.tracker.log.Info("target resolved", "target", string(g.name), "addresses", list(now),
		"added", list(without(now, before)), "gone", list(without(before, now)))
	select {
	case g.tracker.changes <- struct{}{}:
	default: // it is due to be delivered already
	}
}

// logLimits warns of what an answer has that is not used, when that changes.
func (g *host) logLimits(answers [families]found, left int) {
	useless := slices.Concat(answers[ipv4].useless, answers[ipv6].useless)
	slices.SortFunc(useless, netip.Addr.Compare)
	if !slices.Equal(useless, g.useless) && len(useless) > 0 {
		g.tracker.log.Warn("target leads to addresses that nobody can connect to; they are left out",
			"target", string(g.name), "addresses", list(useless))
	}
	if left > 0 && g.left == 0 {
		g.tracker.log.Warn("target has too many addresses; the others are left out",
			"target", string(g.name), "most", maxAddresses, "others", left)
	}
	g.useless, g.left = useless, left
}

// logOutcome says, once for each time it begins and ends, that the target
// cannot be resolved, and tells how long to wait:
//
//	A       AAAA    failed before  said      wait
//	answer  answer  no             -         the shorter TTL
//	answer  answer  yes            it ended  the shorter TTL
//	failure -       no             it began  the first retry
//	-       failure no             it began  the first retry
//	a failure       yes            -         twice the one before
//
// A wait after a failure is no longer than the TTL of the family that answered.
func (g *host) logOutcome(answers [families]found, errs [families]error) time.Duration {
	wait := longest
	for f := range families {
		if errs[f] == nil {
			wait = min(wait, answers[f].ttl)
		}
	}
	before := g.recordFailure(errs)
	log := g.tracker.log.With("target", string(g.name))
	if errs == [families]error{} {
		if before.failures > 0 {
			log.Info("target can be resolved again", "failures", before.failures)
		}
		return wait
	}
	if before.failures == 0 {
		g.logFailure(log, errs)
	}
	retry := retryLast
	if shift := before.failures; shift < 6 {
		retry = min(retryLast, retryFirst<<shift)
	}
	return min(wait, retry)
}

// recordFailure makes how a lookup went what the target's trouble is, and returns what it was.
func (g *host) recordFailure(errs [families]error) (before failureStreak) {
	g.tracker.mu.Lock()
	defer g.tracker.mu.Unlock()
	before = g.failing
	switch {
	case errs == [families]error{}:
		g.failing = failureStreak{}
	case before.failures == 0:
		g.failing = failureStreak{1, time.Now(), reason(errs)}
	default:
		g.failing = failureStreak{before.failures + 1, before.since, reason(errs)}
	}
	return before
}

// logFailure says what a lookup that failed leaves.
func (g *host) logFailure(log *slog.Logger, errs [families]error) {
	if !g.known.any() {
		log.Error("target cannot be resolved; it has no address yet, and its members are not answered", "reason", reason(errs))
		return
	}
	log.Error("target cannot be resolved; the addresses known stay", "addresses", list(g.known.list()), "reason", reason(errs))
}

// reason is why a lookup failed, in one line.
func reason(errs [families]error) string {
	var parts []string
	for f, name := range [families]string{"A", "AAAA"} {
		if errs[f] != nil {
			parts = append(parts, name+": "+strings.ReplaceAll(errs[f].Error(), "\n", ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// list is addresses as log lines have them.
func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "none"
	}
	parts := make([]string, len(addrs))
	for i, a := range addrs {
		parts[i] = a.String()
	}
	return strings.Join(parts, " ")
}

// without is those of all that are not among others.
func without(all, others []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return slices.Contains(others, a) })
}
