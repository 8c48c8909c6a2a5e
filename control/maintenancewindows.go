package control

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"meridian/config"
	"meridian/control/event"
	"meridian/control/maintenance"
	"meridian/pools"
)

// A maintenance window is open while the overrides of its targets are in the list of overrides, with the
// window as owner. Within the list they come before those of operators, which therefore have precedence for
// the same target. State files keep them, so a restart within a window is not a new begin.
//
//	window by the clock  its overrides in the list  Maintain
//	-------------------  -------------------------  ---------------------------------------------------
//	open                 all                        updates end and reason, if the configuration changed
//	open                 some or none               adds them, if the guards and guardrails permit it;
//	                                                otherwise it tries again each minute
//	closed, or removed   any                        removes them

// refusedWindow is a window that the guards keep from opening.
type refusedWindow struct {
	end   time.Time // of the window
	why   string
	retry time.Time
}

const windowRetry = time.Minute

// Maintain opens and ends maintenance windows, and begins scheduled overrides. The daemon calls it about once a second, in one goroutine.
func (c *Control) Maintain(now time.Time) {
	defer c.RecoverPanic("maintenance")
	now = now.Round(0) // wall-clock time, as the windows are
	c.beginScheduled(now)
	at := c.currentView()
	want := wantedWindows(at.Snapshot.Config, now)
	c.endWindows(want, now)
	for i := range want {
		w := &want[i]
		if refused, ok := at.refused[w.name]; w.isOpen(c.currentView().overrides) || ok && now.Before(refused.retry) {
			continue
		}
		c.openWindow(w, now)
	}
}

// wantedWindow is a window that is open by the clock.
type wantedWindow struct {
	name, owner string
	end         time.Time
	overrides   overrides
}

// wantedWindows returns the windows that are open by the clock, in the order of the configuration.
func wantedWindows(cfg *config.Config, now time.Time) (all []wantedWindow) {
	for i := range cfg.Maintenance {
		m := &cfg.Maintenance[i]
		open, ok := maintenance.Current(m, now)
		if !ok {
			continue
		}
		w := wantedWindow{name: m.Name, owner: ownerOf(m.Name), end: open.End}
		for _, t := range m.Targets {
			o := Override{Target: t, Kind: pools.Drained.String(), Reason: m.Reason, Since: now, Until: open.End.Round(0).Local(), Owner: w.owner}
			if m.Weight > 0 {
				o.Kind, o.Value = pools.ReducedWeight.String(), strconv.Itoa(m.Weight)+"%"
			}
			if w.overrides.owned(&o) == nil { // a target may be listed twice
				w.overrides = append(w.overrides, o)
			}
		}
		all = append(all, w)
	}
	return all
}

// ownerOf returns the owner of the overrides of a window.
func ownerOf(window string) string { return "maintenance " + window }

// owned returns the override with the owner, target and effect of s, or nil.
func (o overrides) owned(s *Override) *Override {
	i := slices.IndexFunc(o, func(other Override) bool {
		return other.Owner == s.Owner && other.Target == s.Target && other.Kind == s.Kind && other.Value == s.Value
	})
	if i < 0 {
		return nil
	}
	return &o[i]
}

// isOpen reports whether all overrides of a window are in a list.
func (w *wantedWindow) isOpen(list overrides) bool {
	return !slices.ContainsFunc(w.overrides, func(s Override) bool { return list.owned(&s) == nil })
}

// endWindows removes the overrides of windows that are not open any more, and forgets refusals of earlier
// windows. It gives the others their present end and reason.
func (c *Control) endWindows(want []wantedWindow, now time.Time) {
	var all overrides
	for i := range want {
		all = append(all, want[i].overrides...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	next, changed := make(overrides, 0, len(at.overrides)), false
	for _, s := range at.overrides {
		wanted := all.owned(&s)
		switch {
		case s.Owner == "":
		case wanted == nil:
			c.reportEnd(&s)
			changed = true
			continue
		case !s.Until.Equal(wanted.Until) || s.Reason != wanted.Reason:
			s.Until, s.Reason, changed = wanted.Until, wanted.Reason, true
		}
		next = append(next, s)
	}
	if changed {
		c.overrideLocked(next)
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(at.refused)), func(r refusedWindow) bool { return !now.Before(r.end) }) {
		c.updateLocked(func(v *view) {
			v.refused = maps.Clone(v.refused)
			maps.DeleteFunc(v.refused, func(_ string, r refusedWindow) bool { return !now.Before(r.end) })
		})
	}
}

// openWindow adds the overrides of a window, or records why it cannot.
func (c *Control) openWindow(w *wantedWindow, now time.Time) {
	var began overrides
	err := c.changeOverrides(ChangeOptions{}, overrideChange{
		doing: w.owner,
		make: func(at *view) (next overrides, err error) {
			next, began = at.overrides.withWindow(w)
			return next, nil
		},
		check: func(_ *view, under func() (*sides, error)) error { return checkAnswers(w.owner, "", under) },
		made: func() {
			for i := range began {
				s := &began[i]
				c.report(slog.LevelWarn, "maintenance began", s.attributes(), s.event(event.Warning, "began"))
			}
		},
	})
	c.recordWindow(w, err, now)
}

// withWindow returns the list with a window open, and the overrides that are new.
func (o overrides) withWindow(w *wantedWindow) (next, began overrides) {
	for _, s := range w.overrides {
		if o.owned(&s) == nil {
			began = append(began, s)
		}
	}
	operators := slices.IndexFunc(o, func(s Override) bool { return s.Owner == "" })
	if operators < 0 {
		operators = len(o)
	}
	return slices.Insert(slices.Clone(o), operators, began...), began
}

// recordWindow records the outcome of opening a window. A refusal is reported once for each window.
func (c *Control) recordWindow(w *wantedWindow, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.currentView().refused[w.name]
	if err == nil && !known {
		return
	}
	c.updateLocked(func(v *view) {
		v.refused = maps.Clone(v.refused)
		if err == nil {
			delete(v.refused, w.name)
			return
		}
		if v.refused == nil {
			v.refused = map[string]refusedWindow{}
		}
		v.refused[w.name] = refusedWindow{w.end, err.Error(), now.Add(windowRetry)}
	})
	if err == nil || known && before.end.Equal(w.end) {
		return
	}
	c.report(slog.LevelError, "maintenance window not opened; it is tried again each minute until its end",
		[]any{"window", w.name, "error", err, "until", w.end.Format(time.RFC3339)},
		event.Event{
			Kind: event.Override, Severity: event.Error, Subject: w.owner, Message: "not opened: " + err.Error(),
			Fields: map[string]string{"until": w.end.Format(time.RFC3339)},
		})
	c.markDirty()
}

// reportEnd reports that an override has ended by itself.
func (c *Control) reportEnd(s *Override) {
	message, what := "override expired", "expired"
	if s.Owner != "" {
		message, what = "maintenance ended", "ended"
	}
	c.report(slog.LevelWarn, message, s.attributes(), s.event(event.Info, what))
}

// MaintenanceStatus is the status of a maintenance window of the configuration.
type MaintenanceStatus struct {
	Name    string     `json:"name"`
	State   string     `json:"state"` // open; refused: it does not open; waiting
	Begin   time.Time  `json:"begin"` // of the present window, or if none is open by the clock, of the next
	End     time.Time  `json:"end"`
	Targets []Selector `json:"targets"`
	Weight  string     `json:"weight,omitempty"` // that the targets have in it; empty: they are drained
	Reason  string     `json:"reason,omitempty"`
	Error   string     `json:"error,omitempty"` // why it is refused
}

// The states of a maintenance window.
const (
	WindowOpen    = "open"
	WindowRefused = "refused"
	WindowWaiting = "waiting"
)

// maintenanceStatus returns the status of all windows, in the order of the configuration.
func (at *view) maintenanceStatus(now time.Time) (all []MaintenanceStatus) {
	cfg := at.Snapshot.Config
	for i := range cfg.Maintenance {
		m := &cfg.Maintenance[i]
		s := MaintenanceStatus{Name: m.Name, State: WindowWaiting, Targets: m.Targets, Reason: m.Reason}
		if m.Weight > 0 {
			s.Weight = fmt.Sprintf("%d%%", m.Weight)
		}
		w, open := maintenance.Current(m, now)
		refused, isRefused := at.refused[m.Name]
		switch {
		case !open:
			w = maintenance.Next(m, now)
		case isRefused && refused.end.Equal(w.End):
			s.State, s.Error = WindowRefused, refused.why
		case at.overrides.hasOwner(ownerOf(m.Name)):
			s.State = WindowOpen
		}
		s.Begin, s.End = w.Begin, w.End
		all = append(all, s)
	}
	return all
}

// hasOwner reports whether a list has an override of an owner.
func (o overrides) hasOwner(owner string) bool {
	return slices.ContainsFunc(o, func(s Override) bool { return s.Owner == owner })
}
