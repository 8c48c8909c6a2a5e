package control

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"meridian/control/event"
	"meridian/dnsname"
)

// FrozenZone is a zone of which dynamic updates are refused, as in the API and the state file.
type FrozenZone struct {
	Zone   dnsname.Name `json:"zone"`
	Reason string       `json:"reason,omitempty"`
	Since  time.Time    `json:"since"`

	Warning string `json:"warning,omitempty"` // as in Override
}

// Validate returns the error of a zone that comes from outside.
func (f *FrozenZone) Validate() error {
	if _, err := dnsname.Parse(string(f.Zone)); err != nil {
		return fmt.Errorf("zone: %w", err)
	}
	return validReason(f.Reason)
}

// String says why updates of the zone are refused.
func (f *FrozenZone) String() string {
	text := "frozen since " + f.Since.UTC().Format(time.RFC3339)
	if f.Reason != "" {
		text += ": " + f.Reason
	}
	return text
}

// Freeze has updates of a zone refused, until Thaw and beyond restarts. With a state directory it is on disk when Freeze returns,
// unless the directory is not writable.
func (c *Control) Freeze(name dnsname.Name, reason string) (FrozenZone, error) {
	frozen := FrozenZone{Zone: name, Reason: reason, Since: time.Now().Round(0)}
	if err := frozen.Validate(); err != nil {
		return frozen, err
	}
	err := c.changeFrozen(func(at *view) ([]FrozenZone, error) {
		id, ok := at.Snapshot.Zones.ApexOf(name.Wire())
		switch {
		case !ok:
			return nil, zoneNotServed(name)
		case len(at.Snapshot.Config.Zones[id].Update) == 0:
			return nil, &RequestError{What: fmt.Sprintf("zone %s takes no updates: there is nothing to refuse", name), Hint: "its records change with its file or its primaries"}
		}
		return append(withoutZone(at.frozen, name), frozen), nil
	})
	if err != nil {
		return frozen, err
	}
	c.reportFrozen(slog.LevelWarn, "zone frozen: updates are refused", &frozen)
	frozen.Warning = c.flushState()
	return frozen, nil
}

// Thaw ends Freeze. It returns what it ended.
func (c *Control) Thaw(name dnsname.Name) (thawed FrozenZone, err error) {
	err = c.changeFrozen(func(at *view) ([]FrozenZone, error) {
		i := slices.IndexFunc(at.frozen, func(f FrozenZone) bool { return f.Zone == name })
		if i < 0 {
			return nil, &RequestError{NotFound: true, What: fmt.Sprintf("zone %s is not frozen", name), Hint: "meridian zone list lists the zones that are"}
		}
		thawed = at.frozen[i]
		return withoutZone(at.frozen, name), nil
	})
	if err != nil {
		return thawed, err
	}
	c.reportFrozen(slog.LevelInfo, "zone thawed: updates are made again", &thawed)
	thawed.Warning = c.flushState()
	return thawed, nil
}

func zoneNotServed(name dnsname.Name) error {
	return &RequestError{NotFound: true, What: fmt.Sprintf("zone %s is not served here", name), Hint: "meridian zone list lists the zones"}
}

func withoutZone(all []FrozenZone, name dnsname.Name) []FrozenZone {
	return slices.DeleteFunc(slices.Clone(all), func(f FrozenZone) bool { return f.Zone == name })
}

// changeFrozen replaces the frozen zones by those that edit returns.
func (c *Control) changeFrozen(edit func(*view) ([]FrozenZone, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspended.Load() {
		return ErrUpgrading
	}
	next, err := edit(c.currentView())
	if err != nil {
		return err
	}
	c.updateLocked(func(m *view) { m.frozen = next })
	c.markDirty()
	return nil
}

// reportFrozen reports what happened to a frozen zone.
func (c *Control) reportFrozen(level slog.Level, message string, f *FrozenZone) {
	severity := event.Info
	if level >= slog.LevelWarn {
		severity = event.Warning
	}
	c.report(level, message, []any{"zone", f.Zone, "reason", f.Reason, "since", f.Since.UTC().Format(time.RFC3339)},
		event.Event{Kind: event.Zone, Severity: severity, Subject: string(f.Zone), Message: strings.TrimPrefix(message, "zone "), Fields: map[string]string{"reason": f.Reason}})
}

// Frozen returns the frozen zones, the latest last.
func (c *Control) Frozen() []FrozenZone { return c.currentView().frozen }

// FrozenZone returns a frozen zone; nil: updates of the zone are made.
func (c *Control) FrozenZone(name dnsname.Name) *FrozenZone {
	all := c.currentView().frozen
	if i := slices.IndexFunc(all, func(f FrozenZone) bool { return f.Zone == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// UseZoneNotify sets what notifies the secondaries of a zone, and returns their number.
func (c *Control) UseZoneNotify(notify func(dnsname.Name) int) { c.notifyZone.Store(&notify) }

// NotifyZone notifies the secondaries of a zone, whether its serial has changed or not. It returns their number, and does not wait for them.
func (c *Control) NotifyZone(name dnsname.Name) (secondaries int, err error) {
	if _, ok := c.currentView().Snapshot.Zones.ApexOf(name.Wire()); !ok {
		return 0, zoneNotServed(name)
	}
	if notify := c.notifyZone.Load(); notify != nil {
		secondaries = (*notify)(name)
	}
	if secondaries == 0 {
		return 0, &RequestError{What: fmt.Sprintf("zone %s has no secondaries to notify, or no data", name), Hint: "write them into transfer.notify of the zone"}
	}
	return secondaries, nil
}
