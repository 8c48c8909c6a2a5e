package main

import (
	"fmt"

	"meridian/server"
)

// warningsOf is what an operator is to know of a server before all else: what makes
// the rest of its status less than it seems, the worst first.
func warningsOf(s *server.Status) []string {
	var all []string
	if s.Prober.Stalled {
		all = append(all, fmt.Sprintf("THE PROBER HANGS for %s: no verdict turns until it goes on; see the log, and restart the server if it lasts", age(s.Prober.At, s.At)))
	}
	if n := s.Prober.Panics; n > 0 {
		all = append(all, fmt.Sprintf("the prober panicked %s since the server began, and went on; see the log", times(n)))
	}
	if n := s.BuildPanics; n > 0 {
		all = append(all, fmt.Sprintf("building a configuration or its pools panicked %s since the server began; what was there before serves; see the log, and please report it", times(n)))
	}
	if g := s.LastGood; g != nil {
		all = append(all, describeLastGood(g))
	}
	if s.Reload.Refused {
		all = append(all, describeRefused(&s.Reload, age(s.Reload.At, s.At)))
	}
	if note := forgetsState(s.State); note != "" && (s.State.Dir != "" || len(s.Overrides) > 0) {
		all = append(all, note)
	}
	if aside := s.State.Quarantined; aside != nil {
		all = append(all, fmt.Sprintf("begun without what was kept: the state could not be read and is %s now: %s", aside.File, aside.Error))
	}
	return all
}

// describeLastGood says that the configuration was invalid at start, and why.
func describeLastGood(g *server.LastGoodStatus) string {
	text := fmt.Sprintf("SERVING THE LAST GOOD CONFIGURATION, kept at %s: the present one is invalid: %s", timeText(g.Kept), g.Error)
	for _, e := range g.Errors {
		text += "\n  " + e
	}
	return text
}

func describeRefused(r *server.ReloadStatus, ago string) string {
	text := fmt.Sprintf("the last reload, %s ago, was refused, what was loaded before serves: %s", ago, r.Error)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	return text
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// forgetsState warns where a restart would forget what was said and found; empty: it
// would not.
func forgetsState(s server.StateStatus) string {
	switch {
	case s.Dir == "":
		return "in memory only: a restart forgets overrides (the configuration has no state)"
	case !s.Persisted:
		return "in memory only: a restart forgets overrides and verdicts (" + s.Dir + " cannot be written to, see the log)"
	}
	return ""
}
