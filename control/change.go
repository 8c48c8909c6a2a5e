package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"meridian/control/event"
	"meridian/pools"
)

// ChangeOptions say how a change is made.
type ChangeOptions struct {
	Force             bool     // even if it leaves a name without an answer
	OverrideGuardrail string   // the reason to make it against the guardrails; empty: they bind
	IfMatch           []string // the tags that what it changes may have; none: any
	Local             bool     // of a cluster, this node only
	By                string   // the name of the operator
}

// OverrideOptions are the optional parts of an override.
type OverrideOptions struct {
	ChangeOptions
	Value  string // of a weight: a percentage
	Reason string
	At     time.Time     // when it begins; zero: now
	For    time.Duration // how long it applies; 0: until it is removed
}

// Override applies an override. It replaces one of the same target. An override that would leave a
// name without an answer is an error, unless it is forced. With a state directory, it is on disk
// when Override returns, unless the directory is not writable. The same holds for Undo.
func (c *Control) Override(t Selector, kind pools.Kind, o OverrideOptions) (Override, error) {
	now := time.Now().Round(0) // wall-clock time: the override ends at that time even after a restart
	said := Override{Target: t, Kind: kind.String(), Value: o.Value, Reason: o.Reason, Since: now}
	if err := errors.Join(said.Validate(), validSpan(o.For)); err != nil {
		return Override{}, err
	}
	said.Shared, said.Local = c.shareOf(&said, o.ChangeOptions)
	if !o.At.IsZero() {
		return c.schedule(said, o)
	}
	if o.For > 0 {
		said.Until = now.Add(o.For)
	}
	err := c.changeOverrides(o.ChangeOptions, overrideChange{
		doing: said.doing(),
		make: func(at *view) (overrides, error) {
			said.Replaced = at.overrides.replaced(said.Target, said.isShared(), said.Since)
			next := at.overrides.with(said)
			if len(next) > maxOverrides {
				return nil, &RequestError{What: fmt.Sprintf("the limit of %d overrides is reached", maxOverrides), Hint: "remove some"}
			}
			return next, findTarget(said.Target, at.Snapshot.Config)
		},
		check: func(at *view, under func() (*sides, error)) error { return at.checkOverride(&said, under) },
		made: func() {
			c.report(slog.LevelWarn, "override set", said.attributes(), said.event(event.Warning, "set"))
		},
	})
	if err != nil {
		return Override{}, err
	}
	c.confirm(&said)
	said.Warning = c.flushState()
	said.Clients = c.clientsGone(&said, time.Now())
	return said, nil
}

// Undo removes the override of exactly t and returns it. If kinds are given, the override must be
// of one of them. A removal that would leave a name without an answer is an error, unless it is forced.
func (c *Control) Undo(t Selector, o ChangeOptions, kinds ...pools.Kind) (Override, error) {
	var undone Override
	err := c.changeOverrides(o, overrideChange{
		doing: "removing the override of " + t.String(),
		make: func(at *view) (overrides, error) {
			said, err := at.removable(t, c.isSharedChange(o), kinds)
			if err != nil {
				return nil, err
			}
			undone = *said
			return at.overrides.withoutOne(said), nil
		},
		check: func(_ *view, under func() (*sides, error)) error {
			return checkAnswers("removing the override of "+t.String(), "remove it", under)
		},
		made: func() {
			c.report(slog.LevelWarn, "override removed", undone.attributes(), undone.event(event.Info, "removed"))
		},
	})
	if err != nil {
		return Override{}, err
	}
	c.confirm(&undone)
	undone.Warning = c.flushState()
	return undone, nil
}

// removable returns the override of exactly t, shared or not, or the error if there is none of these kinds.
func (at *view) removable(t Selector, shared bool, kinds []pools.Kind) (*Override, error) {
	said := at.overrides.of(t, shared)
	if waiting := at.overrides.scheduled(t, shared); waiting != nil && (said == nil || !isOneOf(said.Kind, kinds)) {
		said = waiting
	}
	if other := at.overrides.of(t, !shared); said == nil && other != nil {
		return nil, otherScope(other)
	}
	if owned := at.overrides.effective(t); said == nil && owned != nil {
		return nil, &RequestError{
			What: fmt.Sprintf("%s is %s by %s until %s", t, owned.Effect(), owned.Owner, owned.Until.Format(time.RFC3339)),
			Hint: "meridian weight TARGET 100% has precedence over the window; removing the window from the configuration ends it",
		}
	}
	if said == nil {
		hint := names(at.overrides, func(s *Override) string { return fmt.Sprintf("%s is %s", s.Target, s.Effect()) })
		return nil, cmp.Or(findTarget(t, at.Snapshot.Config), error(notFound(t.String()+" has no override", hint)))
	}
	if !isOneOf(said.Kind, kinds) {
		return nil, &RequestError{
			What: fmt.Sprintf("%s is %s", t, said.Effect()),
			Hint: "undrain ends a drain, force off ends a force" + weightHint(said),
		}
	}
	return said, nil
}

// isOneOf reports whether a kind is one of a list; no list permits all.
func isOneOf(kind string, kinds []pools.Kind) bool {
	return len(kinds) == 0 || slices.ContainsFunc(kinds, func(k pools.Kind) bool { return k.String() == kind })
}

// weightHint returns how to end a weight, if an override is one.
func weightHint(said *Override) string {
	if said.Kind != pools.ReducedWeight.String() {
		return ""
	}
	return ", weight TARGET off ends a weight"
}

// overrideChange is a change of the overrides.
type overrideChange struct {
	doing string                            // for errors: "draining web"
	make  func(at *view) (overrides, error) // returns the next overrides
	made  func()                            // reports the change

	// everyNode is set for a change that every node of a cluster makes by itself: it does not depend on the store.
	everyNode bool

	// check returns an error if a name loses its answer. under returns the states before and after.
	check func(at *view, under func() (*sides, error)) error
}

// changeOverrides checks and makes a change, one at a time: two that each leave an answer may together
// leave none. Checks may take long, so they hold no lock that health state changes need.
//
// In a cluster, a change of shared overrides is written to the store of the cluster first. If another node has changed
// them, it is checked again, under what that node has set.
func (c *Control) changeOverrides(o ChangeOptions, change overrideChange) (err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	for range maxSharedAttempts {
		if err = c.tryOverrides(o, change); !errors.Is(err, ErrSharedChanged) {
			return err
		}
	}
	return err
}

// tryOverrides checks a change and makes it, once.
func (c *Control) tryOverrides(o ChangeOptions, change overrideChange) error {
	if c.suspended.Load() {
		return ErrUpgrading
	}
	before, next, err := c.checkChange(o, change)
	if err != nil {
		return err
	}
	records, err := c.writeShared(before, next, o.By)
	if err != nil && !change.everyNode {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.recordLocked(records) && !change.everyNode { // the store has returned it, and it is applied
		return nil
	}
	if next, err = change.make(c.currentView()); err != nil { // an override may have expired
		return err
	}
	c.overrideLocked(next)
	change.made()
	return nil
}

// checkChange returns the overrides before and after a change that the guards permit.
func (c *Control) checkChange(o ChangeOptions, change overrideChange) (before, next overrides, err error) {
	at := c.hold()
	defer at.Release()
	if len(o.IfMatch) > 0 && !slices.Contains(o.IfMatch, at.overrides.tag()) {
		return nil, nil, stale("the overrides have changed", "GET /v1/overrides returns the present ETag")
	}
	if err := validReason(o.OverrideGuardrail); err != nil {
		return nil, nil, err
	}
	if next, err = change.make(at); err != nil {
		return nil, nil, err
	}
	under := sync.OnceValues(func() (*sides, error) { return at.under(next) })
	if !o.Force {
		if err := change.check(at, under); err != nil {
			return nil, nil, err
		}
	}
	return at.overrides, next, at.guard(change.doing, o.OverrideGuardrail, under)
}

// stale returns the error of a request with an old tag.
func stale(what, hint string) *RequestError {
	return &RequestError{Stale: true, What: what, Hint: hint}
}

// OverridesTag returns a text that changes with the overrides.
func (c *Control) OverridesTag() string { return c.currentView().overrides.tag() }

// tag returns a text that differs for other overrides.
func (o overrides) tag() string {
	text, err := json.Marshal(append(overrides{}, o...))
	if err != nil {
		panic(err) // it is one of our types
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:8])
}
