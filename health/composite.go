package health

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
)

// parentRef is the share of an endpoint that gets all its clients, in 256ths.
const parentRef = 256

// part is a check that a composite one is made of.
type part struct {
	*preparedCheck
	addr        netip.Addr // whose verdict counts; the zero Addr: the composite's own
	critical    bool
	observeOnly bool // and no more
}

// compose gives c, which is composite, its parts; made has or gets their checkers.
func (c *preparedCheck) compose(made preparedChecks) error {
	digests, counted := slices.Clone(c.fingerprint[:]), 0
	for i, p := range c.check.Parts {
		if p.Check == nil {
			return fmt.Errorf("checks.%s.checks[%d]: no check", c.check.Name, i)
		}
		of, err := made.of(p.Check)
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
		return fmt.Errorf("checks.%s: %d checks that count; at least one, and n", c.check.Name, counted)
	}
	c.fingerprint = sha256.Sum256(digests)
	return nil
}

// assumption is whether a verdict, and what answers go by where it is uncertain,
// is taken for up.
type assumption func(v, held Verdict) bool

func pessimistic(v, _ Verdict) bool               { return v == Up }
func optimistic(v, _ Verdict) bool                { return v != Down }
func pessimisticWithReports(v, held Verdict) bool { return v == Up || v == Uncertain && held == Up }

func optimisticWithReports(v, held Verdict) bool {
	return v == Unknown || pessimisticWithReports(v, held)
}

// recomputeVerdict is the verdict of a composite, from those of its parts that count.
// Where some are unknown or uncertain it is what it would be with any verdicts
// in their place, if that is one and the same (Kleene's three-valued logic).
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
//	any type  none of these rows, but one would hold if each
//	          uncertain part were what answers go by           uncertain, held as that row says
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

// evaluate is whether a composite is up where its parts are read so.
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

// slowStartWeight is the share of a composite, in 256ths, as its parts start slowly:
// that of the last part that it needs to be up. So all takes the least of
// their shares, any the greatest, at_least the nth, and none has more than a
// critical part.
func (e *targetState) slowStartWeight() int {
	most := parentRef
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
	return parentRef
}

// weightOf is a portion as a share.
func weightOf(portion int) uint8 {
	if portion >= parentRef {
		return FullWeight
	}
	return uint8(portion)
}

// weightAsPart is what e as a part gets of its clients, in 256ths.
func (e *targetState) weightAsPart() int {
	switch v, held := e.verdict.effective(); {
	case v == Down, held == Down:
		return 0
	case e.verdict.slowStartWeight == FullWeight:
		return parentRef
	}
	return int(e.verdict.slowStartWeight)
}

// decidingPart is the index of the part that made a composite what it is: of the
// counted parts that speak for its verdict, the one that turned last; where
// it is down and a critical part is, such a one.
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

// supports reports whether p is as it has to be for e to be v.
func (e *targetState) supports(v Verdict, p *targetState) bool {
	is, _ := p.verdict.effective()
	if e.prepared.check.Type == config.Invert && (v == Up || v == Down) {
		return is == opposite(v)
	}
	return is == v
}

// moreDecisive reports whether part i has more to do than part j with e's being v.
func (e *targetState) moreDecisive(v Verdict, i, j int) bool {
	if a, b := e.prepared.parts[i].critical, e.prepared.parts[j].critical; v == Down && a != b {
		return a
	}
	return e.parts[i].since().After(e.parts[j].since())
}

// evidence is why a composite is v, and as that of which result.
func (e *targetState) evidence(v Verdict, now time.Time) Result {
	i := e.decidingPart(v)
	if i < 0 {
		return Result{At: now}
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
	outcome := map[Verdict]Outcome{Up: Passed, Down: Failed}[v] // else inconclusive
	return Result{Outcome: outcome, Reason: printable(reason), Latency: p.cause.Latency, At: now}
}

// upCount is how many parts of an at_least are up.
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

// slowest is how long passed probes take of the slowest part that counts and is up.
func (e *targetState) slowest() (most time.Duration) {
	for i, p := range e.parts {
		if v, _ := p.verdict.effective(); v == Up && !e.prepared.parts[i].observeOnly {
			most = max(most, p.response.smoothed)
		}
	}
	return most
}

// markDirty notes that a part of e has changed.
func (o *scheduler) markDirty(e *targetState) {
	if e.affected {
		return
	}
	e.affected = true
	for len(o.composites) <= e.prepared.height {
		o.composites = append(o.composites, nil)
	}
	o.composites[e.prepared.height] = append(o.composites[e.prepared.height], e)
}

// recompute works out the composites of which a part has changed, those first
// that others are made of, so that each is looked at once and sees no mixture
// of what was before and what is now.
func (o *scheduler) recompute(now time.Time) {
	for height := 0; height < len(o.composites); height++ {
		for _, e := range o.composites[height] {
			e.affected = false
			o.recomputeAll(e, now)
		}
		o.composites[height] = o.composites[height][:0]
	}
}

func (o *scheduler) recomputeAll(e *targetState, now time.Time) {
	if !e.hasSubscribers() { // it was dropped in the meantime
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

// awaitsPart reports whether a part that counts has yet to be probed.
func (e *targetState) awaitsPart() bool {
	for i, p := range e.parts {
		if !e.prepared.parts[i].observeOnly && p.awaitingFirst() {
			return true
		}
	}
	return false
}

// hasProvisionalPart reports whether the verdict of a part that counts is doubted.
func (e *targetState) hasProvisionalPart() bool {
	for i, p := range e.parts {
		if !e.prepared.parts[i].observeOnly && p.verdict.provisional {
			return true
		}
	}
	return false
}

// attachParts gives e, which is new, the targets that it is made of, if it is a composite.
func (o *scheduler) attachParts(e *targetState, now time.Time) {
	for i := range e.prepared.parts {
		p := &e.prepared.parts[i]
		addr := p.addr
		if !addr.IsValid() {
			addr = e.addr
		}
		of := o.entry(identity{p.fingerprint, addr}, p.preparedCheck, now)
		e.parts = append(e.parts, of)
		if n := len(of.parents); n == 0 || of.parents[n-1] != e { // it is there already if it is a part twice
			of.parents = append(of.parents, e)
		}
	}
	if len(e.parts) > 0 {
		o.markDirty(e)
	}
}

// detachParts takes e, which is dropped, from its parts; what nobody wants any more is forgotten.
func (o *scheduler) detachParts(e *targetState) {
	for _, p := range e.parts {
		switch i := slices.Index(p.parents, e); i {
		case -1: // a part twice
		case 0: // the common case: a watch closes in the order in which it began, and a part may be that of thousands
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

// partName is the name of the check that part i of e has by now.
func (e *targetState) partName(i int) string {
	if parts := e.check().Parts; i < len(parts) {
		return parts[i].Check.Name
	}
	return e.prepared.parts[i].check.Name
}

// leafTargets adds to all the targets that e is made of, down to those that are not
// composite themselves: each once, in the order written.
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
