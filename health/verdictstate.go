package health

import (
	"math"
	"time"

	"meridian/config"
)

// firstWeight is what an endpoint that starts slowly begins with, in 256ths.
const firstWeight = 256 / 16

// verdictState is a verdict, how it came about, and how far the results lead towards
// the next one. It is a value: each of its methods makes a new one from the
// results and the time that it is given, and looks at nothing else.
type verdictState struct {
	verdict      Verdict   // Unknown, Up or Down
	since        time.Time // when it turned
	lastResultAt time.Time // when the last conclusive result came
	staleSince   time.Time // since when it is uncertain, for want of results; zero: it is not
	provisional  bool      // it is from too long ago to go by its row, which begins anew with the next result

	last        Outcome   // Passed or Failed; Inconclusive before the first of them
	streak      int       // how many results in a row equal last
	streakSince time.Time // when the first of the row came

	damping         damping
	cleared         bool      // an operator ended hold_down and the wait for failback, until it is up
	slowStartSince  time.Time // when slow start began; zero: it is over
	slowStartWeight uint8     // see [Turn]
}

// after is the tally after one more result, which came at now. The first
// verdict of all is no turn for any of the columns that hold a verdict back.
//
//	verdict  outcome       in a row            held back         verdict after
//	-------  ------------  ------------------  ----------------  -------------
//	any      inconclusive  any                 any               as before; the row goes on
//	unknown  passed        any                 any               up    (the first result alone decides)
//	unknown  failed        any                 any               down  (the same)
//	up       passed        any                 any               up, with a share that grew
//	up       failed        < fall              any               up
//	up       failed        = fall, to confirm  any               up; the target is probed again after confirm
//	up       failed        enough              any               down; for a while where it flaps
//	down     failed        any                 any               down
//	down     passed        < rise              any               down
//	down     passed        enough              yes: see holding  down
//	down     passed        = rise, to confirm  no                down; the target is probed again after confirm
//	down     passed        enough              it flaps          down for a while
//	down     passed        enough              no                up, with its first share
//
// Enough is fall or rise; one more with confirm. A row of successes begins anew where
// nothing was heard in between for too long: hold_down and rise promise a time that
// was seen. One of failures goes on, but where the verdict is doubted: that takes as
// much to turn as any other, lest one lost packet after a restart move a region's traffic.
//
// What became unknown after it had a verdict counted as up meanwhile, so that its
// next failure is a turn for flap damping.
func (t verdictState) after(o Outcome, now time.Time, c *config.Check) verdictState {
	if o == Inconclusive {
		return t
	}
	broken := t.provisional || t.last == Passed && (!t.staleSince.IsZero() || now.Sub(t.lastResultAt) > staleAfter(c))
	t.lastResultAt, t.staleSince, t.provisional = now, time.Time{}, false
	if o == t.last && !broken {
		t.streak++
	} else {
		t.last, t.streak, t.streakSince = o, 1, now
	}
	return t.decide(now, c)
}

// decide is what the row that t has by now makes of its verdict.
func (t verdictState) decide(now time.Time, c *config.Check) verdictState {
	switch {
	case t.verdict == Unknown && t.last == Passed:
		t.verdict, t.since = Up, now
	case t.verdict == Unknown && t.last == Failed:
		if !t.since.IsZero() {
			t.damping, _ = t.damping.add(now, c.FlapDamping)
		}
		t.verdict, t.since = Down, now
	case t.verdict == Up && t.last == Passed:
		t = t.advanceSlowStart(now, c)
	case t.verdict == Up && t.thresholdReached(c.Fall, c):
		t.damping, _ = t.damping.add(now, c.FlapDamping)
		t.verdict, t.since = Down, now
		t.slowStartSince, t.slowStartWeight, t.cleared = time.Time{}, FullWeight, false
	case t.verdict == Down && t.last == Passed && t.thresholdReached(c.Rise, c) && t.holdReason(now, c) == notHeld:
		t = t.markUp(now, c)
	}
	return t
}

// markUp turns t up, unless that is one turn too many.
func (t verdictState) markUp(now time.Time, c *config.Check) verdictState {
	flaps := false
	if t.damping, flaps = t.damping.add(now, c.FlapDamping); flaps {
		return t
	}
	t.verdict, t.since, t.cleared = Up, now, false
	if c.SlowStart > 0 {
		t.slowStartSince = now
		t = t.advanceSlowStart(now, c)
	}
	return t
}

// advanceSlowStart is t with the share that it has at now: in a straight line from
// firstShare to all.
func (t verdictState) advanceSlowStart(now time.Time, c *config.Check) verdictState {
	if t.slowStartSince.IsZero() {
		return t
	}
	passed := now.Sub(t.slowStartSince)
	if passed >= c.SlowStart {
		t.slowStartSince, t.slowStartWeight = time.Time{}, FullWeight
		return t
	}
	part := max(0, float64(passed)/float64(c.SlowStart))
	t.slowStartWeight = uint8(firstWeight + part*(256-firstWeight))
	return t
}

// thresholdReached reports whether the row turns the verdict, of a check whose rise or fall is n.
func (t verdictState) thresholdReached(n int, c *config.Check) bool {
	if c.Confirm > 0 {
		n++
	}
	return t.streak >= n
}

// needsConfirm reports whether the next result turns the verdict or starts the row
// anew, and the probe is to be made soon.
func (t verdictState) needsConfirm(now time.Time, c *config.Check) bool {
	switch {
	case c.Confirm == 0:
		return false
	case t.verdict == Up:
		return t.last == Failed && t.streak == c.Fall
	case t.verdict == Down:
		return t.last == Passed && t.streak == c.Rise && t.holdReason(now, c) == notHeld
	}
	return false
}

// holdReason is what keeps a target down whose probes pass.
type holdReason uint8

// The holds, those that end by themselves first.
const (
	notHeld  holdReason = iota
	damped              // it turned too often
	holdDown            // it has not passed for long enough
	failback            // nobody has cleared it
)

// holdReason is what keeps t down at now.
//
//	verdict  damping lasts  cleared  passing for  failback  holding
//	-------  -------------  -------  -----------  --------  ---------
//	not down any            any      any          any       nothing
//	down     yes            any      any          any       damped
//	down     no             yes      any          any       nothing
//	down     no             no       < hold_down  any       hold_down
//	down     no             no       enough       manual    failback
//	down     no             no       enough       auto      nothing
func (t verdictState) holdReason(now time.Time, c *config.Check) holdReason {
	switch {
	case t.verdict != Down:
		return notHeld
	case now.Before(t.damping.until):
		return damped
	case t.cleared:
		return notHeld
	case c.HoldDown > 0 && (t.last != Passed || now.Sub(t.streakSince) < c.HoldDown):
		return holdDown
	case c.Failback == config.ManualFailback:
		return failback
	}
	return notHeld
}

// visibleHold is holding where it shows: what holds back a target whose probes do not
// pass, but for damping, is nothing yet.
func (t verdictState) visibleHold(now time.Time, c *config.Check) holdReason {
	h := t.holdReason(now, c)
	if h != damped && (t.last != Passed || !t.thresholdReached(c.Rise, c)) {
		return notHeld
	}
	return h
}

// dampedOnly reports whether t would be up but for flap damping.
func (t verdictState) dampedOnly(now time.Time, c *config.Check) bool {
	return t.holdReason(now, c) == damped && t.last == Passed && t.thresholdReached(c.Rise, c) && t.staleSince.IsZero()
}

// clear is t without what holds it down, and without what counts towards
// holding it down again; up, where its row is long enough.
func (t verdictState) clear(now time.Time, c *config.Check) verdictState {
	t.damping = damping{}
	t.cleared = t.verdict == Down
	if t.verdict == Down && t.last == Passed && t.staleSince.IsZero() && t.thresholdReached(c.Rise, c) {
		t = t.markUp(now, c)
	}
	return t
}

// heldUntil reports whether t, of which nothing is heard any more, is to stay
// down all the same, and until when; the zero time: until it is cleared.
//
//	verdict  damping lasts  cleared  failback  heard            detained
//	-------  -------------  -------  --------  ---------------  --------------------------
//	not down any            any      any       any              no
//	down     yes            any      any       any              until the damping ends
//	down     no             yes      any       any              no
//	down     no             no       manual    any              until it is cleared
//	down     no             no       auto      < hold_down ago  until hold_down has passed
//	down     no             no       auto      before           no
func (t verdictState) heldUntil(now time.Time, c *config.Check) (until time.Time, yes bool) {
	switch {
	case t.verdict != Down:
		return until, false
	case now.Before(t.damping.until):
		return t.damping.until, true
	case t.cleared:
		return until, false
	case c.Failback == config.ManualFailback:
		return until, true
	case now.Sub(t.lastResultAt) < c.HoldDown:
		return t.lastResultAt.Add(c.HoldDown), true
	}
	return until, false
}

// expireLease is t, of a push check, when the last report holds no more: unknown,
// which counts as up and so is a turn for flap damping where it was down; or
// uncertain, where it is detained, until then.
func (t verdictState) expireLease(now time.Time, c *config.Check) (after verdictState, until time.Time) {
	until, stays := t.heldUntil(now, c)
	if !stays && t.verdict == Down {
		if t.damping, stays = t.damping.add(now, c.FlapDamping); stays {
			until = t.damping.until
		}
	}
	if !stays {
		return verdictState{since: now, damping: t.damping}, time.Time{}
	}
	if t.staleSince.IsZero() {
		t.staleSince = now
	}
	return t, until
}

// stale is t at now, uncertain where nothing conclusive has come for three
// intervals and a probe's timeout, counted from waited at the earliest.
func (t verdictState) stale(now, waited time.Time, c *config.Check) verdictState {
	from := t.lastResultAt
	if waited.After(from) {
		from = waited
	}
	if t.verdict != Unknown && t.staleSince.IsZero() && now.Sub(from) > staleAfter(c) {
		t.staleSince = now
	}
	return t
}

// staleAfter is for how long a verdict holds without results. What is reported
// to a push check has a lease of its own, and a composite's parts bound theirs.
func staleAfter(c *config.Check) time.Duration {
	if c.Type == config.Push || c.Type.Composite() {
		return math.MaxInt64
	}
	return 3*c.Interval + c.Timeout
}

// effective is the verdict as others are told it, and what answers go by where it is uncertain.
func (t verdictState) effective() (v, held Verdict) {
	if t.staleSince.IsZero() {
		return t.verdict, Unknown
	}
	return Uncertain, t.verdict
}
