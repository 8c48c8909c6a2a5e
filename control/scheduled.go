package control

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"meridian/control/event"
)

// IsScheduled reports whether an override does not apply yet.
func (s *Override) IsScheduled() bool { return !s.At.IsZero() }

// scheduled returns the scheduled override of exactly t, shared or not, or nil.
func (o overrides) scheduled(t Selector, shared bool) *Override {
	if i := slices.IndexFunc(o, func(s Override) bool { return s.IsScheduled() && s.Target == t && s.isShared() == shared }); i >= 0 {
		return &o[i]
	}
	return nil
}

// withoutScheduled returns o without the scheduled override of exactly t, shared or not.
func (o overrides) withoutScheduled(t Selector, shared bool) overrides {
	return slices.DeleteFunc(slices.Clone(o), func(s Override) bool { return s.IsScheduled() && s.Target == t && s.isShared() == shared })
}

// withoutOne returns o without one override of an operator, scheduled or not.
func (o overrides) withoutOne(s *Override) overrides {
	if s.IsScheduled() {
		return o.withoutScheduled(s.Target, s.isShared())
	}
	return o.without(s.Target, s.isShared())
}

// schedule adds an override that begins later. It replaces a scheduled one of the same target.
func (c *Control) schedule(said Override, o OverrideOptions) (Override, error) {
	said.At, said.Force, said.OverrideGuardrail = o.At.Round(0), o.Force, o.OverrideGuardrail
	if said.isShared() {
		said.Shared.Key = said.sharedKey()
	}
	if wait := said.At.Sub(said.Since); wait <= 0 || wait > maxOverride {
		return Override{}, fmt.Errorf("it would begin at %s; want a time from now on, at most %d years from now", said.At.Format(time.RFC3339), maxYears)
	}
	if o.For > 0 {
		said.Until = said.At.Add(o.For)
	}
	err := c.changeOverrides(o.ChangeOptions, overrideChange{
		doing: said.doing(),
		make: func(at *view) (overrides, error) {
			said.Replaced = asReplaced(at.overrides.scheduled(said.Target, said.isShared()))
			next := append(at.overrides.withoutScheduled(said.Target, said.isShared()), said)
			if len(next) > maxOverrides {
				return nil, &RequestError{What: fmt.Sprintf("the limit of %d overrides is reached", maxOverrides), Hint: "remove some"}
			}
			return next, findTarget(said.Target, at.Snapshot.Config)
		},
		check: func(*view, func() (*sides, error)) error { return nil }, // it changes nothing yet
		made: func() {
			c.report(slog.LevelWarn, "override scheduled", said.attributes(), said.event(event.Info, "scheduled"))
		},
	})
	if err != nil {
		return Override{}, err
	}
	c.confirm(&said)
	said.Warning = c.flushState()
	return said, nil
}

// errCancelled is the error of beginning a scheduled override that was removed or replaced.
var errCancelled = errors.New("the scheduled override was removed")

// beginScheduled begins the scheduled overrides that are due.
func (c *Control) beginScheduled(now time.Time) {
	for _, s := range c.currentView().overrides {
		if s.IsScheduled() && !now.Before(s.At) && !s.ended(now) && !now.Before(s.retry) {
			c.begin(s, now)
		}
	}
}

// begin begins a scheduled override, or records why it cannot.
func (c *Control) begin(s Override, now time.Time) {
	begun := Override{Target: s.Target, Kind: s.Kind, Value: s.Value, Reason: s.Reason, Since: now, Until: s.Until, Shared: s.Shared, Local: s.Local}
	err := c.changeOverrides(ChangeOptions{Force: s.Force, OverrideGuardrail: s.OverrideGuardrail}, overrideChange{
		doing: s.doing(), everyNode: true,
		make: func(at *view) (overrides, error) {
			if waiting := at.overrides.scheduled(s.Target, s.isShared()); waiting == nil || !waiting.Since.Equal(s.Since) {
				return nil, errCancelled
			}
			begun.Replaced = at.overrides.replaced(s.Target, s.isShared(), now)
			return at.overrides.withoutScheduled(s.Target, s.isShared()).with(begun), findTarget(s.Target, at.Snapshot.Config)
		},
		check: func(at *view, under func() (*sides, error)) error { return at.checkOverride(&begun, under) },
		made: func() {
			c.report(slog.LevelWarn, "override set", begun.attributes(), begun.event(event.Warning, "set, as scheduled"))
		},
	})
	if err != nil && !errors.Is(err, errCancelled) {
		c.postpone(s, err, now)
	}
}

// postpone records why a scheduled override does not begin. It is reported once.
func (c *Control) postpone(s Override, why error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := slices.Clone(c.currentView().overrides)
	waiting := overrides(next).scheduled(s.Target, s.isShared())
	if waiting == nil || !waiting.Since.Equal(s.Since) {
		return
	}
	waiting.Error, waiting.retry = why.Error(), now.Add(windowRetry)
	c.updateLocked(func(v *view) { v.overrides = next })
	if s.Error != "" {
		return
	}
	e := waiting.event(event.Error, "not set")
	e.Message += ": " + waiting.Error
	c.report(slog.LevelError, "scheduled override not set; it is tried again each minute", append(waiting.attributes(), "error", why), e)
	c.markDirty()
}
