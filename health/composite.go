package health

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// fullPortion is the weight of an endpoint that gets all its clients, in 256ths.
const fullPortion = 256

// part is a check that is a part of a composite one.
type part struct {
	*preparedCheck
	addr        netip.Addr // the address with the verdict; the zero Addr: the composite's own
	critical    bool
	observeOnly bool // it does not count
}

// compose prepares the parts of c, which is composite; made holds the prepared checks and gets new ones.
func (c *preparedCheck) compose(made preparedChecks) error {
	digests, counted := slices.Clone(c.fingerprint[:]), 0
	for i, p := range c.check.Parts {
		if p.Check == nil {
			return fmt.Errorf("checks.%s.checks[%d]: no check", c.check.Name, i)
		}
		of, err := made.get(p.Check)
		if err != nil {
			return err
		}
		c.parts = append(c.parts, part{of, p.Address.Unmap(), p.Critical, p.ObserveOnly})
		c.height = max(c.height, of.height+1)
		if !p.ObserveOnly {
			counted++
		}
		digests = fmt.Appendf(digests, "%x %v %t %t ", of.fingerprint, p.Address, p.Critical, p.ObserveOnly)
	}
	if counted == 0 || c.check.Type == config.AtLeast && (c.check.N < 1 || c.check.N > counted) {
		return fmt.Errorf("checks.%s: %d checks that count, want at least one, and at least n", c.check.Name, counted)
	}
	c.fingerprint = sha256.Sum256(digests)
	return nil
}

// assumption reports whether a verdict, with its effective state if it is uncertain, is taken for up.
type assumption func(v, held Verdict) bool

func pessimistic(v, _ Verdict) bool               { return v == Up }
func optimistic(v, _ Verdict) bool                { return v != Down }
func pessimisticWithReports(v, held Verdict) bool { return v == Up || v == Uncertain && held == Up }

func optimisticWithReports(v, held Verdict) bool {
	return v == Unknown || pessimisticWithReports(v, held)
}

// recomputeVerdict returns the verdict of a composite from those of its parts that count. If some are unknown or uncertain,
// it is the verdict that results from every possible value in their place, if there is only one (Kleene's three-valued
// logic).
//
//	type      parts that count                                 verdict
//	--------  -----------------------------------------------  -------
//	all       one is down                                      down
//	all       all are up                                       up
//	any       one is up, and every critical one                up
//	any       all are down, or a critical one                  down
//	at_least  n are up, and every critical one                 up
//	at_least  fewer than n are not down, or a critical is down down
//	invert    its one is down                                  up
//	invert    its one is up                                    down
//	any type  none of these rows, but one would apply if each
//	          uncertain part had its effective state           uncertain, effective as in that row
//	any type  none of these rows, not even so                  unknown
func (e *targetState) recomputeVerdict() (v, held Verdict) {
	if up := e.evaluate(pessimistic); up == e.evaluate(optimistic) {
		return verdictOf(up), Unknown
	}
	if up := e.evaluate(pessimisticWithReports); up == e.evaluate(optimisticWithReports) {
		return Uncertain, verdictOf(up)
	}
	return Unknown, Unknown
}

func verdictOf(up bool) Verdict {
	if up {
		return Up
	}
	return Down
}

// evaluate reports whether a composite is up under an assumption about its parts.
func (e *targetState) evaluate(up assumption) bool {
	count, counted := 0, 0
	for i, p := range e.parts {
		how := &e.prepared.parts[i]
		if how.observeOnly {
			continue
		}
		counted++
		if up(p.verdict.effective()) {
			count++
		} else if how.critical {
			return false
		}
	}
	switch e.prepared.check.Type {
	case config.All:
		return count == counted
	case config.Any:
		return count > 0
	case config.AtLeast:
		return count >= e.prepared.check.N
	}
	return count == 0 // invert
}

// slowStartWeight returns the weight of a composite, in 256ths, from the slow start of its parts: that of the last part
// that it needs to be up. So all takes the least weight, any the greatest, at_least the nth greatest, and a critical part
// limits all of them.
func (e *targetState) slowStartWeight() int {
	most := fullPortion
	var shares []int
	for i, p := range e.parts {
		how := &e.prepared.parts[i]
		if how.observeOnly {
			continue
		}
		share := p.weightAsPart()
		shares = append(shares, share)
		if how.critical {
			most = min(most, share)
		}
	}
	slices.Sort(shares)
	switch e.prepared.check.Type {
	case config.All:
		return min(most, shares[0])
	case config.Any:
		return min(most, shares[len(shares)-1])
	case config.AtLeast:
		return min(most, shares[len(shares)-e.prepared.check.N])
	}
	return fullPortion
}

// weightOf converts a portion to a SlowStartWeight.
func weightOf(portion int) uint8 {
	if portion >= fullPortion {
		return FullWeight
	}
	return uint8(portion)
}

// weightAsPart returns the portion of its clients that e gets as a part, in 256ths.
func (e *targetState) weightAsPart() int {
	switch v, held := e.verdict.effective(); {
	case v == Down, held == Down:
		return 0
	case e.verdict.slowStartWeight == FullWeight:
		return fullPortion
	}
	return int(e.verdict.slowStartWeight)
}

// decidingPart returns the index of the part that caused the verdict of a composite: of the counted parts that support it,
// the one with the latest change; if it is down, critical parts come first.
func (e *targetState) decidingPart(v Verdict) int {
	found := -1
	for i, p := range e.parts {
		if e.prepared.parts[i].observeOnly || !e.supports(v, p) {
			continue
		}
		if found < 0 || e.moreDecisive(v, i, found) {
			found = i
		}
	}
	return found
}

// supports reports whether p's verdict supports verdict v of e.
func (e *targetState) supports(v Verdict, p *targetState) bool {
	is, _ := p.verdict.effective()
	if e.prepared.check.Type == config.Invert && (v == Up || v == Down) {
		return is == opposite(v)
	}
	return is == v
}

// moreDecisive reports whether part i explains verdict v of e better than part j.
func (e *targetState) moreDecisive(v Verdict, i, j int) bool {
	if a, b := e.prepared.parts[i].critical, e.prepared.parts[j].critical; v == Down && a != b {
		return a
	}
	return e.parts[i].since().After(e.parts[j].since())
}

// evidence returns the reason that a composite is v, as a result.
func (e *targetState) evidence(v Verdict, now time.Time) probe.Result {
	i := e.decidingPart(v)
	if i < 0 {
		return probe.Result{At: now}
	}
	p := e.parts[i]
	reason := fmt.Sprintf("check %q", e.partName(i))
	if at := e.prepared.parts[i].addr; at.IsValid() {
		reason += " at " + at.String()
	}
	if is, _ := p.verdict.effective(); e.prepared.check.Type == config.Invert || is == Unknown || is == Uncertain {
		reason += " is " + is.String()
	}
	if p.cause.Reason != "" {
		reason += ": " + p.cause.Reason
	}
	switch {
	case v == Down && e.prepared.parts[i].critical && e.prepared.check.Type != config.All:
		reason = "critical " + reason
	case e.prepared.check.Type == config.AtLeast:
		reason = e.upCount() + "; " + reason
	}
	outcome := map[Verdict]probe.Outcome{Up: probe.Passed, Down: probe.Failed}[v] // else inconclusive
	return probe.Result{Outcome: outcome, Reason: probe.Printable(reason), Latency: p.cause.Latency, At: now}
}

// upCount formats the number of parts of an at_least that are up.
func (e *targetState) upCount() string {
	up, counted := 0, 0
	for i, p := range e.parts {
		if e.prepared.parts[i].observeOnly {
			continue
		}
		counted++
		if pessimistic(p.verdict.effective()) {
			up++
		}
	}
	return fmt.Sprintf("%d of %d up, want %d", up, counted, e.prepared.check.N)
}

// slowest returns the smoothed response time of the slowest part that counts and is up.
func (e *targetState) slowest() (most time.Duration) {
	for i, p := range e.parts {
		if v, _ := p.verdict.effective(); v == Up && !e.prepared.parts[i].observeOnly {
			most = max(most, p.response.smoothed)
		}
	}
	return most
}

// markDirty records that a part of e has changed.
func (o *scheduler) markDirty(e *targetState) {
	if e.dirty {
		return
	}
	e.dirty = true
	for len(o.composites) <= e.prepared.height {
		o.composites = append(o.composites, nil)
	}
	o.composites[e.prepared.height] = append(o.composites[e.prepared.height], e)
}

// recompute recomputes the composites with changed parts, in order of height, so that each is computed once and never from
// a mixture of old and new states.
func (o *scheduler) recompute(now time.Time) {
	for height := 0; height < len(o.composites); height++ {
		for _, e := range o.composites[height] {
			e.dirty = false
			o.recomputeAll(e, now)
		}
		o.composites[height] = o.composites[height][:0]
	}
}

func (o *scheduler) recomputeAll(e *targetState, now time.Time) {
	if !e.hasSubscribers() { // it was dropped since
		return
	}
	t := e.verdict
	v, held := e.recomputeVerdict()
	if from, was := t.effective(); from != v || was != held {
		t = verdictState{verdict: cmp.Or(held, v), since: now}
		if v == Uncertain {
			t.staleSince = now
		}
	}
	t.provisional = e.hasProvisionalPart()
	t.slowStartWeight = FullWeight
	if v == Up || held == Up {
		t.slowStartWeight = weightOf(e.slowStartWeight())
	}
	e.response.smoothed = e.slowest()
	o.setState(e, t, e.evidence(v, now), now)
	if !e.settled && v == Unknown && !e.awaitsPart() {
		o.markSettled(e)
	}
}

// awaitsPart reports whether a part that counts has no probe result yet.
func (e *targetState) awaitsPart() bool {
	for i, p := range e.parts {
		if !e.prepared.parts[i].observeOnly && p.awaitingFirst() {
			return true
		}
	}
	return false
}

// hasProvisionalPart reports whether the verdict of a part that counts is provisional.
func (e *targetState) hasProvisionalPart() bool {
	for i, p := range e.parts {
		if !e.prepared.parts[i].observeOnly && p.verdict.provisional {
			return true
		}
	}
	return false
}

// attachParts links e, which is new, with its parts, if it is a composite.
func (o *scheduler) attachParts(e *targetState, now time.Time) {
	for i := range e.prepared.parts {
		p := &e.prepared.parts[i]
		addr := p.addr
		if !addr.IsValid() {
			addr = e.addr
		}
		of := o.entry(identity{p.fingerprint, addr}, p.preparedCheck, now)
		e.parts = append(e.parts, of)
		if n := len(of.parents); n == 0 || of.parents[n-1] != e { // it is linked already if it is a part twice
			of.parents = append(of.parents, e)
		}
	}
	if len(e.parts) > 0 {
		o.markDirty(e)
	}
}

// detachParts unlinks e, which is dropped, from its parts, and drops parts that have no other use.
func (o *scheduler) detachParts(e *targetState) {
	for _, p := range e.parts {
		switch i := slices.Index(p.parents, e); i {
		case -1: // a part twice
		case 0: // the common case: a watch closes in the order in which it began, and a part may have thousands of parents
			p.parents = p.parents[1:]
		default:
			p.parents = slices.Delete(p.parents, i, i+1)
		}
		if !p.hasSubscribers() {
			o.forget(p)
		}
	}
	e.parts = nil
}

// partName returns the current check name of part i of e.
func (e *targetState) partName(i int) string {
	if parts := e.check().Parts; i < len(parts) {
		return parts[i].Check.Name
	}
	return e.prepared.parts[i].check.Name
}

// leafTargets returns the non-composite targets below e: each once, in the order written.
func (e *targetState) leafTargets(seen map[*targetState]bool) (all []*targetState) {
	for _, p := range e.parts {
		if seen[p] {
			continue
		}
		seen[p] = true
		if len(p.parts) == 0 {
			all = append(all, p)
			continue
		}
		all = append(all, p.leafTargets(seen)...)
	}
	return all
}
