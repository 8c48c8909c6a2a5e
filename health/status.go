package health

import (
	"fmt"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// Status is the prober's view of a target.
type Status struct {
	Verdict         Verdict
	Effective       Verdict        // if Verdict is Uncertain: Up or Down, the state that answers use
	Since           time.Time      // when Verdict began; zero while it is unknown
	Cause           probe.Result   // the result that caused it
	Streak          int            // consecutive results equal to the last conclusive one
	SlowStartWeight uint8          // see [Transition]
	Response        time.Duration  // see [Transition]
	Outlook         string         // what comes next, e.g. `up after 1 more success`
	Until           time.Time      // when that comes, if only time has to pass; else zero
	Last            []probe.Result // newest first, at most 10
	Transitions     []Transition   // newest first, at most 10
	Inconclusive    time.Time      // since when all probes have been inconclusive, for the reason of the last one; zero: the last was conclusive
	Next            time.Time      // when the next probe is due; zero during a probe or while its program still runs, and for targets without probes
	Interval        time.Duration  // between probes; 0: it has none
	IdleSince       time.Time      // when Interval became longer, because no query asks for the target; zero: it is not
	Parts           []PartStatus   // of a composite, in the order written
	Agreed          *Agreement     // of a target that the vantages of a cluster decide about; nil: none yet. Immutable
}

// PartStatus is the prober's view of a part of a composite target.
type PartStatus struct {
	Check       string
	Addr        netip.Addr
	Critical    bool
	ObserveOnly bool
	Status      // without Transitions; without Parts if the composite is listed earlier
}

// Status returns the status of the target at index of the slice given to Watch. It returns false after Close, and while the
// prober is stopped or stalled.
func (w *Watch) Status(index int) (s Status, ok bool) {
	if all := w.Statuses([]int{index}); all != nil {
		return all[0], true
	}
	return Status{}, false
}

// Statuses returns the status of many targets at one time, or nil if Status would return false.
func (w *Watch) Statuses(indexes []int) []Status {
	var all []Status
	ran := w.prober.call(func(*scheduler) {
		if w.entries == nil {
			return
		}
		now := time.Now()
		all = make([]Status, len(indexes))
		for n, i := range indexes {
			all[n] = w.entries[i].statusOf(i, w.targets[i], now)
		}
	})
	if !ran {
		return nil
	}
	return all
}

// statusOf returns the status of e as the target at index of a watch.
func (e *targetState) statusOf(index int, t Target, now time.Time) Status {
	s := e.status(now)
	s.Transitions = e.history.transitionsFor(index, t)
	s.Parts = e.partsStatus(now, make(map[*targetState]bool))
	return s
}

// status returns all of Status but Transitions and Parts.
func (e *targetState) status(now time.Time) Status {
	s := Status{
		Since: e.since(), Cause: e.cause, Streak: e.verdict.streak, SlowStartWeight: e.verdict.slowStartWeight,
		Response: e.response.smoothed, Agreed: e.agreed, Last: e.history.results(), Inconclusive: e.inconclusive.since,
	}
	s.Verdict, s.Effective = e.verdict.effective()
	s.Outlook, s.Until = e.outlook(now)
	if !e.probing && !e.stuck && e.prepared.run != nil {
		s.Next = e.due
	}
	s.Interval, s.IdleSince = e.prepared.check.Interval, e.idleSince
	if !e.idleSince.IsZero() {
		s.Interval = e.prepared.idle.Interval
		s.Outlook += e.outlookIdle()
	}
	return s
}

// partsStatus returns the status of e's parts; listed holds composites with parts that are listed elsewhere.
func (e *targetState) partsStatus(now time.Time, listed map[*targetState]bool) (all []PartStatus) {
	if listed[e] {
		return nil
	}
	listed[e] = true
	for i, p := range e.parts {
		how := &e.prepared.parts[i]
		s := PartStatus{e.partName(i), p.addr, how.critical, how.observeOnly, p.status(now)}
		s.Parts = p.partsStatus(now, listed)
		all = append(all, s)
	}
	return all
}

// Clear ends the holds that keep the target at index down although its probes may pass: flap damping, hold_down, and the
// wait for failback; it also resets the count of flap damping. The target changes to up at once if its probes pass, else
// when they do. For a composite it clears the leaf targets, for all their watches. It reports whether a hold existed; false
// after Close, and while the prober is stopped or stalled.
func (w *Watch) Clear(index int) (held bool) {
	n, _ := w.ClearAll([]int{index})
	return n > 0
}

// ClearAll clears many targets at once. It returns how many were held, and false if the prober could not be reached.
func (w *Watch) ClearAll(indexes []int) (count int, ok bool) {
	held := 0
	ran := w.prober.call(func(o *scheduler) {
		if w.entries == nil {
			return
		}
		now := time.Now()
		for _, i := range indexes {
			if o.clearWhole(w.entries[i], now) {
				held++
			}
		}
		o.notify() // the caller sees the change applied
	})
	if !ran {
		return 0, false
	}
	return held, true
}

// clearWhole clears e and its leaf targets.
func (o *scheduler) clearWhole(e *targetState, now time.Time) (held bool) {
	for _, p := range append(e.leafTargets(make(map[*targetState]bool)), e) {
		held = o.clear(p, now) || held
	}
	return held
}

func (o *scheduler) clear(e *targetState, now time.Time) (held bool) {
	c := e.prepared.check
	held = e.verdict.holdReason(now, c) != notHeld
	cause := probe.Result{Outcome: probe.Passed, Reason: "cleared by an operator", At: now}
	if last := e.history.results(); len(last) > 0 {
		cause.Reason += "; the last probe: " + last[0].Reason
		cause.Latency = last[0].Latency
	}
	o.setState(e, e.verdict.clear(now, c), cause, now)
	if c.Type == config.Push && !e.verdict.staleSince.IsZero() {
		o.leases.remove(e)
		o.expire(e, now)
	}
	o.changed()
	return held
}

// outlook returns what comes next for e, and when, if only time has to pass.
//
//	state                                outlook
//	-----------------------------------  -----------------------------------------------------
//	a composite                          follows its checks
//	push, unknown                        the first report decides
//	push, uncertain, other hold          unknown at ... unless it is reported again
//	push, uncertain, failback            unknown when failback is cleared, unless it is reported again
//	push, no other change by time        unknown at ... unless it is reported again
//	shared, uncertain                    counts as up (or down) until enough vantages vote
//	shared, unknown                      the first agreement decides
//	shared, up or down                   as below, without the number of results
//	uncertain                            counts as up (or down) until a result is conclusive
//	unknown                              the first result decides
//	up, probes fail, to be confirmed     confirms at ...
//	up, probes fail                      down after n more failures
//	up, slow start                       slow start: 40 %, full at ...
//	up                                   down after fall failures in a row
//	down, damped                         flapping, held down until ...: 4 state changes in 10m
//	down, probes pass for long enough    waiting for manual failback; or up at ... (hold_down)
//	down, probes pass, to be confirmed   confirms at ...
//	down                                 up after n more successes
func (e *targetState) outlook(now time.Time) (words string, until time.Time) {
	t, c := &e.verdict, e.prepared.check
	switch v, held := t.effective(); {
	case len(e.parts) > 0:
		return "follows its checks", until
	case t.agreement.shared:
		return e.outlookShared(v, held, now)
	case v == Unknown || v == Uncertain:
		return e.outlookUndecided(v, held)
	case t.needsConfirm(now, c) && !e.probing:
		return fmt.Sprintf("confirms at %s whether it is %v", FormatTime(e.due), opposite(v)), e.due
	case v == Up:
		words, until = e.outlookUp()
	default:
		words, until = e.outlookDown(now)
	}
	if c.Type == config.Push && until.IsZero() {
		return e.outlookLease()
	}
	return words, until
}

// outlookUndecided returns the outlook of a target without recent results.
func (e *targetState) outlookUndecided(v, held Verdict) (words string, until time.Time) {
	switch {
	case e.prepared.check.Type == config.Push:
		return e.outlookUnreported(v)
	case v == Unknown:
		return "the first result decides", until
	}
	return fmt.Sprintf("counts as %v until a result is conclusive", held), until
}

// outlookShared returns the outlook of a shared target.
func (e *targetState) outlookShared(v, held Verdict, now time.Time) (words string, until time.Time) {
	t, c := &e.verdict, e.prepared.check
	f := t.finding(now, c)
	switch {
	case v == Uncertain:
		return fmt.Sprintf("counts as %v until enough vantages vote", held), until
	case v == Unknown:
		return "the first agreement of the vantages decides", until
	case f.verdict != v && f.verdict != Unknown && !f.enough:
		until = f.since.Add(c.Confirm)
		return fmt.Sprintf("%v at %s if the vantages still agree (confirm)", f.verdict, FormatTime(until)), until
	case v == Down && t.visibleHold(now, c) != notHeld:
		return e.outlookHeld(now)
	case v == Up && !t.slowStartSince.IsZero():
		return e.outlookSlowStart()
	}
	return fmt.Sprintf("%v when the vantages agree on it", opposite(v)), until
}

// outlookUnreported returns the outlook of a push check without a valid report.
func (e *targetState) outlookUnreported(v Verdict) (words string, until time.Time) {
	switch {
	case v == Unknown:
		return "the first report decides", until
	case e.lease.IsZero():
		return "unknown when failback is cleared, unless it is reported again", until
	}
	return e.outlookLease()
}

func (e *targetState) outlookLease() (words string, until time.Time) {
	return "unknown at " + FormatTime(e.lease) + " unless it is reported again", e.lease
}

func (e *targetState) outlookUp() (words string, until time.Time) {
	t, c := &e.verdict, e.prepared.check
	switch {
	case t.last == probe.Failed:
		return "down after " + count(e.remaining(c.Fall), "more failure"), until
	case !t.slowStartSince.IsZero():
		return e.outlookSlowStart()
	}
	return "down after " + count(e.needed(c.Fall), "failure") + " in a row", until
}

func (e *targetState) outlookSlowStart() (words string, until time.Time) {
	t := &e.verdict
	full := t.slowStartSince.Add(e.prepared.check.SlowStart)
	return fmt.Sprintf("slow start: %d %%, full at %s", int(t.slowStartWeight)*100/256, FormatTime(full)), full
}

func (e *targetState) outlookDown(now time.Time) (words string, until time.Time) {
	t, c := &e.verdict, e.prepared.check
	switch {
	case t.visibleHold(now, c) != notHeld:
		return e.outlookHeld(now)
	case t.last == probe.Passed:
		return "up after " + count(e.remaining(c.Rise), "more success"), until
	}
	return "up after " + count(e.needed(c.Rise), "success") + " in a row", until
}

// outlookHeld returns the outlook of a target that something holds down.
func (e *targetState) outlookHeld(now time.Time) (words string, until time.Time) {
	t, c := &e.verdict, e.prepared.check
	switch t.visibleHold(now, c) {
	case damped:
		f := c.FlapDamping
		return fmt.Sprintf("flapping, held down until %s: %d state changes in %s", FormatTime(t.damping.until), f.Turns, config.FormatDuration(f.Window)), t.damping.until
	case holdDown:
		up := t.finding(now, c).since.Add(c.HoldDown)
		next := "up at "
		if c.Failback == config.ManualFailback {
			next = "waiting for manual failback from "
		}
		return next + FormatTime(up) + " unless a probe fails first (hold_down)", up
	}
	return "waiting for manual failback", until
}

// outlookIdle describes the idle interval, with the age of the evidence.
func (e *targetState) outlookIdle() string {
	since := FormatTime(e.usedAt)
	if !e.used { // an earlier process may have had queries for it
		since = "this process began to probe it at " + since
	}
	return fmt.Sprintf("; idle since %s, no query since %s: probed every %s, last at %s", FormatTime(e.idleSince), since,
		config.FormatDuration(e.prepared.idle.Interval), FormatTime(e.probeStart))
}

// needed returns how many consecutive results change a verdict, of a check with rise or fall n.
func (e *targetState) needed(n int) int {
	if e.prepared.check.Confirm > 0 {
		n++
	}
	return n
}

func (e *targetState) remaining(n int) int { return max(1, e.needed(n)-e.verdict.streak) }

func opposite(v Verdict) Verdict {
	if v == Up {
		return Down
	}
	return Up
}

// FormatTime returns t for an operator, with date and zone: everywhere in states, reasons and outlooks.
func FormatTime(t time.Time) string { return t.Format("2006-01-02 15:04:05 Z07:00") }

// count formats n with the singular or plural of thing.
func count(n int, thing string) string {
	if n != 1 {
		if thing[len(thing)-1] == 's' {
			thing += "e"
		}
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
