package health

import (
	"math"
	"time"

	"meridian/config"
)

// firstShare is what an endpoint that starts slowly begins with, in 256ths.
const firstShare = 256 / 16

// tally is a verdict, how it came about, and how far the results lead towards
// the next one. It is a value: each of its methods makes a new one from the
// results and the time that it is given, and looks at nothing else.
type tally struct {
	verdict Verdict   // Unknown, Up or Down
	since   time.Time // when it turned
	heard   time.Time // when the last conclusive result came
	lost    time.Time // since when it is uncertain, for want of results; zero: it is not
	doubted bool      // it is from too long ago to go by its row, which begins anew with the next result

	last     Outcome   // Passed or Failed; Inconclusive before the first of them
	row      int       // how many results in a row equal last
	rowSince time.Time // when the first of the row came

	damping damping
	cleared bool      // an operator ended hold_down and the wait for failback, until it is up
	ramp    time.Time // when slow start began; zero: it is over
	share   uint8     // see [Turn]
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
func (t tally) after(o Outcome, now time.Time, c *config.Check) tally {
	if o == Inconclusive {
		return t
	}
	broken := t.doubted || t.last == Passed && (!t.lost.IsZero() || now.Sub(t.heard) > patience(c))
	t.heard, t.lost, t.doubted = now, time.Time{}, false
	if o == t.last && !broken {
		t.row++
	} else {
		t.last, t.row, t.rowSince = o, 1, now
	}
	return t.decide(now, c)
}

// decide is what the row that t has by now makes of its verdict.
func (t tally) decide(now time.Time, c *config.Check) tally {
	switch {
	case t.verdict == Unknown && t.last == Passed:
		t.verdict, t.since = Up, now
	case t.verdict == Unknown && t.last == Failed:
		if !t.since.IsZero() {
			t.damping, _ = t.damping.turned(now, c.FlapDamping)
		}
		t.verdict, t.since = Down, now
	case t.verdict == Up && t.last == Passed:
		t = t.grow(now, c)
	case t.verdict == Up && t.enough(c.Fall, c):
		t.damping, _ = t.damping.turned(now, c.FlapDamping)
		t.verdict, t.since = Down, now
		t.ramp, t.share, t.cleared = time.Time{}, AllShare, false
	case t.verdict == Down && t.last == Passed && t.enough(c.Rise, c) && t.holding(now, c) == nothing:
		t = t.rise(now, c)
	}
	return t
}

// rise turns t up, unless that is one turn too many.
func (t tally) rise(now time.Time, c *config.Check) tally {
	flaps := false
	if t.damping, flaps = t.damping.turned(now, c.FlapDamping); flaps {
		return t
	}
	t.verdict, t.since, t.cleared = Up, now, false
	if c.SlowStart > 0 {
		t.ramp = now
		t = t.grow(now, c)
	}
	return t
}

// grow is t with the share that it has at now: in a straight line from
// firstShare to all.
func (t tally) grow(now time.Time, c *config.Check) tally {
	if t.ramp.IsZero() {
		return t
	}
	passed := now.Sub(t.ramp)
	if passed >= c.SlowStart {
		t.ramp, t.share = time.Time{}, AllShare
		return t
	}
	part := max(0, float64(passed)/float64(c.SlowStart))
	t.share = uint8(firstShare + part*(256-firstShare))
	return t
}

// enough reports whether the row turns the verdict, of a check whose rise or fall is n.
func (t tally) enough(n int, c *config.Check) bool {
	if c.Confirm > 0 {
		n++
	}
	return t.row >= n
}

// confirms reports whether the next result turns the verdict or starts the row
// anew, and the probe is to be made soon.
func (t tally) confirms(now time.Time, c *config.Check) bool {
	switch {
	case c.Confirm == 0:
		return false
	case t.verdict == Up:
		return t.last == Failed && t.row == c.Fall
	case t.verdict == Down:
		return t.last == Passed && t.row == c.Rise && t.holding(now, c) == nothing
	}
	return false
}

// hold is what keeps a target down whose probes pass.
type hold uint8

// The holds, those that end by themselves first.
const (
	nothing  hold = iota
	damped        // it turned too often
	holdDown      // it has not passed for long enough
	failback      // nobody has cleared it
)

// holding is what keeps t down at now.
//
//	verdict  damping lasts  cleared  passing for  failback  holding
//	-------  -------------  -------  -----------  --------  ---------
//	not down any            any      any          any       nothing
//	down     yes            any      any          any       damped
//	down     no             yes      any          any       nothing
//	down     no             no       < hold_down  any       hold_down
//	down     no             no       enough       manual    failback
//	down     no             no       enough       auto      nothing
func (t tally) holding(now time.Time, c *config.Check) hold {
	switch {
	case t.verdict != Down:
		return nothing
	case now.Before(t.damping.until):
		return damped
	case t.cleared:
		return nothing
	case c.HoldDown > 0 && (t.last != Passed || now.Sub(t.rowSince) < c.HoldDown):
		return holdDown
	case c.Failback == config.ManualFailback:
		return failback
	}
	return nothing
}

// holds is holding where it shows: what holds back a target whose probes do not
// pass, but for damping, is nothing yet.
func (t tally) holds(now time.Time, c *config.Check) hold {
	h := t.holding(now, c)
	if h != damped && (t.last != Passed || !t.enough(c.Rise, c)) {
		return nothing
	}
	return h
}

// dampedOnly reports whether t would be up but for flap damping.
func (t tally) dampedOnly(now time.Time, c *config.Check) bool {
	return t.holding(now, c) == damped && t.last == Passed && t.enough(c.Rise, c) && t.lost.IsZero()
}

// clear is t without what holds it down, and without what counts towards
// holding it down again; up, where its row is long enough.
func (t tally) clear(now time.Time, c *config.Check) tally {
	t.damping = damping{}
	t.cleared = t.verdict == Down
	if t.verdict == Down && t.last == Passed && t.lost.IsZero() && t.enough(c.Rise, c) {
		t = t.rise(now, c)
	}
	return t
}

// detained reports whether t, of which nothing is heard any more, is to stay
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
func (t tally) detained(now time.Time, c *config.Check) (until time.Time, yes bool) {
	switch {
	case t.verdict != Down:
		return until, false
	case now.Before(t.damping.until):
		return t.damping.until, true
	case t.cleared:
		return until, false
	case c.Failback == config.ManualFailback:
		return until, true
	case now.Sub(t.heard) < c.HoldDown:
		return t.heard.Add(c.HoldDown), true
	}
	return until, false
}

// unreported is t, of a push check, when the last report holds no more: unknown,
// which counts as up and so is a turn for flap damping where it was down; or
// uncertain, where it is detained, until then.
func (t tally) unreported(now time.Time, c *config.Check) (after tally, until time.Time) {
	until, stays := t.detained(now, c)
	if !stays && t.verdict == Down {
		if t.damping, stays = t.damping.turned(now, c.FlapDamping); stays {
			until = t.damping.until
		}
	}
	if !stays {
		return tally{since: now, damping: t.damping}, time.Time{}
	}
	if t.lost.IsZero() {
		t.lost = now
	}
	return t, until
}

// stale is t at now, uncertain where nothing conclusive has come for three
// intervals and a probe's timeout, counted from waited at the earliest.
func (t tally) stale(now, waited time.Time, c *config.Check) tally {
	from := t.heard
	if waited.After(from) {
		from = waited
	}
	if t.verdict != Unknown && t.lost.IsZero() && now.Sub(from) > patience(c) {
		t.lost = now
	}
	return t
}

// patience is for how long a verdict holds without results. What is reported
// to a push check has a lease of its own, and a composite's parts bound theirs.
func patience(c *config.Check) time.Duration {
	if c.Type == config.Push || c.Type.Composite() {
		return math.MaxInt64
	}
	return 3*c.Interval + c.Timeout
}

// shown is the verdict as others are told it, and what answers go by where it is uncertain.
func (t tally) shown() (v, held Verdict) {
	if t.lost.IsZero() {
		return t.verdict, Unknown
	}
	return Uncertain, t.verdict
}
