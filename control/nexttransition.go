package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/health/probe"
)

// complete adds the data that follows from the check: the next transition of a composite check,
// and a warning if a certificate expires soon.
func (s *AddressStatus) complete(c *config.Check, known *health.Status, now time.Time) {
	s.Next = predict(c, s.Address, known).words
	s.Warning = strings.Join(slices.DeleteFunc(
		[]string{inconclusive(known), expiresSoon(s.Expires, now, c.TLS.WarnDays)},
		func(warning string) bool { return warning == "" }), "; ")
	for i := range min(len(s.Parts), len(c.Parts)) {
		s.Parts[i].complete(c.Parts[i].Check, &known.Parts[i].Status, now)
	}
}

// inconclusive returns since when and why all probes of an address have been inconclusive, or ""
// if the last one was conclusive.
func inconclusive(known *health.Status) string {
	if known.Inconclusive.IsZero() || len(known.Last) == 0 {
		return ""
	}
	return fmt.Sprintf("inconclusive since %s: %s", health.FormatTime(known.Inconclusive), known.Last[0].Reason)
}

// expiresSoon returns a warning if a certificate has fewer than the given whole days left, like
// the log line of the prober. It returns "" otherwise, or if no certificate was seen.
func expiresSoon(end, now time.Time, days int) string {
	left := int(end.Sub(now) / (24 * time.Hour))
	switch {
	case end.IsZero() || left >= days:
		return ""
	case left == 1:
		return fmt.Sprintf("certificate expires on %s, in 1 day", end.UTC().Format(time.DateOnly))
	}
	return fmt.Sprintf("certificate expires on %s, in %d days", end.UTC().Format(time.DateOnly), left)
}

// nextTransition describes the next transition of an address.
type nextTransition struct {
	words  string
	streak int // consecutive results towards it; 0: none
}

// predict describes the next transition of an address under a check. For a composite check it
// names the parts that cause it:
//
//	state                 its parts that count                     next
//	--------------------  ---------------------------------------  -----------------------------------
//	unknown or uncertain  some are unknown or uncertain            each of them: their results are awaited
//	up or down            some could change it, each alone         the one with the longest streak;
//	                                                               without a streak, their names
//	up or down            none could change it alone               several of them
//	any, without part data                                         the outlook of the check
func predict(c *config.Check, at netip.Addr, known *health.Status) nextTransition {
	if len(known.Parts) == 0 || len(known.Parts) != len(c.Parts) {
		return nextTransition{known.Outlook, streakToward(known)}
	}
	if known.Verdict == health.Unknown || known.Verdict == health.Uncertain {
		if awaited := awaits(c, at, known); awaited != "" {
			return nextTransition{words: awaited}
		}
	}
	return closestPart(c, at, known)
}

// streakToward returns the number of consecutive results towards the next transition.
func streakToward(known *health.Status) int {
	for _, r := range known.Last {
		if r.Outcome == probe.Inconclusive {
			continue
		}
		if answeredUp(known) == (r.Outcome == probe.Passed) {
			return 0
		}
		return known.Streak
	}
	return 0
}

// answeredUp reports whether answers treat it as up.
func answeredUp(known *health.Status) bool {
	return known.Verdict != health.Down && known.Effective != health.Down
}

// awaits describes the awaited results of the parts without a health state.
func awaits(c *config.Check, at netip.Addr, known *health.Status) string {
	var all []string
	for i := range known.Parts {
		p := &known.Parts[i]
		if !p.ObserveOnly && (p.Verdict == health.Unknown || p.Verdict == health.Uncertain) {
			all = append(all, partName(p, at)+": "+predict(c.Parts[i].Check, p.Addr, &p.Status).words)
		}
	}
	return strings.Join(all, "; ")
}

// closestPart describes the transition of the part that is closest to changing the check.
func closestPart(c *config.Check, at netip.Addr, known *health.Status) nextTransition {
	var next nextTransition
	var names []string
	for i := range known.Parts {
		if !wouldChange(c, known, i) {
			continue
		}
		p := &known.Parts[i]
		names = append(names, partName(p, at))
		by := predict(c.Parts[i].Check, p.Addr, &p.Status)
		if len(names) == 1 || by.streak > next.streak {
			next = nextTransition{partName(p, at) + ": " + by.words, by.streak}
		}
	}
	switch {
	case len(names) == 0:
		return nextTransition{words: "when several of its checks change"}
	case next.streak == 0 && len(names) > 1:
		return nextTransition{words: "when one of these changes: " + strings.Join(names, ", ")}
	}
	return next
}

// partName names a part of a composite check, with its address if that differs.
func partName(p *health.PartStatus, at netip.Addr) string {
	if p.Addr != at {
		return fmt.Sprintf("check %q at %s", p.Check, p.Addr)
	}
	return fmt.Sprintf("check %q", p.Check)
}

// wouldChange reports whether a check would change if its part i did.
func wouldChange(c *config.Check, known *health.Status, i int) bool {
	return !known.Parts[i].ObserveOnly && upWith(c, known, -1) != upWith(c, known, i)
}

// upWith reports whether a composite check is up if its part i has the opposite state; -1 changes
// no part.
//
//	type      up if
//	all       all counted parts are up
//	any       one is up, and every critical one
//	at_least  n are up, and every critical one
//	invert    its only part is down
func upWith(c *config.Check, known *health.Status, i int) bool {
	up, counted, critical := 0, 0, true
	for j := range known.Parts {
		p := &known.Parts[j]
		if p.ObserveOnly {
			continue
		}
		counted++
		if answeredUp(&p.Status) != (i == j) {
			up++
		} else if p.Critical {
			critical = false
		}
	}
	switch c.Type {
	case config.All:
		return up == counted
	case config.Any:
		return critical && up > 0
	case config.AtLeast:
		return critical && up >= c.N
	}
	return up == 0
}
