package health

import (
	"cmp"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// results holds the recent results of the probes that this node sends to a target.
type results struct {
	lastResultAt time.Time     // when the last conclusive result came
	provisional  bool          // restored or carried over: the next result starts a new streak
	last         probe.Outcome // Passed or Failed; Inconclusive before the first of them
	streak       int           // consecutive results equal to last
	streakSince  time.Time     // when the first result of the streak came
}

// add returns r with one more conclusive result. If broken is true, the result starts a new streak in any case.
func (r results) add(o probe.Outcome, now time.Time, broken bool) results {
	r.lastResultAt, r.provisional = now, false
	if o == r.last && !broken {
		r.streak++
	} else {
		r.last, r.streak, r.streakSince = o, 1, now
	}
	return r
}

// opinion is the state of a target that one vantage finds: its own results by rise and fall, without anything that holds a health
// state back.
type opinion struct {
	verdict Verdict   // Unknown, Up or Down
	since   time.Time // when it changed
}

// after returns the opinion after a conclusive result, the last of r, about a target with a state. Without an opinion, as
// after a restart, one result does not contradict the state.
//
//	opinion  state    last    streak  opinion after
//	-------  -------  ------  ------  -------------
//	unknown  not down passed  any     up
//	unknown  not up   failed  any     down
//	unknown  up       failed  = fall  down
//	unknown  down     passed  = rise  up
//	up       any      failed  = fall  down
//	down     any      passed  = rise  up
//	any      any      else            as before
func (p opinion) after(r results, state Verdict, now time.Time, c *config.Check) opinion {
	to := verdictOf(r.last == probe.Passed)
	before := cmp.Or(p.verdict, state)
	if to == p.verdict || before != Unknown && before != to && !r.reached(c) {
		return p
	}
	return opinion{to, now}
}

// reached reports whether the streak of r has the length of rise or fall.
func (r results) reached(c *config.Check) bool {
	if r.last == probe.Passed {
		return r.streak >= c.Rise
	}
	return r.streak >= c.Fall
}

// opinion returns the opinion that r alone gives; unknown if its streak is too short.
func (r results) opinion(c *config.Check) opinion {
	if r.last == probe.Inconclusive || !r.reached(c) {
		return opinion{}
	}
	return opinion{verdictOf(r.last == probe.Passed), r.streakSince}
}

// finding is what a health state follows: the results of this node if it decides alone, else what the vantages agree on.
type finding struct {
	verdict Verdict   // Up or Down; Unknown: there is none
	since   time.Time // since when, without interruption
	enough  bool      // it changes the opposite state
}

// agreement is what the vantages of a cluster have agreed on for a target. The zero value is a target of a node that
// decides alone.
type agreement struct {
	shared    bool      // the vantages decide together
	verdict   Verdict   // Up or Down: the last that they agreed on; Unknown: none
	since     time.Time // since when they agree on it, without interruption
	uncertain bool      // too few vantages vote: the state holds
}

// agree returns the agreement after the vantages found verdict, or could not decide if uncertain is true.
func (a agreement) agree(verdict Verdict, uncertain bool, now time.Time) agreement {
	if !uncertain && (verdict != a.verdict || a.uncertain) {
		a.verdict, a.since = verdict, now
	}
	a.uncertain = uncertain
	return a
}

// finding returns what a state follows at now. With confirm it must last that long before it changes a state.
func (a agreement) finding(now time.Time, c *config.Check) finding {
	if a.uncertain || a.verdict == Unknown {
		return finding{}
	}
	return finding{a.verdict, a.since, now.Sub(a.since) >= c.Confirm}
}

// finding returns what t follows at now.
func (t verdictState) finding(now time.Time, c *config.Check) finding {
	switch {
	case t.agreement.shared:
		return t.agreement.finding(now, c)
	case t.last == probe.Passed:
		return finding{Up, t.streakSince, t.thresholdReached(c.Rise, c)}
	case t.last == probe.Failed:
		return finding{Down, t.streakSince, t.thresholdReached(c.Fall, c)}
	}
	return finding{}
}

// agree returns the state of a shared target after the vantages found verdict, or could not decide if uncertain is true:
// then the state holds.
func (t verdictState) agree(verdict Verdict, uncertain bool, now time.Time, c *config.Check) verdictState {
	t.agreement = t.agreement.agree(verdict, uncertain, now)
	switch {
	case !uncertain:
		t.staleSince, t.provisional = time.Time{}, false
		return t.decide(now, c)
	case t.staleSince.IsZero() && t.verdict != Unknown:
		t.staleSince = now
	}
	return t
}
