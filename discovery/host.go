package discovery

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
	// jitter is the largest relative delay of a lookup. It spreads targets that start together.
	jitter = 0.1
	// retryFirst and retryLast limit the wait after a failed lookup; each consecutive failure doubles it.
	retryFirst = time.Second
	retryLast  = time.Minute
)

// host is a watched name. Its goroutine, run, owns it except the fields that Watcher.mu guards.
type host struct {
	identity
	watcher   *Watcher
	client    client
	ctx       context.Context
	stop      context.CancelFunc
	firstDone chan struct{} // closed after the first lookup

	ignored  int          // number of addresses beyond the limit, as logged
	unusable []netip.Addr // as logged

	// Guarded by Watcher.mu. The slices in known never change.
	followers int
	known     addresses
	since     time.Time // of the addresses, or of having none
	failing   failureStreak
	next      time.Time    // time of the next lookup
	from      string       // the node that gives the addresses; empty: this one
	last      []netip.Addr // found by the last lookup that found any
	found     bool         // a lookup has found any

	subnetIgnored bool // in the last response
}

// failureStreak describes consecutive failed lookups.
type failureStreak struct {
	failures int       // 0: the last lookup succeeded
	since    time.Time // of the first
	reason   string    // of the last
}

func (t *Watcher) newHost(id identity, servers []netip.AddrPort) *host {
	g := &host{
		identity:  id,
		watcher:   t,
		client:    client{dial: t.dial, servers: servers, subnet: id.target.Subnet()},
		firstDone: make(chan struct{}),
		since:     time.Now(),
	}
	g.ctx, g.stop = context.WithCancel(t.ctx)
	return g
}

// run looks the target up repeatedly until it is stopped.
func (g *host) run() {
	first := sync.OnceFunc(func() { close(g.firstDone) })
	defer first()
	for g.ctx.Err() == nil {
		wait := g.refresh()
		wait += time.Duration(jitter * rand.Float64() * float64(wait))
		g.due(time.Now().Add(wait))
		first()
		select {
		case <-time.After(wait):
		case <-g.ctx.Done():
		}
	}
}

// due records the time of the next lookup.
func (g *host) due(at time.Time) {
	g.watcher.mu.Lock()
	defer g.watcher.mu.Unlock()
	g.next = at
}

// isFailing reports whether the last lookup failed.
func (g *host) isFailing() bool {
	g.watcher.mu.Lock()
	defer g.watcher.mu.Unlock()
	return g.failing.failures > 0
}

// refresh looks the target up once, as soon as a slot is free, and returns the wait until the next lookup.
func (g *host) refresh() time.Duration {
	release, ok := g.watcher.limits.Acquire(g.ctx, g.isFailing())
	if !ok {
		return 0
	}
	defer release()
	var answers [families]found
	var errs [families]error
	var both sync.WaitGroup
	for f := range families {
		both.Go(func() { answers[f], errs[f] = g.client.lookup(g.ctx, string(g.target.Name()), f) })
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
	g.noteSubnet(answers, errs)
	wait := g.logOutcome(answers, errs)
	select {
	case g.watcher.lookups <- struct{}{}:
	default:
	}
	return wait
}

// update records the answers of the families that have one; a family that failed keeps its addresses. While another node gives
// the addresses, they stay.
func (g *host) update(answers [families]found, errs [families]error) {
	left, report := g.updateAddresses(answers, errs)
	g.logLimits(answers, left)
	report()
}

// updateAddresses returns the number of addresses beyond the limit, and a function that reports the change.
func (g *host) updateAddresses(answers [families]found, errs [families]error) (left int, report func()) {
	g.watcher.mu.Lock()
	defer g.watcher.mu.Unlock()
	if all := slices.Concat(answers[ipv4].addrs, answers[ipv6].addrs); len(all) > 0 {
		g.last, g.found = all, true
	}
	if g.from != "" {
		return 0, func() {}
	}
	before := g.known.list()
	for f := range families {
		if errs[f] == nil {
			var n int
			g.known[f], n = after(g.known[f], answers[f].addrs)
			left += n
		}
	}
	return left, g.changedLocked(before, g.known.list())
}

// changedLocked announces other addresses, and returns a function that logs them, to be called without the lock.
func (g *host) changedLocked(before, now []netip.Addr) (report func()) {
	if slices.Equal(before, now) {
		return func() {}
	}
	g.since = time.Now()
	attributes := []any{"target", string(g.target), "addresses", list(now), "added", list(without(now, before)), "removed", list(without(before, now))}
	if g.from != "" {
		attributes = append(attributes, "from", g.from)
	}
	return func() {
		g.watcher.log.Info("target resolved", attributes...)
		select {
		case g.watcher.changes <- struct{}{}:
		default: // a change is pending already
		}
	}
}

// noteSubnet records whether a response ignored the client subnet, and logs when that begins.
func (g *host) noteSubnet(answers [families]found, errs [families]error) {
	ignored := false
	for f := range families {
		if errs[f] != nil {
			return // without a response it stays as it is
		}
		ignored = ignored || answers[f].subnetIgnored
	}
	g.watcher.mu.Lock()
	before := g.subnetIgnored
	g.subnetIgnored = ignored
	g.watcher.mu.Unlock()
	switch {
	case ignored && !before:
		g.watcher.log.Warn("the resolver ignores the client subnet of a target; it has the addresses for the resolver's own place", "target", string(g.target))
	case before && !ignored:
		g.watcher.log.Info("the resolver uses the client subnet of a target", "target", string(g.target))
	}
}

// logLimits warns of unused addresses in an answer if they changed.
func (g *host) logLimits(answers [families]found, left int) {
	useless := slices.Concat(answers[ipv4].unusable, answers[ipv6].unusable)
	slices.SortFunc(useless, netip.Addr.Compare)
	if !slices.Equal(useless, g.unusable) && len(useless) > 0 {
		g.watcher.log.Warn("target has unusable addresses; ignoring them",
			"target", string(g.target), "addresses", list(useless))
	}
	if left > 0 && g.ignored == 0 {
		g.watcher.log.Warn("target has too many addresses; ignoring the rest",
			"target", string(g.target), "limit", maxAddresses, "ignored", left)
	}
	g.unusable, g.ignored = useless, left
}

// logOutcome logs once when lookups of the target start to fail and once when they succeed again, and returns the wait:
//
//	A       AAAA    failed before  logged     wait
//	answer  answer  no             -          the shorter TTL
//	answer  answer  yes            recovered  the shorter TTL
//	failure -       no             failed     the first retry
//	-       failure no             failed     the first retry
//	a failure       yes            -          twice the one before
//
// A wait after a failure is at most the TTL of the family that answered.
func (g *host) logOutcome(answers [families]found, errs [families]error) time.Duration {
	wait := maxTTL
	for f := range families {
		if errs[f] == nil {
			wait = min(wait, answers[f].ttl)
		}
	}
	before := g.recordFailure(errs)
	log := g.watcher.log.With("target", string(g.target))
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

// recordFailure updates the failure streak by the result of a lookup, and returns the previous one.
func (g *host) recordFailure(errs [families]error) (before failureStreak) {
	g.watcher.mu.Lock()
	defer g.watcher.mu.Unlock()
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

// logFailure logs the failed lookup and the addresses that remain in use.
func (g *host) logFailure(log *slog.Logger, errs [families]error) {
	g.watcher.mu.Lock()
	known := g.known.list()
	g.watcher.mu.Unlock()
	if len(known) == 0 {
		log.Error("target cannot be resolved; it has no address yet, and its members are not answered", "reason", reason(errs))
		return
	}
	log.Error("target cannot be resolved; keeping its known addresses", "addresses", list(known), "reason", reason(errs))
}

// reason returns the reason why a lookup failed, on one line.
func reason(errs [families]error) string {
	var parts []string
	for f, name := range [families]string{"A", "AAAA"} {
		if errs[f] != nil {
			parts = append(parts, name+": "+strings.ReplaceAll(errs[f].Error(), "\n", ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// list formats addresses for a log line.
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

// without returns the addresses in all that are not in others.
func without(all, others []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return slices.Contains(others, a) })
}
