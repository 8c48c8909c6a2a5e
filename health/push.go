package health

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
	"meridian/errtext"
	"meridian/health/probe"
)

// The range of a lease.
const (
	minLease = time.Second
	maxLease = 24 * time.Hour
)

// ErrNoPush is wrapped in the error of Report for an unknown target.
var ErrNoPush = errors.New("no such push target")

// reportKey is the subject of a report.
type reportKey struct {
	check string
	addr  netip.Addr
}

// Report records an outside system's result for a target of a push check, in place of a probe: it counts as one result. It
// is valid for the lease, 1s to 24h; 0 selects that of the check. When the lease expires without another report the verdict
// becomes unknown; a target that is held down becomes uncertain, and stays down, until the hold ends.
//
// An error that is [ErrNoPush] says that no watch has such a target, and lists the known ones; other errors: the lease is
// out of range, or the prober is stopped or stalled.
func (p *Prober) Report(check string, addr netip.Addr, up bool, reason string, lease time.Duration) error {
	if lease != 0 && (lease < minLease || lease > maxLease) {
		return fmt.Errorf("reporting: lease %s is out of range; %s to %s", config.FormatDuration(lease), config.FormatDuration(minLease), config.FormatDuration(maxLease))
	}
	r := probe.Result{Outcome: probe.Passed, Reason: probe.Printable(reason)}
	if !up {
		r.Outcome = probe.Failed
	}
	if reason == "" {
		r.Reason = "reported " + verdictOf(up).String()
	}
	var err error
	if !p.call(func(o *scheduler) { err = o.applyReport(reportKey{check, addr.Unmap()}, r, lease, time.Now()) }) {
		return errors.New("reporting: the prober is stopped, stalled or panicked on the call; see the log")
	}
	return err
}

// applyReport applies a report. During a reload a changed check has two targets of one name, and the report applies to
// both.
func (o *scheduler) applyReport(of reportKey, r probe.Result, lease time.Duration, now time.Time) error {
	targets := o.pushTargets[of]
	if len(targets) == 0 {
		return fmt.Errorf("reporting: %w: %s", ErrNoPush, o.describeKnown(of))
	}
	r.At = now
	for _, e := range targets {
		o.applyResult(e, r, now)
		e.lease = now.Add(lease)
		if lease == 0 {
			e.lease = now.Add(e.prepared.check.Lease)
		}
		o.leases.remove(e)
		o.leases.add(e, e.lease)
	}
	o.notify() // the caller sees the report applied
	return nil
}

// describeKnown describes the known push targets, for an error about an unknown one.
func (o *scheduler) describeKnown(of reportKey) string {
	names, addrs := make(map[string]bool), make(map[string]bool)
	for p := range o.pushTargets {
		names[p.check] = true
		if p.check == of.check {
			addrs[p.addr.String()] = true
		}
	}
	switch {
	case len(addrs) > 0:
		return fmt.Sprintf("check %q does not watch %v; it watches %s", of.check, of.addr, errtext.List(slices.Sorted(maps.Keys(addrs))))
	case len(names) > 0:
		return fmt.Sprintf("no check %q of type push is in use; in use: %s", of.check, errtext.List(slices.Sorted(maps.Keys(names))))
	}
	return fmt.Sprintf("no check %q of type push is in use, and no other push check", of.check)
}

// expire applies the end of e's lease: the verdict becomes unknown, now or when no hold keeps it down.
func (o *scheduler) expire(e *targetState, now time.Time) {
	r := probe.Result{Reason: "no report for " + config.FormatDuration(now.Sub(e.verdict.lastResultAt).Round(time.Second)), At: now}
	t, until := e.verdict.expireLease(now, e.prepared.check)
	e.lease = until
	o.setState(e, t, r, now)
	o.schedule(e)
}

// reportKey returns the key by which reports find e; false if it is not a push check.
func (e *targetState) reportKey() (reportKey, bool) {
	c := e.prepared.check
	return reportKey{c.Name, e.addr}, c.Type == config.Push
}
