package health

import (
	"math"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// firstWeight is the weight at the start of slow start, in 256ths.
const firstWeight = 256 / 16

// verdictState holds a verdict, its history, and the progress of results towards the next one. It is a value: its methods
// compute a new one from their arguments and read nothing else.
type verdictState struct {
	verdict      Verdict   // Unknown, Up or Down
	since        time.Time // when the verdict changed
	lastResultAt time.Time // when the last conclusive result came
	staleSince   time.Time // since when it is uncertain, for lack of results; zero: it is not
	provisional  bool      // restored or carried over: the next result starts a new streak

	last        probe.Outcome // Passed or Failed; Inconclusive before the first of them
	streak      int           // consecutive results equal to last
	streakSince time.Time     // when the first result of the streak came

	damping         damping
	cleared         bool      // an operator ended hold_down and the wait for failback, until it is up
	slowStartSince  time.Time // when slow start began; zero: it is over
	slowStartWeight uint8     // see [Transition]
}

// after returns the state after one more result at time now. The first verdict is not a state change: no column that holds
// a verdict back applies to it.
//
//	verdict  outcome       streak              held back          verdict after
//	-------  ------------  ------------------  -----------------  -------------
//	any      inconclusive  any                 any                as before; the streak continues
//	unknown  passed        any                 any                up    (the first result alone decides)
//	unknown  failed        any                 any                down  (the same)
//	up       passed        any                 any                up, with a weight that grew
//	up       failed        < fall              any                up
//	up       failed        = fall, to confirm  any                up; the target is probed again after confirm
//	up       failed        enough              any                down; for a while if it flaps
//	down     failed        any                 any                down
//	down     passed        < rise              any                down
//	down     passed        enough              yes: holdReason()  down
//	down     passed        = rise, to confirm  no                 down; the target is probed again after confirm
//	down     passed        enough              it flaps           down for a while
//	down     passed        enough              no                 up, with its first weight
//
// Enough is fall or rise; one more with confirm. A streak of successes restarts after too long without results: hold_down
// and rise promise an observed time. A streak of failures continues, unless the verdict is provisional: that needs a full
// streak to change, so that one lost packet after a restart does not move a region's traffic.
//
// A target that became unknown counted as up, so its next failure is a state change for flap damping.
func (t verdictState) after(o probe.Outcome, now time.Time, c *config.Check) verdictState {
	if o == probe.Inconclusive {
		return t
	}
	broken := t.provisional || t.last == probe.Passed && (!t.staleSince.IsZero() || now.Sub(t.lastResultAt) > staleAfter(c))
	t.lastResultAt, t.staleSince, t.provisional = now, time.Time{}, false
	if o == t.last && !broken {
		t.streak++
	} else {
		t.last, t.streak, t.streakSince = o, 1, now
	}
	return t.decide(now, c)
}

// decide applies the current streak to the verdict.
func (t verdictState) decide(now time.Time, c *config.Check) verdictState {
	passed := t.last == probe.Passed
	switch {
	case t.verdict == Unknown && passed:
		t.verdict, t.since = Up, now
	case t.verdict == Unknown && t.last == probe.Failed:
		t = t.markFirstDown(now, c)
	case t.verdict == Up && passed:
		t = t.advanceSlowStart(now, c)
	case t.verdict == Up && t.thresholdReached(c.Fall, c):
		t.damping, _ = t.damping.add(now, c.FlapDamping)
		t.verdict, t.since = Down, now
		t.slowStartSince, t.slowStartWeight, t.cleared = time.Time{}, FullWeight, false
	case t.verdict == Down && passed && t.mayRise(now, c):
		t = t.markUp(now, c)
	}
	return t
}

// mayRise reports whether the streak of successes of a target that is down is long enough, and nothing holds it down.
func (t verdictState) mayRise(now time.Time, c *config.Check) bool {
	return t.thresholdReached(c.Rise, c) && t.holdReason(now, c) == notHeld
}

// markFirstDown sets t, which is unknown, to down. If it became unknown after another state, it counted as up.
func (t verdictState) markFirstDown(now time.Time, c *config.Check) verdictState {
	if !t.since.IsZero() {
		t.damping, _ = t.damping.add(now, c.FlapDamping)
	}
	t.verdict, t.since = Down, now
	return t
}

// markUp sets t to up, unless flap damping holds it down.
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

// advanceSlowStart sets the weight for time now: linear from firstWeight to FullWeight.
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

// thresholdReached reports whether the streak changes the verdict of a check with rise or fall n.
func (t verdictState) thresholdReached(n int, c *config.Check) bool {
	if c.Confirm > 0 {
		n++
	}
	return t.streak >= n
}

// needsConfirm reports whether the next result either changes the verdict or restarts the streak, so that the probe is due
// soon.
func (t verdictState) needsConfirm(now time.Time, c *config.Check) bool {
	switch {
	case c.Confirm == 0:
		return false
	case t.verdict == Up:
		return t.last == probe.Failed && t.streak == c.Fall
	case t.verdict == Down:
		return t.last == probe.Passed && t.streak == c.Rise && t.holdReason(now, c) == notHeld
	}
	return false
}

// holdReason is the reason that a target with passing probes stays down.
type holdReason uint8

// The hold reasons, those that end by themselves first.
const (
	notHeld  holdReason = iota
	damped              // it changed state too often
	holdDown            // it has not passed for long enough
	failback            // no operator has cleared it
)

// holdReason returns the reason that t stays down at now.
//
//	verdict  damping lasts  cleared  passing for  failback  result
//	-------  -------------  -------  -----------  --------  ---------
//	not down any            any      any          any       notHeld
//	down     yes            any      any          any       damped
//	down     no             yes      any          any       notHeld
//	down     no             no       < hold_down  any       holdDown
//	down     no             no       enough       manual    failback
//	down     no             no       enough       auto      notHeld
func (t verdictState) holdReason(now time.Time, c *config.Check) holdReason {
	switch {
	case t.verdict != Down:
		return notHeld
	case now.Before(t.damping.until):
		return damped
	case t.cleared:
		return notHeld
	case c.HoldDown > 0 && (t.last != probe.Passed || now.Sub(t.streakSince) < c.HoldDown):
		return holdDown
	case c.Failback == config.ManualFailback:
		return failback
	}
	return notHeld
}

// visibleHold returns the holdReason for display: only damping is shown while probes fail.
func (t verdictState) visibleHold(now time.Time, c *config.Check) holdReason {
	h := t.holdReason(now, c)
	if h != damped && (t.last != probe.Passed || !t.thresholdReached(c.Rise, c)) {
		return notHeld
	}
	return h
}

// dampedOnly reports whether only flap damping keeps t down.
func (t verdictState) dampedOnly(now time.Time, c *config.Check) bool {
	return t.holdReason(now, c) == damped && t.last == probe.Passed && t.thresholdReached(c.Rise, c) && t.staleSince.IsZero()
}

// clear removes the holds and the transitions counted by flap damping; t changes to up if its streak is long enough.
func (t verdictState) clear(now time.Time, c *config.Check) verdictState {
	t.damping = damping{}
	t.cleared = t.verdict == Down
	if t.verdict == Down && t.last == probe.Passed && t.staleSince.IsZero() && t.thresholdReached(c.Rise, c) {
		t = t.markUp(now, c)
	}
	return t
}

// heldUntil reports whether t stays down although results have stopped, and until when; the zero time: until an operator
// clears it.
//
//	verdict  damping lasts  cleared  failback  last result      held
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

// expireLease returns the state of a push check after its lease has expired: unknown, which counts as up and so, after
// down, is a state change for flap damping; or uncertain until the returned time, if t is held down.
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

// stale marks t uncertain if no conclusive result has come within staleAfter, counted from waited at the earliest.
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

// staleAfter returns how long a verdict holds without results: three intervals and a timeout. A push check has leases
// instead, and the parts of a composite have their own limits.
func staleAfter(c *config.Check) time.Duration {
	if c.Type == config.Push || c.Type.Composite() {
		return math.MaxInt64
	}
	return 3*c.Interval + c.Timeout
}

// effective returns the visible verdict and, if that is Uncertain, the state that answers use.
func (t verdictState) effective() (v, held Verdict) {
	if t.staleSince.IsZero() {
		return t.verdict, Unknown
	}
	return Uncertain, t.verdict
}
