package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"meridian/config"
	"meridian/control"
	"meridian/server"
	"meridian/server/answer"
	"meridian/snapshot"
)

// TestRateLimitingIsReported checks when rate limiting begins and ends; without a limit, nothing is reported.
func TestRateLimitingIsReported(t *testing.T) {
	for _, rate := range []int{0, 100} {
		var log lines
		logger := slog.New(slog.NewTextHandler(&log, nil))
		cfg := &config.Config{Server: config.Server{RateLimit: config.RateLimit{Rate: rate}}}
		l := &instance{
			Daemon:  &Daemon{Logger: logger},
			control: control.New(server.NewEmpty(server.Options{}), logger),
			current: &generation{Generation: control.Generation{Snapshot: &snapshot.Snapshot{Config: cfg}}},
		}
		var w limitingWatch
		at, network := time.Now(), func() netip.Prefix { return netip.MustParsePrefix("192.0.2.0/24") }
		for _, step := range []struct {
			after        time.Duration
			c            answer.Counters
			began, ended int
		}{
			{time.Second, answer.Counters{}, 0, 0},
			{time.Second, answer.Counters{RateTruncated: 5}, 1, 0},
			{time.Second, answer.Counters{RateTruncated: 5, RateDropped: 3}, 1, 0},
			{29 * time.Second, answer.Counters{RateTruncated: 5, RateDropped: 3}, 1, 0},
			{time.Second, answer.Counters{RateTruncated: 5, RateDropped: 3}, 1, 1},
			{time.Minute, answer.Counters{RateTruncated: 5, RateDropped: 3}, 1, 1},
			{time.Second, answer.Counters{RateTruncated: 5, RateDropped: 3, RateDryRun: 1}, 2, 1},
		} {
			if rate == 0 {
				step.began, step.ended = 0, 0
			}
			at = at.Add(step.after)
			l.watchLimiting(&w, at, &step.c, network)
			began, ended := len(log.with("rate limiting began")), len(log.with("rate limiting ended"))
			if began != step.began || ended != step.ended {
				t.Errorf("rate %d: began %d, ended %d; want %+v", rate, began, ended, step)
			}
		}
		seen := ""
		for _, e := range l.control.Events().Save() {
			seen += fmt.Sprintln(e.Kind, e.Severity, e.Subject)
		}
		want := "rate_limit warning 192.0.2.0/24\nrate_limit info server\nrate_limit warning 192.0.2.0/24\n"
		if rate > 0 && seen != want || rate == 0 && seen != "" {
			t.Errorf("rate %d: events\n%s", rate, seen)
		}
	}
}
