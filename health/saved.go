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
	"meridian/health/probe"
)

// The maximum age of saved state: of a verdict, and of a held target, which an operator may clear much later.
const (
	maxSavedAge = 24 * time.Hour
	maxHoldAge  = 90 * 24 * time.Hour
)

// maxStreak bounds a saved streak; no threshold exceeds it.
const maxStreak = 1 << 20

// SavedTarget is the state of a target that survives a restart. It is stored as JSON: fields may be added, and none changes
// its meaning. It is validated when read: impossible values are ignored.
type SavedTarget struct {
	Check            string        `json:"check"`                      // the name, for readers of the file
	Fingerprint      string        `json:"definition"`                 // with Address the identity of the target: a digest of the check, in hexadecimal
	ProbeFingerprint string        `json:"probe_definition,omitempty"` // a digest of the probed part of the check, without thresholds and times
	Address          netip.Addr    `json:"address"`
	At               time.Time     `json:"at"`             // when this state was saved
	Verdict          string        `json:"verdict"`        // up or down: the state that answers used
	Since            time.Time     `json:"since"`          // when the verdict changed
	LastResultAt     time.Time     `json:"last_result_at"` // when the last conclusive result came
	Reason           string        `json:"reason"`         // of the probe that changed the verdict
	Latency          time.Duration `json:"latency"`        // of that probe, in nanoseconds
	Last             string        `json:"last"`           // passed or failed: the last conclusive result
	Streak           int           `json:"streak"`         // consecutive results equal to it
	StreakSince      time.Time     `json:"streak_since"`
	Transitions      []time.Time   `json:"transitions,omitempty"`     // those that count towards flap damping
	Hold             time.Duration `json:"hold,omitempty"`            // the length of the last hold of flap damping, in nanoseconds
	HeldUntil        time.Time     `json:"held_until,omitzero"`       // when it ends or ended
	Provisional      bool          `json:"provisional,omitempty"`     // the streak is of another check, or too old: the next result starts a new one
	Cleared          bool          `json:"cleared,omitempty"`         // an operator ended hold_down and failback
	SlowStart        time.Time     `json:"slow_start_since,omitzero"` // when slow start began; zero: it is over
	Response         time.Duration `json:"response,omitempty"`        // see [Transition], in nanoseconds
	Held             bool          `json:"held,omitempty"`            // it was held down even without results
	Lease            time.Time     `json:"lease_until,omitzero"`      // push: when the last report expires
}

// savedTargets holds the saved state of targets that have no watch yet.
type savedTargets map[identity]SavedTarget

// loadSaved returns the entries of all that are valid at now; it logs the number of the others, and the first error.
func loadSaved(all []SavedTarget, now time.Time, log *slog.Logger) savedTargets {
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
		log.Warn("saved health states ignored", "ignored", len(all)-len(kept), "of", len(all), "first", first)
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

// adjustClock adapts m to a clock that reads now. If m is from the future, the clock was set back, and all times of m move
// with it; any time that is still in the future becomes now.
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

// validate reports the impossible or too old values of m at now.
func (m *SavedTarget) validate(now time.Time) error {
	_, validVerdict := parseVerdict(m.Verdict)
	_, validLast := parseOutcome(m.Last)
	age := maxSavedAge
	if m.Held {
		age = maxHoldAge
	}
	switch {
	case !validVerdict:
		return fmt.Errorf("verdict %q, want up or down", m.Verdict)
	case !validLast:
		return fmt.Errorf("last result %q, want passed or failed", m.Last)
	case now.Sub(m.At) > age:
		return fmt.Errorf("saved at %s, more than %s ago", m.At.Format(time.RFC3339), config.FormatDuration(age))
	case m.Since.IsZero() || m.LastResultAt.IsZero():
		return errors.New("no time of the last state change or of the last result")
	case m.Streak < 1 || m.Streak > maxStreak:
		return fmt.Errorf("streak of %d", m.Streak)
	case m.Hold < 0 || m.Response < 0 || m.Latency < 0:
		return errors.New("a negative duration")
	}
	return nil
}

func parseVerdict(s string) (v Verdict, ok bool) {
	for _, v := range []Verdict{Up, Down} {
		if s == v.String() {
			return v, true
		}
	}
	return Unknown, false
}

func parseOutcome(s string) (o probe.Outcome, ok bool) {
	for _, o := range []probe.Outcome{probe.Passed, probe.Failed} {
		if s == o.String() {
			return o, true
		}
	}
	return probe.Inconclusive, false
}

// restore sets the state of e, which is new, from m, if that is still valid for its check.
func (e *targetState) restore(m SavedTarget, now time.Time) {
	c := e.prepared.check
	if m.Fingerprint == hex.EncodeToString(e.fingerprint[:]) {
		m.dropImpossibleHold(c, now)
	}
	t := m.verdictState().rebase(now, c)
	push, reported := c.Type == config.Push, m.reported(c, now)
	until, held := t.heldUntil(now, c)
	if !held && (push && !reported || now.Sub(m.At) > maxSavedAge) {
		return
	}
	e.verdict, e.damped = t, t.dampedOnly(now, c)
	switch {
	case reported:
		e.lease = m.Lease
	case push:
		e.lease = until
	}
	e.changedBy = m.cause()
	e.cause = e.changedBy
	if m.Provisional || now.Sub(m.LastResultAt) > staleAfter(c) || push && !reported {
		e.verdict.staleSince, e.verdict.provisional = now, true
		e.cause.Reason = "restored: " + strings.TrimPrefix(m.Reason, "restored: ")
	} else {
		e.verdict.opinion = e.verdict.results.opinion(c)
	}
	e.response.smoothed = m.Response
	e.held = e.verdict.visibleHold(now, c)
}

// dropImpossibleHold removes the flap damping of m if its check c cannot have caused it.
func (m *SavedTarget) dropImpossibleHold(c *config.Check, now time.Time) {
	if m.HeldUntil.Sub(now) > c.FlapDamping.Max || len(m.Transitions) >= max(1, c.FlapDamping.Turns) {
		m.Transitions, m.Hold, m.HeldUntil = nil, 0, time.Time{}
	}
}

// reported reports whether m holds a report for a push check with a lease that has not ended.
func (m *SavedTarget) reported(c *config.Check, now time.Time) bool {
	left := m.Lease.Sub(now)
	return c.Type == config.Push && left > 0 && left <= maxLease
}

// verdictState returns the saved verdict state.
func (m *SavedTarget) verdictState() verdictState {
	verdict, _ := parseVerdict(m.Verdict)
	last, _ := parseOutcome(m.Last)
	return verdictState{
		verdict: verdict, since: m.Since,
		results: results{lastResultAt: m.LastResultAt, last: last, streak: m.Streak, streakSince: m.StreakSince, provisional: m.Provisional},
		damping: damping{transitions: slices.Clone(m.Transitions), hold: m.Hold, until: m.HeldUntil},
		cleared: m.Cleared, slowStartSince: m.SlowStart,
	}
}

// cause returns the saved result that made the verdict.
func (m *SavedTarget) cause() probe.Result {
	return probe.Result{Reason: m.Reason, Latency: m.Latency, At: m.Since}
}

// save returns the state of e for a later process; false if there is none.
func (e *targetState) save(now time.Time) (m SavedTarget, ok bool) {
	t := &e.verdict
	if t.verdict == Unknown || len(e.parts) > 0 { // composites are recomputed
		return SavedTarget{}, false
	}
	_, held := t.heldUntil(now, e.prepared.check)
	m = SavedTarget{
		Check: e.name(), Fingerprint: hex.EncodeToString(e.fingerprint[:]),
		ProbeFingerprint: hex.EncodeToString(e.prepared.probeFingerprint[:]), Address: e.addr, At: now,
		Verdict: t.verdict.String(), Since: t.since, LastResultAt: t.lastResultAt,
		Reason: e.changedBy.Reason, Latency: e.changedBy.Latency,
		Last: t.last.String(), Streak: min(t.streak, maxStreak), StreakSince: t.streakSince,
		Transitions: slices.Clone(t.damping.transitions), Hold: t.damping.hold, HeldUntil: t.damping.until,
		Provisional: t.provisional, Cleared: t.cleared, SlowStart: t.slowStartSince, Response: e.response.smoothed, Held: held,
	}
	if t.staleSince.IsZero() { // else the report has expired
		m.Lease = e.lease
	}
	return m, true
}

// Save returns a copy of the state of every target that has a verdict, saved targets without a watch included, ordered by
// address; nil while the prober is stopped or stalled.
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

// Changes delivers after a change of state that [Prober.Save] returns and a later process needs: a verdict, a hold, an
// operator's clear. It delivers once for any number of changes since the last time, to one receiver; counts and times that
// change with every probe do not count.
func (p *Prober) Changes() <-chan struct{} { return p.changes }

// changed signals Changes.
func (p *Prober) changed() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}
