// Package maintenance computes when the recurring windows of a configuration are open.
package maintenance

import (
	"slices"
	"time"

	"meridian/config"
)

// Window is the time in which one occurrence of a maintenance window is open.
type Window struct{ Begin, End time.Time }

// Current returns the window that is open at now; the last to begin, if several overlap.
func Current(m *config.Maintenance, now time.Time) (w Window, open bool) {
	days := int(m.Duration/(24*time.Hour)) + 2
	for back := -1; back <= days; back++ {
		w, ok := occurrence(m, now, -back)
		if ok && !now.Before(w.Begin) && now.Before(w.End) {
			return w, true
		}
	}
	return Window{}, false
}

// Next returns the first window that begins after now.
func Next(m *config.Maintenance, now time.Time) Window {
	for ahead := -1; ; ahead++ { // a week has one of its days
		if w, ok := occurrence(m, now, ahead); ok && w.Begin.After(now) {
			return w
		}
	}
}

// occurrence returns the window that begins some days after the day of now, if one does.
func occurrence(m *config.Maintenance, now time.Time, days int) (Window, bool) {
	year, month, day := now.In(m.Zone).Date()
	date := time.Date(year, month, day+days, 0, 0, 0, 0, time.UTC)
	if len(m.Days) > 0 && !slices.Contains(m.Days, date.Weekday()) {
		return Window{}, false
	}
	begin := onClock(date.Add(time.Duration(m.Start)*time.Minute), m.Zone)
	return Window{begin, begin.Add(m.Duration)}, true
}

// onClock returns when the clock of a zone shows a time, given as if in UTC:
//
//	the clock shows it   result
//	once                 that time
//	twice                the first
//	never                as if the clock had not been put forward: after the gap
func onClock(shown time.Time, zone *time.Location) time.Time {
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before := shown.Add(-offset(shown.Add(-24 * time.Hour)))
	after := shown.Add(-offset(shown.Add(24 * time.Hour)))
	if offset(before) != shown.Sub(before) && offset(after) == shown.Sub(after) {
		return after
	}
	return before
}
