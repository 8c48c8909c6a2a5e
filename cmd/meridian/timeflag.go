package main

import (
	"fmt"
	"time"
)

// timeFlag is a time; zero if not given.
type timeFlag struct{ time.Time }

// Set parses a time: RFC 3339, a date and time by the local clock, or the next time that the local clock shows
// hours and minutes.
func (f *timeFlag) Set(s string) error {
	at, err := parseTime(s, time.Now())
	f.Time = at
	return err
}

func parseTime(s string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return at, nil
		}
	}
	clock, err := time.Parse("15:04", s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time; want one such as 02:00, \"2026-03-01 02:00\" or 2026-03-01T02:00:00Z", s)
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if !at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()+1, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return at, nil
}

func (f *timeFlag) Type() string { return "TIME" }

func (f *timeFlag) String() string {
	if f.IsZero() {
		return ""
	}
	return f.Format(time.RFC3339)
}
