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

// whole is the share of an endpoint that gets all its clients, in 256ths.
const whole = 256

// part is a check that a composite one is made of.
type part struct {
	*checker
	addr     netip.Addr // whose verdict counts; the zero Addr: the composite's own
	critical bool
	observed bool // and no more
}

// compose gives c, which is composite, its parts; made has or gets their checkers.
func (c *checker) compose(made checkers) error {
	digests, counted := slices.Clone(c.definition[:]), 0
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
		digests = fmt.Appendf(digests, "%x %v %t %t ", of.definition, p.Address, p.Critical, p.ObserveOnly)
	}
	if counted == 0 || c.check.Type == config.AtLeast && (c.check.N < 1 || c.check.N > counted) {
		return fmt.Errorf("checks.%s: %d checks that count; at least one, and n", c.check.Name, counted)
	}
	c.definition = sha256.Sum256(digests)
	return nil
}

// reading is whether a verdict, and what answers go by where it is uncertain,
// is taken for up.
type reading func(v, held Verdict) bool

func surely(v, _ Verdict) bool              { return v == Up }
func perhaps(v, _ Verdict) bool             { return v != Down }
func surelyByAnswers(v, held Verdict) bool  { return v == Up || v == Uncertain && held == Up }
func perhapsByAnswers(v, held Verdict) bool { return v == Unknown || surelyByAnswers(v, held) }

// derive is the verdict of a composite, from those of its parts that count.
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
func (e *entry) derive() (v, held Verdict) {
	if up := e.upIf(surely); up == e.upIf(perhaps) {
		return verdictOf(up), Unknown
	}
	if up := e.upIf(surelyByAnswers); up == e.upIf(perhapsByAnswers) {
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

// upIf is whether a composite is up where its parts are read so.
func (e *entry) upIf(up reading) bool {
	count, counted := 0, 0
	for i, p := range e.parts {
		how := &e.checker.parts[i]
		if how.observed {
			continue
		}
		counted++
		if up(p.tally.shown()) {
			count++
		} else if how.critical {
			return false
		}
	}
	switch e.checker.check.Type {
	case config.All:
		return count == counted
	case config.Any:
		return count > 0
	case config.AtLeast:
		return count >= e.checker.check.N
	}
	return count == 0 // invert
}

// portion is the share of a composite, in 256ths, as its parts start slowly:
// that of the last part that it needs to be up. So all takes the least of
// their shares, any the greatest, at_least the nth, and none has more than a
// critical part.
func (e *entry) portion() int {
	most := whole
	var shares []int
	for i, p := range e.parts {
		how := &e.checker.parts[i]
		if how.observed {
			continue
		}
		share := p.portioned()
		shares = append(shares, share)
		if how.critical {
			most = min(most, share)
		}
	}
	slices.Sort(shares)
	switch e.checker.check.Type {
	case config.All:
		return min(most, shares[0])
	case config.Any:
		return min(most, shares[len(shares)-1])
	case config.AtLeast:
		return min(most, shares[len(shares)-e.checker.check.N])
	}
	return whole
}

// shareOf is a portion as a share.
func shareOf(portion int) uint8 {
	if portion >= whole {
		return AllShare
	}
	return uint8(portion)
}

// portioned is what e as a part gets of its clients, in 256ths.
func (e *entry) portioned() int {
	switch v, held := e.tally.shown(); {
	case v == Down, held == Down:
		return 0
	case e.tally.share == AllShare:
		return whole
	}
	return int(e.tally.share)
}

// decisive is the index of the part that made a composite what it is: of the
// counted parts that speak for its verdict, the one that turned last; where
// it is down and a critical part is, such a one.
func (e *entry) decisive(v Verdict) int {
	found := -1
	for i, p := range e.parts {
		if e.checker.parts[i].observed || !e.speaksFor(v, p) {
			continue
		}
		if found < 0 || e.outweighs(v, i, found) {
			found = i
		}
	}
	return found
}

// speaksFor reports whether p is as it has to be for e to be v.
func (e *entry) speaksFor(v Verdict, p *entry) bool {
	is, _ := p.tally.shown()
	if e.checker.check.Type == config.Invert && (v == Up || v == Down) {
		return is == opposite(v)
	}
	return is == v
}

// outweighs reports whether part i has more to do than part j with e's being v.
func (e *entry) outweighs(v Verdict, i, j int) bool {
	if a, b := e.checker.parts[i].critical, e.checker.parts[j].critical; v == Down && a != b {
		return a
	}
	return e.parts[i].since().After(e.parts[j].since())
}

// evidence is why a composite is v, and as that of which result.
func (e *entry) evidence(v Verdict, now time.Time) Result {
	i := e.decisive(v)
	if i < 0 {
		return Result{At: now}
	}
	p := e.parts[i]
	reason := fmt.Sprintf("check %q", e.partName(i))
	if at := e.checker.parts[i].addr; at.IsValid() {
		reason += " at " + at.String()
	}
	if is, _ := p.tally.shown(); e.checker.check.Type == config.Invert || is == Unknown || is == Uncertain {
		reason += " is " + is.String()
	}
	if p.cause.Reason != "" {
		reason += ": " + p.cause.Reason
	}
	switch {
	case v == Down && e.checker.parts[i].critical && e.checker.check.Type != config.All:
		reason = "critical " + reason
	case e.checker.check.Type == config.AtLeast:
		reason = e.tallied() + "; " + reason
	}
	outcome := map[Verdict]Outcome{Up: Passed, Down: Failed}[v] // else inconclusive
	return Result{Outcome: outcome, Reason: printable(reason), Latency: p.cause.Latency, At: now}
}

// tallied is how many parts of an at_least are up.
func (e *entry) tallied() string {
	up, counted := 0, 0
	for i, p := range e.parts {
		if e.checker.parts[i].observed {
			continue
		}
		counted++
		if surely(p.tally.shown()) {
			up++
		}
	}
	return fmt.Sprintf("%d of %d up, want %d", up, counted, e.checker.check.N)
}

// slowest is how long passed probes take of the slowest part that counts and is up.
func (e *entry) slowest() (most time.Duration) {
	for i, p := range e.parts {
		if v, _ := p.tally.shown(); v == Up && !e.checker.parts[i].observed {
			most = max(most, p.response.smoothed)
		}
	}
	return most
}

// affected notes that a part of e has changed.
func (o *owner) affected(e *entry) {
	if e.affected {
		return
	}
	e.affected = true
	for len(o.composites) <= e.checker.height {
		o.composites = append(o.composites, nil)
	}
	o.composites[e.checker.height] = append(o.composites[e.checker.height], e)
}

// derive works out the composites of which a part has changed, those first
// that others are made of, so that each is looked at once and sees no mixture
// of what was before and what is now.
func (o *owner) derive(now time.Time) {
	for height := 0; height < len(o.composites); height++ {
		for _, e := range o.composites[height] {
			e.affected = false
			o.rederive(e, now)
		}
		o.composites[height] = o.composites[height][:0]
	}
}

func (o *owner) rederive(e *entry, now time.Time) {
	if !e.wanted() { // it was dropped in the meantime
		return
	}
	t := e.tally
	v, held := e.derive()
	if from, was := t.shown(); from != v || was != held {
		t = tally{verdict: cmp.Or(held, v), since: now}
		if v == Uncertain {
			t.lost = now
		}
	}
	t.doubted = e.doubtsPart()
	t.share = AllShare
	if v == Up || held == Up {
		t.share = shareOf(e.portion())
	}
	e.response.smoothed = e.slowest()
	o.become(e, t, e.evidence(v, now), now)
	if !e.settled && v == Unknown && !e.awaitsPart() {
		o.settle(e)
	}
}

// awaitsPart reports whether a part that counts has yet to be probed.
func (e *entry) awaitsPart() bool {
	for i, p := range e.parts {
		if !e.checker.parts[i].observed && p.awaited() {
			return true
		}
	}
	return false
}

// doubtsPart reports whether the verdict of a part that counts is doubted.
func (e *entry) doubtsPart() bool {
	for i, p := range e.parts {
		if !e.checker.parts[i].observed && p.tally.doubted {
			return true
		}
	}
	return false
}

// join gives e, which is new, the targets that it is made of, if it is a composite.
func (o *owner) join(e *entry, now time.Time) {
	for i := range e.checker.parts {
		p := &e.checker.parts[i]
		addr := p.addr
		if !addr.IsValid() {
			addr = e.addr
		}
		of := o.entry(identity{p.definition, addr}, p.checker, now)
		e.parts = append(e.parts, of)
		if n := len(of.wholes); n == 0 || of.wholes[n-1] != e { // it is there already if it is a part twice
			of.wholes = append(of.wholes, e)
		}
	}
	if len(e.parts) > 0 {
		o.affected(e)
	}
}

// part takes e, which is dropped, from its parts; what nobody wants any more is forgotten.
func (o *owner) part(e *entry) {
	for _, p := range e.parts {
		switch i := slices.Index(p.wholes, e); i {
		case -1: // a part twice
		case 0: // the common case: a watch closes in the order in which it began, and a part may be that of thousands
			p.wholes = p.wholes[1:]
		default:
			p.wholes = slices.Delete(p.wholes, i, i+1)
		}
		if !p.wanted() {
			o.forget(p)
		}
	}
	e.parts = nil
}

// partName is the name of the check that part i of e has by now.
func (e *entry) partName(i int) string {
	if parts := e.check().Parts; i < len(parts) {
		return parts[i].Check.Name
	}
	return e.checker.parts[i].check.Name
}

// leaves adds to all the targets that e is made of, down to those that are not
// composite themselves: each once, in the order written.
func (e *entry) leaves(seen map[*entry]bool) (all []*entry) {
	for _, p := range e.parts {
		if seen[p] {
			continue
		}
		seen[p] = true
		if len(p.parts) == 0 {
			all = append(all, p)
			continue
		}
		all = append(all, p.leaves(seen)...)
	}
	return all
}
