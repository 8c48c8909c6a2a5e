package main

import (
	"fmt"
	"strings"
	"time"

	"meridian/control"
	"meridian/server/answer"
)

// warningsOf returns the warnings that a status begins with, the worst first: problems
// that make the rest of the status less reliable.
func warningsOf(s *control.Status) []string {
	var all []string
	if s.Prober.Stalled {
		all = append(all, fmt.Sprintf("PROBER STALLED for %s: health states are frozen until it recovers; see the log, and restart the server if it lasts", age(s.Prober.At, s.At)))
	}
	if n := s.Prober.Panics; n > 0 {
		all = append(all, fmt.Sprintf("the prober panicked %s since the server started, and recovered; see the log", times(n)))
	}
	if n := s.BuildPanics; n > 0 {
		all = append(all, fmt.Sprintf("building a configuration or its pools panicked %s since the server started; the previous one keeps serving; see the log, and please report it", times(n)))
	}
	for i := range s.Quarantine {
		all = append(all, describeQuarantined(&s.Quarantine[i]))
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
	all = append(all, clusterStateWarnings(s.Cluster)...)
	all = append(all, refusedChanges(s)...)
	all = append(all, signingWarnings(s.DNSSEC)...)
	all = append(all, cookieWarnings(s.Cookies)...)
	all = append(all, certificateWarnings(s)...)
	all = append(all, xdpWarnings(s.XDP)...)
	if aside := s.State.Quarantined; aside != nil {
		all = append(all, fmt.Sprintf("started without saved state: the state file could not be read and was moved to %s: %s", aside.File, aside.Error))
	}
	return all
}

// cookieWarnings says that the secrets of cookies cannot be read again.
func cookieWarnings(c *control.CookiesStatus) []string {
	if c == nil || c.Error == "" {
		return nil
	}
	return []string{fmt.Sprintf("the secrets of cookies cannot be read again, the previous ones stay: %s: %s", c.File, c.Error)}
}

// certificateWarnings describes the certificates that clients refuse, or will refuse soon.
func certificateWarnings(s *control.Status) (all []string) {
	e := s.Encrypted
	if e == nil {
		return nil
	}
	if e.Error != "" {
		all = append(all, "a certificate cannot be read again, the previous one stays: "+e.Error)
	}
	const soon = 14 * 24 * time.Hour
	for _, c := range e.Certificates {
		switch left := c.NotAfter.Sub(s.At); {
		case left <= 0:
			all = append(all, fmt.Sprintf("the certificate %s expired %s ago: clients that verify it refuse the connection", c.Cert, age(c.NotAfter, s.At)))
		case left < soon:
			all = append(all, fmt.Sprintf("the certificate %s expires in %s", c.Cert, age(s.At, c.NotAfter)))
		}
	}
	return all
}

// describeQuarantined describes a packet in quarantine.
func describeQuarantined(p *answer.QuarantinedPacket) string {
	return fmt.Sprintf("a packet from %s (%s) caused a panic at %s: %s; the same packet is dropped until %s, %d so far; see the log, and please report it",
		p.Client, p.Query, timeText(p.Since), p.Reason, timeText(p.Until), p.Dropped)
}

// xdpWarnings describes the interfaces of server.xdp that are not attached.
func xdpWarnings(interfaces []control.XDPStatus) (all []string) {
	for _, x := range interfaces {
		if x.Error != "" {
			all = append(all, "sockets answer the queries of an interface of server.xdp: "+x.Error)
		}
	}
	return all
}

// refusedChanges describes the scheduled overrides and maintenance windows that the guards of the server refuse.
func refusedChanges(s *control.Status) (all []string) {
	for _, o := range s.Overrides {
		if o.Error != "" {
			all = append(all, describeOverride(o))
		}
	}
	for i := range s.Maintenance {
		if s.Maintenance[i].State == control.WindowRefused {
			all = append(all, "maintenance window "+describeWindow(&s.Maintenance[i]))
		}
	}
	return all
}

// describeLastGood describes the errors that made the server start with the last good
// configuration.
func describeLastGood(g *control.LastGoodStatus) string {
	why := "is invalid"
	if g.Hint != "" {
		why = "is refused"
	}
	text := fmt.Sprintf("SERVING THE LAST GOOD CONFIGURATION, saved at %s: the current one %s: %s", timeText(g.Kept), why, g.Error)
	for _, e := range g.Errors {
		text += "\n  " + e
	}
	if g.Hint != "" {
		text += "\n  " + g.Hint
	}
	if len(g.Environment) > 0 {
		text += "\n  these environment variables have their saved values, not the present ones: " + strings.Join(g.Environment, ", ")
	}
	return text
}

func describeRefused(r *control.ReloadStatus, ago string) string {
	text := fmt.Sprintf("the last reload, %s ago, was rejected, the previous configuration keeps serving: %s", ago, r.Error)
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

// forgetsState returns a warning if a restart would lose overrides or health states.
func forgetsState(s control.StateStatus) string {
	switch {
	case s.Dir == "":
		return "in memory only: a restart loses overrides (the configuration has no state)"
	case !s.Persisted:
		return "in memory only: a restart loses overrides and health states (" + s.Dir + " cannot be written, see the log)"
	}
	return ""
}
