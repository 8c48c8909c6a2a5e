package health

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// ProbeID identifies a target on all vantages of a cluster: a digest of the name of its check, its address, and the version
// of what is probed. Thresholds, schedules, source addresses and files of a vantage do not count.
type ProbeID uint64

// ReasonCode is a reason of an opinion, short enough to publish.
type ReasonCode uint8

// The reason codes.
const (
	NoReason ReasonCode = iota
	ProbePassed
	ProbeFailed
	ProbeTimedOut
	NoResult // no recent conclusive result
)

func (r ReasonCode) String() string {
	if int(r) < len(reasonCodes) {
		return reasonCodes[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

var reasonCodes = [...]string{"no reason", "passed", "failed", "timeout", "no result"}

// Opinion is what this node, as a vantage, finds of a shared target by rise and fall.
type Opinion struct {
	ID ProbeID
	Target
	Verdict Verdict   // Up or Down; Unknown: it has no recent result
	Since   time.Time // when Verdict began; zero: never
	Reason  ReasonCode
	Gone    bool // the target is not probed any more
}

// Agreement is what the vantages of a cluster agree on for a target.
type Agreement struct {
	ID        ProbeID
	Verdict   Verdict // Up or Down
	Uncertain bool    // too few vantages vote: the state before holds, and Verdict does not count
	Reason    string
	Votes     map[string]Verdict // by region; Unknown: it does not vote. Immutable.
}

// Shares reports whether the vantages of a cluster decide together about targets of c. An exec check and a socket are of
// one machine, a report is made to one node, and a composite follows its parts.
func Shares(c *config.Check) bool {
	return c.Type != config.Exec && c.Type != config.Push && !c.Type.Composite() && c.Unix == "" && c.Quorum.Preset != config.LocalPreset
}

// IDOf returns the identity of a target on all vantages.
func IDOf(c *config.Check, addr netip.Addr) ProbeID {
	plain := *probeFields(c)
	plain.Sources, plain.TLS.CA, plain.TLS.Cert, plain.TLS.Key = nil, "", "", ""
	version := fingerprintOf(&plain, [sha256.Size]byte{})
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %v %x", c.Name, addr.Unmap(), version))
	return ProbeID(binary.BigEndian.Uint64(sum[:]))
}

// Agree applies what the vantages agree on. An agreement about a target that is not shared is ignored. It returns false if
// the prober is stopped or stalled.
func (p *Prober) Agree(agreements []Agreement) bool {
	return p.call(func(o *scheduler) {
		now := time.Now()
		for _, a := range agreements {
			all := o.shared[a.ID]
			if len(all) > 0 {
				o.agreements[a.ID] = a
			}
			for _, e := range all {
				o.agree(e, a, now)
			}
		}
		o.notify()
	})
}

// identify sets the identity of e, which is new, on all vantages, if they decide about it.
func (o *scheduler) identify(e *targetState) {
	if o.opinions != nil && Shares(e.prepared.check) {
		e.id = IDOf(e.prepared.check, e.addr)
	}
}

// isShared reports whether the vantages decide about e.
func (e *targetState) isShared() bool { return e.id != 0 }

// share makes e, which is new, a shared target if the vantages decide about it.
func (o *scheduler) share(e *targetState, now time.Time) {
	if !e.isShared() {
		return
	}
	if e.verdict.provisional { // its results are of another probe, or old
		e.verdict.opinion = opinion{}
	}
	e.verdict.agreement.shared = true
	o.shared[e.id] = append(o.shared[e.id], e)
	o.publishAs(e, false)
	if a, ok := o.agreements[e.id]; ok {
		o.agree(e, a, now)
	}
}

// unshare ends the opinion of e, which is dropped. During a reload another target may have the same identity.
func (o *scheduler) unshare(e *targetState) {
	if !e.isShared() {
		return
	}
	left := o.shared[e.id][:0]
	for _, other := range o.shared[e.id] {
		if other != e {
			left = append(left, other)
		}
	}
	if len(left) > 0 {
		o.shared[e.id] = left
		o.publishAs(left[len(left)-1], false)
		return
	}
	delete(o.shared, e.id)
	delete(o.agreements, e.id)
	o.publishAs(e, true)
}

// agree applies an agreement to e.
func (o *scheduler) agree(e *targetState, a Agreement, now time.Time) {
	e.agreed = &a
	c := e.prepared.check
	o.setState(e, e.verdict.agree(a.Verdict, a.Uncertain, now, c), e.agreedCause(now), now)
	if is, _ := e.verdict.effective(); is == Uncertain && a.Uncertain { // the votes can change without a change of the state
		e.cause.Reason = a.Reason
	}
	if a.Uncertain && e.awaitingFirst() { // the vote may take long, and an unknown target counts as up
		o.markSettled(e)
	}
	o.awaitConfirm(e, now)
}

// awaitConfirm makes decideShared run when the agreement about e is confirmed, if it is not.
func (o *scheduler) awaitConfirm(e *targetState, now time.Time) {
	c := e.prepared.check
	f := e.verdict.finding(now, c)
	if f.verdict == Unknown || f.enough {
		return
	}
	if at := f.since.Add(c.Confirm); o.decideAt.IsZero() || at.Before(o.decideAt) {
		o.decideAt = at
	}
}

// agreedCause returns the agreement as the cause of a health state.
func (e *targetState) agreedCause(now time.Time) probe.Result {
	if e.agreed == nil {
		return probe.Result{At: now}
	}
	r := probe.Result{Reason: e.agreed.Reason, Latency: e.response.smoothed, At: now}
	switch {
	case e.agreed.Uncertain:
	case e.agreed.Verdict == Up:
		r.Outcome = probe.Passed
	default:
		r.Outcome = probe.Failed
	}
	return r
}

// decideShared applies what time alone changes of shared targets: the end of confirm and of holds.
func (o *scheduler) decideShared(now time.Time) {
	o.decideAt = time.Time{}
	for _, all := range o.shared {
		for _, e := range all {
			o.setState(e, e.verdict.decide(now, e.prepared.check), e.agreedCause(now), now)
			o.awaitConfirm(e, now)
		}
	}
}

// publish reports e's opinion if it has changed.
func (o *scheduler) publish(e *targetState) {
	if e.verdict.agreement.shared && e.verdict.opinion != e.published {
		o.publishAs(e, false)
	}
}

func (o *scheduler) publishAs(e *targetState, gone bool) {
	e.published = e.verdict.opinion
	o.opinions(Opinion{
		ID: e.id, Target: Target{e.prepared.check, e.addr}, Verdict: e.published.verdict, Since: e.published.since,
		Reason: e.reasonCode(), Gone: gone,
	})
}

// reasonCode returns the reason of e's opinion.
func (e *targetState) reasonCode() ReasonCode {
	last := e.history.results()
	switch {
	case e.published.since.IsZero():
		return NoReason
	case e.published.verdict == Unknown:
		return NoResult
	case e.published.verdict == Up:
		return ProbePassed
	case len(last) > 0 && last[0].TimedOut:
		return ProbeTimedOut
	}
	return ProbeFailed
}
