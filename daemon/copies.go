package daemon

import (
	"context"
	"errors"
	"time"

	"meridian/config"
	"meridian/snapshot"
	"meridian/transfer/secondary"
	"meridian/zones"
)

const (
	copyDebounce = 100 * time.Millisecond // transfers within it are served together
	copyShare    = 4                      // the time between two builds is at least this many times that of a build
	copyRetry    = time.Minute            // after a build that failed
	maxCopyWarns = 10                     // warnings of a copy that are logged
)

// newKeeper returns the keeper of the copies of zones that have primaries.
func (l *instance) newKeeper() *secondary.Keeper {
	k := secondary.New(secondary.Options{Logger: l.Logger, Check: l.checkCopy, Report: l.control.RecordZone})
	l.control.UseCopies(k)
	l.server.OnNotify(k.Notify)
	return k
}

// useCopies has the keeper keep the zones of a snapshot that have primaries.
func (l *instance) useCopies(s *snapshot.Snapshot) {
	known := l.copies.Copies()
	var wanted []secondary.Zone
	for i := range s.Config.Zones {
		z := &s.Config.Zones[i]
		if len(z.Primaries) == 0 {
			continue
		}
		w := secondary.Zone{Name: z.Name, MaxSize: z.MaxSize, Primaries: primariesOf(s, z), Copy: s.Zones.CopyOf(zones.ZoneID(i))}
		if m := s.Members.Find(z.Name); z.Member != nil && m != nil {
			w.Leaving = !m.Left.IsZero()
		}
		if w.Copy == nil && known[z.Name] == nil && s.Config.State != "" {
			w.Copy, _ = zones.ReadCopy(s.Config.State, z.Name) // an expired one: its serial is needed; the build has reported an error
		}
		wanted = append(wanted, w)
	}
	l.copies.Use(wanted, s.Config.State)
}

func primariesOf(s *snapshot.Snapshot, z *config.Zone) (all []secondary.Primary) {
	for i := range z.Primaries {
		p := secondary.Primary{Address: z.Primaries[i].Address, Key: s.TSIG.Key(z.Primaries[i].Key)}
		if t := z.Primaries[i].TLS; t != nil {
			p.TLS = &secondary.TLS{CA: t.CA, Name: t.Name, Cert: t.Cert, Key: t.Key}
		}
		all = append(all, p)
	}
	return all
}

// checkCopy checks a transferred zone with the configuration that serves, in the background.
func (l *instance) checkCopy(c *zones.Copy, allowRemoval bool) error {
	served := l.served()
	warnings, err := buildSafely(context.Background(), l, func() ([]config.Error, error) { return served.CheckCopy(c, allowRemoval) })
	for i := range warnings {
		if i < maxCopyWarns && err == nil {
			l.Logger.Warn("transferred zone", "zone", c.Zone, "warning", warnings[i].Error())
		}
	}
	return err
}

// copyUpdates paces the builds with new copies.
type copyUpdates struct {
	due   <-chan time.Time // nil: the served zones have the current copies
	grace <-chan time.Time // delivers when the removal grace of a zone ends; nil: of none
	reuse bool             // the keeper may have other zones than the snapshot
	took  time.Duration    // of the last build
	last  time.Time        // when it ended
}

// schedule makes a build due, soon after the change, and not too soon after the last build.
func (u *copyUpdates) schedule() {
	if u.due == nil {
		u.due = time.After(max(copyDebounce, time.Until(u.last.Add(copyShare*u.took))))
	}
}

// run builds and serves the zones with the current copies.
func (u *copyUpdates) run(ctx context.Context, l *instance, g *generation) {
	u.due = nil
	begun, err := time.Now(), errors.New("the update panicked")
	updateSafely(l.control, func() { err = l.updateZones(ctx, g, u) })
	u.last = time.Now()
	u.took = u.last.Sub(begun)
	if err == nil || ctx.Err() != nil || errors.Is(err, errReplaced) {
		return
	}
	l.Logger.Error("cannot serve the transferred zones; the old ones keep serving", "error", err, "retry_in", copyRetry)
	u.due = time.After(copyRetry)
}

// awaitGrace has the zones updated when the removal grace of one ends.
func (u *copyUpdates) awaitGrace(end time.Time) {
	u.grace = nil
	if !end.IsZero() {
		u.grace = time.After(max(copyDebounce, time.Until(end)))
	}
}

// updateZones compiles the zones of g with the current copies and the zones of catalogs, and swaps them, as a reload does. Pools and health checks
// stay.
func (l *instance) updateZones(ctx context.Context, g *generation, u *copyUpdates) error {
	copies, served := l.copies.Copies(), l.snapshotOf(g)
	members := l.updateMembers(served, copies)
	u.awaitGrace(members.Next)
	u.reuse = u.reuse || len(members.Changes) > 0 || !served.Members.Equal(members.Members)
	if served.Zones.SameCopies(copies, time.Now()) && served.Members.Equal(members.Members) {
		u.useCopies(l, served)
		return nil
	}
	next, err := buildSafely(ctx, l, func() (*snapshot.Snapshot, error) {
		next, _, err := served.WithCopies(copies, members.Members) // checkCopy has logged the warnings
		return next, err
	})
	if err != nil {
		return err
	}
	if err := l.swapZones(g, next); err != nil {
		return err
	}
	u.useCopies(l, next)
	l.notifySecondaries()
	return nil
}

// useCopies has the keeper keep the zones of a snapshot, if it may have others.
func (u *copyUpdates) useCopies(l *instance, s *snapshot.Snapshot) {
	if u.reuse {
		l.useCopies(s)
		u.reuse = false
	}
}

// swapZones makes the server answer from next, which differs from the snapshot of g only in its zones.
func (l *instance) swapZones(g *generation, next *snapshot.Snapshot) error {
	l.updates.gate.lock()
	defer l.updates.gate.unlock()
	return l.journaled(next, func(next *snapshot.Snapshot) error {
		l.swapMu.Lock()
		defer l.swapMu.Unlock()
		if l.current != g {
			return errReplaced
		}
		if _, err := l.server.Swap(next); err != nil {
			return err
		}
		g.Snapshot, l.merging = next, nil
		l.control.CommitZones(g.Generation)
		return nil
	})
}
