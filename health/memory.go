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
	memoryAge = 24 * time.Hour
	holdAge   = 90 * 24 * time.Hour
)

// maxRow bounds a row that is remembered; no threshold is beyond it.
const maxRow = 1 << 20

// Memory is what the prober remembers of a target from one process to the next.
// It is made for JSON: fields may be added, none changes its meaning. What is
// read back is not trusted: a memory with impossible values is ignored.
type Memory struct {
	Check      string        `json:"check"`            // the name, for who reads the file
	Definition string        `json:"definition"`       // with Address the target: a digest of all that the check is, in hexadecimal
	Probed     string        `json:"probed,omitempty"` // a digest of what of it is probed, thresholds and times left out
	Address    netip.Addr    `json:"address"`
	At         time.Time     `json:"at"`      // when all this was so
	Verdict    string        `json:"verdict"` // up or down: what answers went by
	Since      time.Time     `json:"since"`   // when the verdict turned
	Heard      time.Time     `json:"heard"`   // when the last conclusive result came
	Reason     string        `json:"reason"`  // of the probe that turned it
	Latency    time.Duration `json:"latency"` // of that probe, in nanoseconds
	Last       string        `json:"last"`    // passed or failed: the last conclusive result
	Row        int           `json:"row"`     // how many of them came in a row
	RowSince   time.Time     `json:"row_since"`
	Turns      []time.Time   `json:"turns,omitempty"`           // those that count towards flap damping
	Hold       time.Duration `json:"hold,omitempty"`            // how long the last hold of flap damping is or was, in nanoseconds
	HeldUntil  time.Time     `json:"held_until,omitzero"`       // when it ends or ended
	Doubted    bool          `json:"doubted,omitempty"`         // the row is of another check, or from too long ago: it begins anew
	Cleared    bool          `json:"cleared,omitempty"`         // hold_down and failback were ended by an operator
	SlowStart  time.Time     `json:"slow_start_since,omitzero"` // when slow start began; zero: it is over
	Response   time.Duration `json:"response,omitempty"`        // see [Turn], in nanoseconds
	Detained   bool          `json:"detained,omitempty"`        // something held it down that outlasts silence
	Lease      time.Time     `json:"lease_until,omitzero"`      // push: when the last report holds no more
}

// memories are what was remembered of targets that nobody has watched yet.
type memories map[identity]Memory

// remembered takes over what can be true at now; the others are counted in the
// log, with the first fault.
func remembered(all []Memory, now time.Time, log *slog.Logger) memories {
	kept := make(memories)
	var first error
	for _, m := range all {
		id, err := m.identity()
		if err == nil {
			m = m.by(now)
			err = m.possible(now)
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

func (m *Memory) identity() (identity, error) {
	var d definition
	digest, err := hex.DecodeString(m.Definition)
	if err != nil || len(digest) != len(d) {
		return identity{}, fmt.Errorf("definition %q is not %d hexadecimal digits", m.Definition, 2*len(d))
	}
	if !m.Address.IsValid() {
		return identity{}, errors.New("no address")
	}
	return identity{definition(digest), m.Address.Unmap()}, nil
}

// by is m by a clock that says now. Where m is from the future the clock was set
// back, and all of m moves with it; what is still in the future then is of now.
func (m Memory) by(now time.Time) Memory {
	ahead := max(0, m.At.Sub(now))
	m.Turns = slices.Clone(m.Turns)
	for _, t := range []*time.Time{&m.HeldUntil, &m.Lease} {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
	past := []*time.Time{&m.At, &m.Since, &m.Heard, &m.RowSince, &m.SlowStart}
	for i := range m.Turns {
		past = append(past, &m.Turns[i])
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

// possible says what of m cannot be, or is too old, at now.
func (m *Memory) possible(now time.Time) error {
	_, known := verdictNamed(m.Verdict)
	_, heard := outcomeNamed(m.Last)
	age := memoryAge
	if m.Detained {
		age = holdAge
	}
	switch {
	case !known:
		return fmt.Errorf("verdict %q, want up or down", m.Verdict)
	case !heard:
		return fmt.Errorf("last result %q, want passed or failed", m.Last)
	case now.Sub(m.At) > age:
		return fmt.Errorf("it is of %s, more than %s ago", m.At.Format(time.RFC3339), span(age))
	case m.Since.IsZero() || m.Heard.IsZero():
		return errors.New("no time when the verdict turned, or none when a result came")
	case m.Row < 1 || m.Row > maxRow:
		return fmt.Errorf("row of %d", m.Row)
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

// recall gives e, of which nothing else is known, what m remembers of it, if
// that can be of its check.
func (e *entry) recall(m Memory, now time.Time) {
	c := e.checker.check
	own := m.Definition == hex.EncodeToString(e.definition[:])
	if own && (m.HeldUntil.Sub(now) > c.FlapDamping.Max || len(m.Turns) >= max(1, c.FlapDamping.Turns)) {
		m.Turns, m.Hold, m.HeldUntil = nil, 0, time.Time{}
	}
	t := m.tally().judged(now, c)
	left := m.Lease.Sub(now)
	reported := c.Type == config.Push && left > 0 && left <= maxLease
	until, detained := t.detained(now, c)
	switch {
	case detained:
	case c.Type == config.Push && !reported, now.Sub(m.At) > memoryAge:
		return
	}
	e.tally, e.damped = t, t.dampedOnly(now, c)
	if c.Type == config.Push {
		e.lease = until
	}
	if reported {
		e.lease = m.Lease
	}
	e.turnedBy = m.cause()
	e.cause = e.turnedBy
	if m.Doubted || now.Sub(m.Heard) > patience(c) || c.Type == config.Push && !reported {
		e.tally.lost, e.tally.doubted = now, true
		e.cause.Reason = "remembered: " + strings.TrimPrefix(m.Reason, "remembered: ")
	}
	e.response.smoothed = m.Response
	e.held = e.tally.holds(now, c)
}

// tally is what m has of one.
func (m *Memory) tally() tally {
	verdict, _ := verdictNamed(m.Verdict)
	last, _ := outcomeNamed(m.Last)
	return tally{
		verdict: verdict, since: m.Since, heard: m.Heard,
		last: last, row: m.Row, rowSince: m.RowSince,
		damping: damping{turns: slices.Clone(m.Turns), hold: m.Hold, until: m.HeldUntil},
		doubted: m.Doubted, cleared: m.Cleared, ramp: m.SlowStart,
	}
}

// cause is what m has of the result that made the verdict.
func (m *Memory) cause() Result {
	return Result{Reason: m.Reason, Latency: m.Latency, At: m.Since}
}

// remember is what a later process may know of e; it reports false where there is nothing.
func (e *entry) remember(now time.Time) (m Memory, ok bool) {
	t := &e.tally
	if t.verdict == Unknown || len(e.parts) > 0 { // composites are derived anew
		return Memory{}, false
	}
	_, detained := t.detained(now, e.checker.check)
	m = Memory{
		Check: e.name(), Definition: hex.EncodeToString(e.definition[:]),
		Probed: hex.EncodeToString(e.checker.probed[:]), Address: e.addr, At: now,
		Verdict: t.verdict.String(), Since: t.since, Heard: t.heard,
		Reason: e.turnedBy.Reason, Latency: e.turnedBy.Latency,
		Last: t.last.String(), Row: min(t.row, maxRow), RowSince: t.rowSince,
		Turns: slices.Clone(t.damping.turns), Hold: t.damping.hold, HeldUntil: t.damping.until,
		Doubted: t.doubted, Cleared: t.cleared, SlowStart: t.ramp, Response: e.response.smoothed, Detained: detained,
	}
	if t.lost.IsZero() { // else nothing reported holds
		m.Lease = e.lease
	}
	return m, true
}

// Remember is a copy of what the prober knows of every target that has a
// verdict, those included that were remembered and not watched yet, ordered by
// address; nil when the prober has stopped, or hangs.
func (p *Prober) Remember() []Memory {
	var all []Memory
	ran := p.call(func(o *owner) {
		now := time.Now()
		for _, e := range o.entries {
			if m, ok := e.remember(now); ok {
				all = append(all, m)
			}
		}
		for _, m := range o.memories {
			all = append(all, m)
		}
	})
	if !ran {
		return nil
	}
	slices.SortFunc(all, func(a, b Memory) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Definition, b.Definition))
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
