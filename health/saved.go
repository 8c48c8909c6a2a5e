package health

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/config"
)

// How old a memory may be and still serve: of a verdict, and of what is held down,
// which an operator may take his time to clear.
const (
	maxSavedAge = 24 * time.Hour
	holdAge     = 90 * 24 * time.Hour
)

// maxStreak bounds a row that is remembered; no threshold is beyond it.
const maxStreak = 1 << 20

// SavedTarget is what the prober remembers of a target from one process to the next.
// It is made for JSON: fields may be added, none changes its meaning. What is
// read back is not trusted: a memory with impossible values is ignored.
type SavedTarget struct {
	Check            string        `json:"check"`            // the name, for who reads the file
	Fingerprint      string        `json:"definition"`       // with Address the target: a digest of all that the check is, in hexadecimal
	ProbeFingerprint string        `json:"probed,omitempty"` // a digest of what of it is probed, thresholds and times left out
	Address          netip.Addr    `json:"address"`
	At               time.Time     `json:"at"`      // when all this was so
	Verdict          string        `json:"verdict"` // up or down: what answers went by
	Since            time.Time     `json:"since"`   // when the verdict turned
	LastResultAt     time.Time     `json:"heard"`   // when the last conclusive result came
	Reason           string        `json:"reason"`  // of the probe that turned it
	Latency          time.Duration `json:"latency"` // of that probe, in nanoseconds
	Last             string        `json:"last"`    // passed or failed: the last conclusive result
	Streak           int           `json:"row"`     // how many of them came in a row
	StreakSince      time.Time     `json:"row_since"`
	Transitions      []time.Time   `json:"turns,omitempty"`           // those that count towards flap damping
	Hold             time.Duration `json:"hold,omitempty"`            // how long the last hold of flap damping is or was, in nanoseconds
	HeldUntil        time.Time     `json:"held_until,omitzero"`       // when it ends or ended
	Provisional      bool          `json:"doubted,omitempty"`         // the row is of another check, or from too long ago: it begins anew
	Cleared          bool          `json:"cleared,omitempty"`         // hold_down and failback were ended by an operator
	SlowStart        time.Time     `json:"slow_start_since,omitzero"` // when slow start began; zero: it is over
	Response         time.Duration `json:"response,omitempty"`        // see [Turn], in nanoseconds
	Held             bool          `json:"detained,omitempty"`        // something held it down that outlasts silence
	Lease            time.Time     `json:"lease_until,omitzero"`      // push: when the last report holds no more
}

// savedTargets are what was remembered of targets that nobody has watched yet.
type savedTargets map[identity]SavedTarget

// saveRequest takes over what can be true at now; the others are counted in the
// log, with the first fault.
func saveRequest(all []SavedTarget, now time.Time, log *slog.Logger) savedTargets {
	kept := make(savedTargets)
	var first error
	for _, m := range all {
		id, err := m.identity()
		if err == nil {
			m = m.adjustClock(now)
			err = m.validate(now)
		}
		if err == nil {
			kept[id] = m
		} else if first == nil {
			first = fmt.Errorf("check %q, address %v: %w", m.Check, m.Address, err)
		}
	}
	if first != nil {
		log.Warn("remembered verdicts ignored", "ignored", len(all)-len(kept), "of", len(all), "first", first)
	}
	return kept
}

func (m *SavedTarget) identity() (identity, error) {
	var d fingerprint
	digest, err := hex.DecodeString(m.Fingerprint)
	if err != nil || len(digest) != len(d) {
		return identity{}, fmt.Errorf("definition %q is not %d hexadecimal digits", m.Fingerprint, 2*len(d))
	}
	if !m.Address.IsValid() {
		return identity{}, errors.New("no address")
	}
	return identity{fingerprint(digest), m.Address.Unmap()}, nil
}

// adjustClock is m by a clock that says now. Where m is from the future the clock was set
// back, and all of m moves with it; what is still in the future then is of now.
func (m SavedTarget) adjustClock(now time.Time) SavedTarget {
	ahead := max(0, m.At.Sub(now))
	m.Transitions = slices.Clone(m.Transitions)
	for _, t := range []*time.Time{&m.HeldUntil, &m.Lease} {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
	past := []*time.Time{&m.At, &m.Since, &m.LastResultAt, &m.StreakSince, &m.SlowStart}
	for i := range m.Transitions {
		past = append(past, &m.Transitions[i])
	}
	for _, t := range past {
		if t.IsZero() {
			continue
		}
		if *t = t.Add(-ahead); t.After(now) {
			*t = now
		}
	}
	return m
}

// validate says what of m cannot be, or is too old, at now.
func (m *SavedTarget) validate(now time.Time) error {
	_, known := verdictNamed(m.Verdict)
	_, heard := outcomeNamed(m.Last)
	age := maxSavedAge
	if m.Held {
		age = holdAge
	}
	switch {
	case !known:
		return fmt.Errorf("verdict %q, want up or down", m.Verdict)
	case !heard:
		return fmt.Errorf("last result %q, want passed or failed", m.Last)
	case now.Sub(m.At) > age:
		return fmt.Errorf("it is of %s, more than %s ago", m.At.Format(time.RFC3339), span(age))
	case m.Since.IsZero() || m.LastResultAt.IsZero():
		return errors.New("no time when the verdict turned, or none when a result came")
	case m.Streak < 1 || m.Streak > maxStreak:
		return fmt.Errorf("row of %d", m.Streak)
	case m.Hold < 0 || m.Response < 0 || m.Latency < 0:
		return errors.New("a negative duration")
	}
	return nil
}

func verdictNamed(s string) (v Verdict, ok bool) {
	for _, v := range []Verdict{Up, Down} {
		if s == v.String() {
			return v, true
		}
	}
	return Unknown, false
}

func outcomeNamed(s string) (o Outcome, ok bool) {
	for _, o := range []Outcome{Passed, Failed} {
		if s == o.String() {
			return o, true
		}
	}
	return Inconclusive, false
}

// restore gives e, of which nothing else is known, what m remembers of it, if
// that can be of its check.
func (e *targetState) restore(m SavedTarget, now time.Time) {
	c := e.prepared.check
	own := m.Fingerprint == hex.EncodeToString(e.fingerprint[:])
	if own && (m.HeldUntil.Sub(now) > c.FlapDamping.Max || len(m.Transitions) >= max(1, c.FlapDamping.Turns)) {
		m.Transitions, m.Hold, m.HeldUntil = nil, 0, time.Time{}
	}
	t := m.verdictState().rebase(now, c)
	left := m.Lease.Sub(now)
	reported := c.Type == config.Push && left > 0 && left <= maxLease
	until, detained := t.heldUntil(now, c)
	switch {
	case detained:
	case c.Type == config.Push && !reported, now.Sub(m.At) > maxSavedAge:
		return
	}
	e.verdict, e.damped = t, t.dampedOnly(now, c)
	if c.Type == config.Push {
		e.lease = until
	}
	if reported {
		e.lease = m.Lease
	}
	e.changedBy = m.cause()
	e.cause = e.changedBy
	if m.Provisional || now.Sub(m.LastResultAt) > staleAfter(c) || c.Type == config.Push && !reported {
		e.verdict.staleSince, e.verdict.provisional = now, true
		e.cause.Reason = "remembered: " + strings.TrimPrefix(m.Reason, "remembered: ")
	}
	e.response.smoothed = m.Response
	e.held = e.verdict.visibleHold(now, c)
}

// verdictState is what m has of one.
func (m *SavedTarget) verdictState() verdictState {
	verdict, _ := verdictNamed(m.Verdict)
	last, _ := outcomeNamed(m.Last)
	return verdictState{
		verdict: verdict, since: m.Since, lastResultAt: m.LastResultAt,
		last: last, streak: m.Streak, streakSince: m.StreakSince,
		damping:     damping{turns: slices.Clone(m.Transitions), hold: m.Hold, until: m.HeldUntil},
		provisional: m.Provisional, cleared: m.Cleared, slowStartSince: m.SlowStart,
	}
}

// cause is what m has of the result that made the verdict.
func (m *SavedTarget) cause() Result {
	return Result{Reason: m.Reason, Latency: m.Latency, At: m.Since}
}

// save is what a later process may know of e; it reports false where there is nothing.
func (e *targetState) save(now time.Time) (m SavedTarget, ok bool) {
	t := &e.verdict
	if t.verdict == Unknown || len(e.parts) > 0 { // composites are derived anew
		return SavedTarget{}, false
	}
	_, detained := t.heldUntil(now, e.prepared.check)
	m = SavedTarget{
		Check: e.name(), Fingerprint: hex.EncodeToString(e.fingerprint[:]),
		ProbeFingerprint: hex.EncodeToString(e.prepared.probeFingerprint[:]), Address: e.addr, At: now,
		Verdict: t.verdict.String(), Since: t.since, LastResultAt: t.lastResultAt,
		Reason: e.changedBy.Reason, Latency: e.changedBy.Latency,
		Last: t.last.String(), Streak: min(t.streak, maxStreak), StreakSince: t.streakSince,
		Transitions: slices.Clone(t.damping.turns), Hold: t.damping.hold, HeldUntil: t.damping.until,
		Provisional: t.provisional, Cleared: t.cleared, SlowStart: t.slowStartSince, Response: e.response.smoothed, Held: detained,
	}
	if t.staleSince.IsZero() { // else nothing reported holds
		m.Lease = e.lease
	}
	return m, true
}

// Save is a copy of what the prober knows of every target that has a
// verdict, those included that were remembered and not watched yet, ordered by
// address; nil when the prober has stopped, or hangs.
func (p *Prober) Save() []SavedTarget {
	var all []SavedTarget
	ran := p.call(func(o *scheduler) {
		now := time.Now()
		for _, e := range o.entries {
			if m, ok := e.save(now); ok {
				all = append(all, m)
			}
		}
		for _, m := range o.saved {
			all = append(all, m)
		}
	})
	if !ran {
		return nil
	}
	slices.SortFunc(all, func(a, b SavedTarget) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all
}

// Changes delivers after something changed that [Prober.Remember] tells and
// that a later process should know: a verdict, a hold, what an operator
// cleared. It delivers once for any number of changes since the last time, to
// one receiver; counts and times that move with every probe are no change.
func (p *Prober) Changes() <-chan struct{} { return p.changes }

// changed lets Changes deliver.
func (p *Prober) changed() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}
