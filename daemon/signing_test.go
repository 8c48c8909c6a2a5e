package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/snapshot"
)

func TestParentsAreReportedWhenTheirAnswersChange(t *testing.T) {
	var log bytes.Buffer
	l := &instance{Daemon: &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	k := newKeyKeeper()
	failed := parentAnswers{asked: true, err: errors.New("no answer")}
	for _, result := range []parentAnswers{failed, {}, failed, {}, {asked: true}, {asked: true}} {
		l.reportParents(k, result)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Count(log.String(), "answers for DS records again") != 1 {
		t.Errorf("want one line for the failure and one for its end, got:\n%s", &log)
	}
}

func TestRolloverThatWaitsTooLongIsReportedOnce(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	l := &instance{Daemon: &Daemon{Logger: logger}, control: control.New(nil, logger)}
	k := newKeyKeeper()
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	late, fine := make([]snapshot.ZoneKeys, 1), make([]snapshot.ZoneKeys, 1)
	late[0].Zone, late[0].Waits, late[0].Since, late[0].Overdue = "example.com.", "the DS of key 7", &since, true
	fine[0].Zone = "example.com."
	for _, zones := range [][]snapshot.ZoneKeys{fine, late, late, fine, late} { // the last one is another rollover
		l.reportOverdue(k, zones)
	}
	if n := strings.Count(log.String(), "DNSSEC rollover waits for the parent"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, &log)
	}
	events := l.control.Events().Save()
	if len(events) != 2 || events[0].Message != "the rollover waits for the DS of key 7 since 2026-01-01T00:00:00Z" {
		t.Errorf("events %+v", events)
	}
}

func TestEndOfPresignedZoneIsReportedOnceEach(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	l := &instance{Daemon: &Daemon{Logger: logger}, control: control.New(nil, logger)}
	k := newKeyKeeper()
	zone := func(expires time.Time, state string) []snapshot.ZoneKeys {
		z := snapshot.ZoneKeys{Expires: expires, Presigned: true, Expiring: state}
		z.Zone = "example.com."
		return []snapshot.ZoneKeys{z}
	}
	fine := zone(time.Now().Add(time.Hour), "")
	soon := zone(time.Now().Add(time.Minute), "expires soon")
	past := zone(time.Now().Add(-time.Minute), "has expired")
	for _, zones := range [][]snapshot.ZoneKeys{fine, soon, soon, past, past, fine, soon} {
		l.reportExpiring(k, zones)
	}
	events := l.control.Events().Save()
	if len(events) != 3 || events[0].Message != "expires soon" || events[1].Message != "has expired" || events[1].Severity != "error" {
		t.Errorf("events %+v", events)
	}
	if n := strings.Count(log.String(), "signatures of a presigned zone expire"); n != 3 {
		t.Errorf("%d lines, want 3:\n%s", n, &log)
	}
}

func TestFrozenKeysAreReportedOnce(t *testing.T) {
	var log bytes.Buffer
	l := &instance{Daemon: &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	k := newKeyKeeper()
	frozen, fine := make([]snapshot.ZoneKeys, 1), make([]snapshot.ZoneKeys, 1)
	frozen[0].Zone, frozen[0].Waits, frozen[0].Frozen = "example.com.", "a correct clock", true
	for _, zones := range [][]snapshot.ZoneKeys{fine, frozen, frozen, nil, fine} {
		l.reportFrozen(k, zones)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "the clock went back") || !strings.Contains(text, "changed again") {
		t.Errorf("want one line for the frozen keys and one for the end, got:\n%s", text)
	}
}
