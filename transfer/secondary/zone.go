package secondary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"meridian/dnsname"
	"meridian/zones"
)

const (
	notifyInterval = time.Second // between two checks that notifications start: a flood of them costs one question a second
	leastWait      = time.Second // of the times in an SOA record: a primary with zeros costs one question a second
	mostWait       = 28 * 24 * time.Hour
	mostFirstWait  = time.Minute // between two tries of a zone without a copy
)

// zone is a zone with its copy. Its goroutine runs run.
type zone struct {
	keeper   *Keeper
	cancel   context.CancelFunc
	wake     chan struct{} // something has changed: see due
	requests chan request
	ended    chan struct{} // closed when run has ended

	mu       sync.Mutex // guards the fields below
	settings Zone
	copy     *zones.Copy // nil: no primary has sent it
	expired  bool        // as it was reported
	due      time.Time   // of the next check
	tried    time.Time   // when the last check began; zero: none has
	checking bool        // a check runs
	failures int         // consecutive ones
	err      string      // of the last check; empty: it succeeded
}

// request is a command to check a zone now.
type request struct {
	How
	done chan error
}

func (z *zone) current() *zones.Copy {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.copy
}

// fails reports whether the last check failed.
func (z *zone) fails() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.err != ""
}

// change takes other settings. A zone whose last check failed is checked after wait: what it failed for may be corrected.
func (z *zone) change(w Zone, wait time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	same := slices.EqualFunc(z.settings.Primaries, w.Primaries, func(a, b Primary) bool { return a.Address == b.Address }) && z.settings.MaxSize == w.MaxSize
	returned := z.settings.Leaving && !w.Leaving
	z.settings = w
	if returned { // what failed until now was not reported
		z.failures = 0
	}
	switch {
	case !same, returned:
		z.dueLocked(time.Now())
	case z.err != "":
		z.dueLocked(time.Now().Add(wait))
	}
}

func (z *zone) notify() {
	z.mu.Lock()
	defer z.mu.Unlock()
	now := time.Now()
	if earliest := z.tried.Add(notifyInterval << min(z.failures, 6)); earliest.After(now) { // a zone that is refused costs a transfer
		now = earliest
	}
	z.dueLocked(now)
}

// dueLocked makes the next check due at a time, unless it is due before.
func (z *zone) dueLocked(at time.Time) {
	if !z.due.IsZero() && z.due.Before(at) {
		return
	}
	z.due = at
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// run checks the zone when it is due, until ctx ends.
func (z *zone) run(ctx context.Context) {
	for {
		timer := time.NewTimer(max(time.Millisecond, time.Until(z.nextTime())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case r := <-z.requests:
			r.done <- z.check(ctx, r.How)
		case <-z.wake:
		case <-timer.C:
		}
		timer.Stop()
		z.expire()
		if now := time.Now(); !now.Before(z.dueTime()) && ctx.Err() == nil {
			_ = z.check(ctx, How{}) // the status has the error
		}
	}
}

func (z *zone) dueTime() time.Time {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.due
}

// nextTime returns when the next check is due, or the copy expires.
func (z *zone) nextTime() time.Time {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.copy != nil && !z.expired {
		if at := z.copy.ExpiresAt(); at.Before(z.due) {
			return at
		}
	}
	return z.due
}

// expire reports a copy that has expired.
func (z *zone) expire() {
	z.mu.Lock()
	begins := z.copy != nil && !z.expired && z.copy.Expired(time.Now())
	z.expired = z.expired || begins
	why, since := z.err, time.Time{}
	if z.copy != nil {
		since = z.copy.Confirmed
	}
	z.mu.Unlock()
	if begins {
		z.keeper.changed()
		z.report(Error, "zone expired: it is answered SERVFAIL until a primary confirms or sends it", map[string]string{"confirmed": since.UTC().Format(time.RFC3339), "reason": why})
	}
}

func (z *zone) report(severity Severity, message string, fields map[string]string) {
	z.keeper.Report(Event{z.settingsNow().Name, severity, message, fields})
}

func (z *zone) settingsNow() Zone {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.settings
}

// check asks the primaries in turn until one confirms the copy, or sends a newer one.
func (z *zone) check(ctx context.Context, how How) error {
	z.mu.Lock()
	settings := z.settings
	z.tried, z.due, z.checking = time.Now(), time.Now().Add(mostWait), true
	z.mu.Unlock()
	defer z.endCheck()
	var err error
	queue, n := settings.Primaries, len(settings.Primaries)
	for i := 0; i < len(queue); i++ {
		p, last := &queue[i], i >= n || n == 1
		failed := z.ask(ctx, p, &settings, how, last)
		switch {
		case failed == nil:
			z.succeed()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(failed, errAway):
			queue = append(slices.Clip(queue), *p) // after the others
			continue
		}
		err = errors.Join(err, fmt.Errorf("%s: %w", p.Address, failed))
	}
	z.fail(err)
	return err
}

func (z *zone) endCheck() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.checking = false
}

// ask asks one primary. Unless it is the last one, it returns errAway for one that did not answer other zones a short time ago.
func (z *zone) ask(ctx context.Context, p *Primary, settings *Zone, how How, last bool) error {
	at := z.keeper.limits.of(p.Address)
	free, err := z.keeper.limits.take(ctx, at)
	if err != nil {
		return err
	}
	defer free()
	if !last && at.away(time.Now()) {
		return errAway
	}
	err = z.update(ctx, p, settings, how)
	if ctx.Err() == nil {
		at.note(!silent(err), time.Now())
	}
	return err
}

// update confirms the copy, or takes a newer one, with the answers of a primary.
func (z *zone) update(ctx context.Context, p *Primary, settings *Zone, how How) error {
	base := z.current() // nil: the whole zone is asked for
	if how.Force {
		base = nil
	}
	if base != nil {
		if current, err := z.isCurrent(ctx, p, settings.Name, base); current || err != nil {
			return err
		}
	}
	taken, err := z.keeper.fetch.transfer(ctx, p, settings.Name, base, settings.MaxSize)
	switch {
	case err != nil:
		return err
	case taken == nil:
		z.confirm()
		return nil
	case base != nil && !newer(taken.SOA.Serial, base.SOA.Serial):
		return fmt.Errorf("it announced a newer serial, and sent %d; ours is %d", taken.SOA.Serial, base.SOA.Serial)
	}
	return z.accept(taken, how.AllowRemoval)
}

// isCurrent asks a primary for its serial, and confirms the copy if it is that.
func (z *zone) isCurrent(ctx context.Context, p *Primary, name dnsname.Name, have *zones.Copy) (bool, error) {
	serial, err := z.keeper.fetch.serial(ctx, p, name)
	switch {
	case err != nil:
		return false, err
	case serial == have.SOA.Serial:
		z.confirm()
		return true, nil
	case !newer(serial, have.SOA.Serial):
		return false, fmt.Errorf("its serial %d is older than ours, %d; if that is right, meridian zone retransfer takes it", serial, have.SOA.Serial)
	}
	return false, nil
}

// confirm notes that a primary has the serial of the copy.
func (z *zone) confirm() {
	z.mu.Lock()
	confirmed := *z.copy
	confirmed.Confirmed = time.Now()
	z.copy = &confirmed
	returned := z.expired
	z.expired = false
	z.mu.Unlock()
	if err := touch(z.keeper.stateDir(), &confirmed); err != nil {
		z.logWrite(err)
	}
	if returned {
		z.keeper.changed()
		z.report(Info, "zone is served again: a primary has confirmed it", nil)
	}
}

// accept makes a transferred zone the copy, unless it is invalid.
func (z *zone) accept(taken *zones.Copy, allowRemoval bool) error {
	if check := z.keeper.Check; check != nil {
		if err := check(taken, allowRemoval); err != nil {
			return fmt.Errorf("serial %d is refused: %w", taken.SOA.Serial, err)
		}
	}
	if err := write(z.keeper.stateDir(), taken); err != nil {
		z.logWrite(err)
	}
	z.mu.Lock()
	z.copy, z.expired = taken, taken.Expired(time.Now())
	z.mu.Unlock()
	z.keeper.changed()
	z.report(Info, "zone transferred", map[string]string{
		"primary": taken.Primary, "serial": strconv.FormatUint(uint64(taken.SOA.Serial), 10), "records": strconv.Itoa(taken.Count()), "bytes": strconv.Itoa(taken.Size()),
	})
	return nil
}

func (z *zone) logWrite(err error) {
	z.keeper.Logger.Error("cannot write the copy of a zone; it is served, and after a restart transferred again", "zone", z.settingsNow().Name, "error", err)
}

// succeed notes a check that succeeded.
func (z *zone) succeed() {
	z.mu.Lock()
	z.failures, z.err = 0, ""
	z.dueLocked(time.Now().Add(z.waitLocked())) // a notification during the check may have made one due before
	z.mu.Unlock()
}

// fail notes a check in which no primary had an answer that is used. The first of several is an event, unless the zone is leaving.
func (z *zone) fail(err error) {
	z.mu.Lock()
	begins := z.failures == 0 && !z.settings.Leaving
	z.failures++
	z.err = err.Error()
	wait := z.waitLocked()
	z.dueLocked(time.Now().Add(wait)) // as in succeed
	z.mu.Unlock()
	if begins {
		z.report(Warning, "zone not refreshed: no primary has it in a usable form", map[string]string{"reason": err.Error(), "retry_in": wait.Round(time.Second).String()})
	}
}

// waitLocked returns the time until the next check, a tenth of it at random:
//
//	last check  copy  time
//	succeeded   yes   refresh of its SOA; half of expire if that is less
//	failed      yes   retry of its SOA, doubled with each failure, refresh at most
//	failed      no    1 second, doubled with each failure, a minute at most
func (z *zone) waitLocked() time.Duration {
	doubled := func(first, most time.Duration) time.Duration { return min(first<<min(max(z.failures-1, 0), 10), most) }
	if z.copy == nil {
		return z.jitter(doubled(leastWait, mostFirstWait))
	}
	soa := &z.copy.SOA
	refresh := min(seconds(soa.Refresh), seconds(soa.Expire)/2)
	refresh = max(refresh, leastWait)
	if z.failures == 0 {
		return z.jitter(refresh)
	}
	retry := seconds(soa.Retry)
	return z.jitter(doubled(retry, max(retry, refresh)))
}

// seconds returns a time of an SOA record within sensible limits.
func seconds(n uint32) time.Duration {
	return min(max(time.Duration(n)*time.Second, leastWait), mostWait)
}

func (z *zone) jitter(wait time.Duration) time.Duration {
	return wait - time.Duration(z.keeper.Jitter()*float64(wait)/10)
}

// Status is the state of a zone, as JSON.
type Status struct {
	Zone      dnsname.Name `json:"zone"`
	State     string       `json:"state"`             // ready, waiting (no primary has sent it yet), expired
	Primary   string       `json:"primary,omitempty"` // that sent the copy
	Serial    uint32       `json:"serial"`
	Confirmed time.Time    `json:"confirmed,omitzero"` // when a primary last had the serial of the copy
	Expires   time.Time    `json:"expires,omitzero"`
	Checking  bool         `json:"checking,omitempty"` // a check runs; there is then no time of the next one
	Next      time.Time    `json:"next_check,omitzero"`
	Failures  int          `json:"failures,omitempty"` // consecutive checks; none of a zone that has left its catalog
	Error     string       `json:"error,omitempty"`    // of the last check
}

// The states of a zone.
const (
	Ready   = "ready"
	Waiting = "waiting"
	Expired = "expired"
)

func (z *zone) status(now time.Time) Status {
	z.mu.Lock()
	defer z.mu.Unlock()
	s := Status{Zone: z.settings.Name, State: Waiting, Checking: z.checking, Next: z.due, Failures: z.failures, Error: z.err}
	if z.checking {
		s.Next = time.Time{}
	}
	if z.settings.Leaving {
		s.Failures = 0
	}
	if c := z.copy; c != nil {
		s.State, s.Primary, s.Serial, s.Confirmed, s.Expires = Ready, c.Primary, c.SOA.Serial, c.Confirmed, c.ExpiresAt()
		if c.Expired(now) {
			s.State = Expired
		}
	}
	return s
}
