package health

import (
	"math"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// firstWeight is the weight at the start of slow start, in 256ths.
const firstWeight = 256 / 16

// verdictState holds a verdict, its history, and what leads to the next one. It is a value: its methods compute a new one
// from their arguments and read nothing else.
//
// It has two parts. The results and the opinion are those of this node as a vantage: rise and fall apply to them. The
// verdict follows a finding: confirm, damping, holds and slow start apply to it, once. On a node that decides alone the
// finding is its own results; in a cluster it is the agreement of the vantages.
type verdictState struct {
	results
	opinion   opinion
	agreement agreement

	verdict    Verdict   // Unknown, Up or Down
	since      time.Time // when the verdict changed
	staleSince time.Time // since when it is uncertain, for lack of results or votes; zero: it is not

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
	gap := now.Sub(t.lastResultAt) > staleAfter(c) || !t.agreement.shared && !t.staleSince.IsZero()
	t.results = t.results.add(o, now, t.provisional || t.last == probe.Passed && gap)
	t.opinion = t.opinion.after(t.results, t.verdict, now, c)
	if !t.agreement.shared {
		t.staleSince = time.Time{}
	}
	return t.decide(now, c)
}

// decide applies the current finding to the verdict.
func (t verdictState) decide(now time.Time, c *config.Check) verdictState {
	f := t.finding(now, c)
	switch {
	case f.verdict == Unknown:
	case t.verdict == Unknown && f.verdict == Up:
		t.verdict, t.since = Up, now
	case t.verdict == Unknown:
		t = t.markFirstDown(now, c)
	case t.verdict == Up && f.verdict == Up:
		t = t.advanceSlowStart(now, c)
	case t.verdict == Up && f.enough:
		t.damping, _ = t.damping.add(now, c.FlapDamping)
		t.verdict, t.since = Down, now
		t.slowStartSince, t.slowStartWeight, t.cleared = time.Time{}, FullWeight, false
	case t.verdict == Down && f.rises() && t.holdReason(now, c) == notHeld:
		t = t.markUp(now, c)
	}
	return t
}

// rises reports whether f changes a target that is down to up, unless something holds it down.
func (f finding) rises() bool { return f.verdict == Up && f.enough }

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
	case c.Confirm == 0 || t.agreement.shared:
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
	f := t.finding(now, c)
	switch {
	case t.verdict != Down:
		return notHeld
	case now.Before(t.damping.until):
		return damped
	case t.cleared:
		return notHeld
	case c.HoldDown > 0 && (f.verdict != Up || now.Sub(f.since) < c.HoldDown):
		return holdDown
	case c.Failback == config.ManualFailback:
		return failback
	}
	return notHeld
}

// visibleHold returns the holdReason for display: only damping is shown while probes fail.
func (t verdictState) visibleHold(now time.Time, c *config.Check) holdReason {
	h := t.holdReason(now, c)
	if h != damped && !t.finding(now, c).rises() {
		return notHeld
	}
	return h
}

// dampedOnly reports whether only flap damping keeps t down.
func (t verdictState) dampedOnly(now time.Time, c *config.Check) bool {
	return t.holdReason(now, c) == damped && t.finding(now, c).rises() && t.staleSince.IsZero()
}

// clear removes the holds and the transitions counted by flap damping; t changes to up if its streak is long enough.
func (t verdictState) clear(now time.Time, c *config.Check) verdictState {
	t.damping = damping{}
	t.cleared = t.verdict == Down
	if t.verdict == Down && t.staleSince.IsZero() && t.finding(now, c).rises() {
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
		return verdictState{since: now, damping: t.damping}, time.Time{} // push checks are not shared
	}
	if t.staleSince.IsZero() {
		t.staleSince = now
	}
	return t, until
}

// stale marks t uncertain if no conclusive result has come within staleAfter, counted from waited at the earliest. A shared
// target loses this node's opinion instead: the other vantages may still agree.
func (t verdictState) stale(now, waited time.Time, c *config.Check) verdictState {
	from := t.lastResultAt
	if waited.After(from) {
		from = waited
	}
	switch {
	case now.Sub(from) <= staleAfter(c):
	case t.agreement.shared && t.opinion.verdict != Unknown:
		t.opinion = opinion{since: now}
	case !t.agreement.shared && t.verdict != Unknown && t.staleSince.IsZero():
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
