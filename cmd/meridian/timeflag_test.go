package main

import (
	"testing"
	"time"
)

func TestTimeOfSchedule(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, berlin)
	for text, want := range map[string]string{
		"2026-04-01T02:00:00Z": "2026-04-01T02:00:00Z",
		"2026-04-01 02:00":     "2026-04-01T02:00:00+02:00",
		"2026-03-28T13:00":     "2026-03-28T13:00:00+01:00",
		"12:30":                "2026-03-28T12:30:00+01:00",
		"12:00":                "2026-03-29T12:00:00+02:00", // the clock is put forward in that night
		"04:00":                "2026-03-29T04:00:00+02:00",
	} {
		if got, err := parseTime(text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2", "24:00", "tomorrow", "2026-02-30 02:00"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
