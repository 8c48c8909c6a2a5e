package daemon

import (
	"context"
	"slices"
	"time"

	"meridian/control/event"
	"meridian/snapshot"
)

// The times between two looks at key files.
const (
	keyInterval      = time.Minute // another node may have changed them
	leastKeyInterval = time.Second // while keys change within seconds
)

// keyKeeper updates the keys of signed zones. The goroutine of serve uses it.
type keyKeeper struct {
	timer   *time.Timer
	asking  chan parentAnswers // nil: no questions are under way
	failure map[string]string
	overdue map[string]string // by zone: what its rollover waits for, if that was reported
	frozen  bool              // reported: the clock went back

	expiring map[string]bool // by presigned zone: that its signatures expire soon, or have expired, was reported
}

// parentAnswers is the result of the questions to parents.
type parentAnswers struct {
	asked bool // false: no zone was due
	err   error
}

func newKeyKeeper() *keyKeeper {
	return &keyKeeper{timer: time.NewTimer(leastKeyInterval), failure: map[string]string{}, overdue: map[string]string{}, expiring: map[string]bool{}}
}

// updateKeys signs with what the key files say now, and asks the parents in the background.
func (l *instance) updateKeys(ctx context.Context, k *keyKeeper) {
	wait := keyInterval
	defer func() { k.timer.Reset(wait) }()
	served := l.served()
	l.reportExpiring(k, served.SignedZones(time.Now()))
	signing := served.Signing
	if signing == nil {
		return
	}
	wait = max(leastKeyInterval, min(keyInterval, signing.LeastSafety()/2))
	now := time.Now()
	done, err := signing.UpdateKeys(now)
	l.reportUpdate(k, err)
	for _, c := range done.Changes {
		l.Logger.Info("DNSSEC key changed", "zone", c.Zone, "key", c.Key, "change", c.What)
		l.control.Events().Add(keyEvent(c))
	}
	zones := served.SignedZones(now)
	l.reportFrozen(k, zones)
	l.reportOverdue(k, zones)
	if !done.Next.IsZero() {
		wait = max(leastKeyInterval, min(wait, done.Next.Sub(now)))
	}
	if l.askParents(ctx, k, signing) {
		wait = leastKeyInterval
	}
}

// askParents starts the questions that are due, and reports the errors of the last ones. It reports whether results may
// come within seconds.
func (l *instance) askParents(ctx context.Context, k *keyKeeper, signing *snapshot.Signing) bool {
	select {
	case result := <-k.asking:
		k.asking = nil
		l.reportParents(k, result)
	default:
	}
	if k.asking == nil {
		result := make(chan parentAnswers, 1)
		go func() {
			asked, err := signing.AskParents(ctx, time.Now())
			result <- parentAnswers{asked, err}
		}()
		k.asking = result
	}
	return signing.Waits()
}

// differs remembers the error of an action, and reports whether it is another one than the last time.
func (k *keyKeeper) differs(action string, err error) bool {
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	last := k.failure[action]
	k.failure[action] = failure
	return failure != last
}

// reportUpdate logs an error of key files when it differs from the last one, and its end.
func (l *instance) reportUpdate(k *keyKeeper, err error) {
	switch {
	case !k.differs("update", err):
	case err == nil:
		l.Logger.Info("DNSSEC keys can be read again")
	default:
		l.Logger.Error("cannot update DNSSEC keys; the zone keeps the keys that it has", "error", err, "hint", "correct the key files before signatures expire")
	}
}

// reportParents does the same for the questions to parents.
func (l *instance) reportParents(k *keyKeeper, result parentAnswers) {
	switch err := result.err; {
	case !result.asked, !k.differs("ask", err):
	case err == nil:
		l.Logger.Info("the parent answers for DS records again")
	default:
		l.Logger.Error("cannot ask the parent for DS records; no old key is removed", "error", err, "hint", "correct dnssec.policies.NAME.parent.servers, or the connection to them")
	}
}

// reportFrozen logs once that the clock went back too far to change keys, and the end of it.
func (l *instance) reportFrozen(k *keyKeeper, zones []snapshot.ZoneKeys) {
	i := slices.IndexFunc(zones, func(z snapshot.ZoneKeys) bool { return z.Frozen })
	switch {
	case i >= 0 == k.frozen:
	case i >= 0:
		l.Logger.Error("no DNSSEC key is changed: the clock went back", "zone", zones[i].Zone, "waits_for", zones[i].Waits,
			"hint", "correct the clock; if the time seen before was wrong, remove the file clock in dnssec.keys")
	default:
		l.Logger.Info("DNSSEC keys are changed again: the clock is correct")
	}
	k.frozen = i >= 0
}

// reportOverdue reports each rollover that waits for the parent for too long, once.
func (l *instance) reportOverdue(k *keyKeeper, zones []snapshot.ZoneKeys) {
	overdue := map[string]string{}
	for i := range zones {
		z := &zones[i]
		if !z.Overdue {
			continue
		}
		overdue[z.Zone] = z.Waits
		if k.overdue[z.Zone] == z.Waits {
			continue
		}
		l.Logger.Error("DNSSEC rollover waits for the parent", "zone", z.Zone, "waits_for", z.Waits, "since", *z.Since,
			"hint", "check the DS records at the parent; meridian keys ds prints the one that it should have")
		l.control.Events().Add(event.Event{
			Kind: event.DNSSEC, Severity: event.Error, Subject: z.Zone,
			Message: "the rollover waits for " + z.Waits + " since " + z.Since.Format(time.RFC3339),
		})
	}
	k.overdue = overdue
}

// reportExpiring reports each presigned zone with signatures that expire soon or have expired, once each.
func (l *instance) reportExpiring(k *keyKeeper, zones []snapshot.ZoneKeys) {
	expiring := map[string]bool{}
	for i := range zones {
		z := &zones[i]
		if z.Expiring == "" {
			continue
		}
		expired := !time.Now().Before(z.Expires)
		expiring[z.Zone] = expired
		if before, known := k.expiring[z.Zone]; known && before == expired {
			continue
		}
		severity := event.Warning
		if expired {
			severity = event.Error
		}
		l.Logger.Error("signatures of a presigned zone expire", "zone", z.Zone, "expires", z.Expires, "hint", "sign the zone again and reload")
		l.control.Events().Add(event.Event{Kind: event.DNSSEC, Severity: severity, Subject: z.Zone, Message: z.Expiring})
	}
	k.expiring = expiring
}

func keyEvent(c snapshot.KeyChange) event.Event {
	return event.Event{Kind: event.DNSSEC, Severity: event.Info, Subject: c.Zone, Message: c.String()}
}
