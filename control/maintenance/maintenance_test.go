package maintenance

import (
	"testing"
	"time"

	"meridian/config"
)

func window(t *testing.T, zone string, start int, lasts time.Duration, days ...time.Weekday) *config.Maintenance {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return &config.Maintenance{Name: "w", Zone: location, Start: start, Duration: lasts, Days: days}
}

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestNextWindow(t *testing.T) {
	const at = 2*60 + 30
	for _, c := range []struct {
		behaviour, zone string
		days            []time.Weekday
		now, want       string
	}{
		{"today", "UTC", nil, "2026-03-01T00:00:00Z", "2026-03-01T02:30:00Z"},
		{"tomorrow", "UTC", nil, "2026-03-01T02:30:00Z", "2026-03-02T02:30:00Z"},
		{"on a day of the week", "UTC", []time.Weekday{time.Sunday}, "2026-03-02T00:00:00Z", "2026-03-08T02:30:00Z"},
		{"the clock of the zone", "Asia/Tokyo", []time.Weekday{time.Sunday}, "2026-03-02T00:00:00Z", "2026-03-07T17:30:00Z"},
		{"a start that the clock skips is after the gap", "Europe/Berlin", nil, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
		{"a start that the clock shows twice is the first", "Europe/Berlin", nil, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"in winter", "Europe/Berlin", nil, "2026-10-25T12:00:00Z", "2026-10-26T01:30:00Z"},
		{"in summer", "Europe/Berlin", nil, "2026-03-29T12:00:00Z", "2026-03-30T00:30:00Z"},
		{"the end of a gap of half an hour", "Australia/Lord_Howe", nil, "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z"},
		{"a day that a zone left out", "Pacific/Apia", nil, "2011-12-29T18:00:00Z", "2011-12-30T12:30:00Z"},
	} {
		w := Next(window(t, c.zone, at, time.Hour, c.days...), parse(t, c.now))
		if got := w.Begin.UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s (%s there)", c.behaviour, got, c.want, w.Begin.In(time.UTC))
		}
	}
}

// TestWindowsAgreeOverAYear compares Current with the windows that Next lists, minute by minute around them.
func TestWindowsAgreeOverAYear(t *testing.T) {
	for _, lasts := range []time.Duration{time.Hour, 30 * time.Hour} {
		m := window(t, "America/New_York", 90, lasts, time.Sunday, time.Wednesday)
		at := parse(t, "2026-01-01T00:00:00Z")
		for range 105 {
			w := Next(m, at)
			for _, c := range []struct {
				at   time.Time
				open bool
			}{{w.Begin.Add(-time.Second), false}, {w.Begin, true}, {w.End.Add(-time.Second), true}, {w.End, false}} {
				if got, open := Current(m, c.at); open != c.open || open && got != w {
					t.Fatalf("at %v: %v %v, want %v %v", c.at, got, open, w, c.open)
				}
			}
			at = w.Begin
		}
	}
}
