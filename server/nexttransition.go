package server

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/config"
	"meridian/health"
)

// complete adds to what the prober knows what follows from the check: what comes
// next for one that is made of others, and whether a certificate has few days left.
func (s *AddressStatus) complete(c *config.Check, known *health.Status, now time.Time) {
	s.Next = predict(c, s.Address, known).words
	s.Warning = strings.Join(slices.DeleteFunc(
		[]string{inconclusive(known), expiresSoon(s.Expires, now, c.TLS.WarnDays)},
		func(warning string) bool { return warning == "" }), "; ")
	for i := range min(len(s.Parts), len(c.Parts)) {
		s.Parts[i].complete(c.Parts[i].Check, &known.Parts[i].Status, now)
	}
}

// inconclusive says since when and why all probes of an address have been inconclusive; empty:
// the last one was conclusive.
func inconclusive(known *health.Status) string {
	if known.Inconclusive.IsZero() || len(known.Last) == 0 {
		return ""
	}
	return fmt.Sprintf("inconclusive since %s: %s", known.Inconclusive.UTC().Format(time.RFC3339), known.Last[0].Reason)
}

// expiresSoon warns of a certificate with fewer than so many whole days left, as the
// prober's line in the log does; empty: it has more, or none was seen.
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

// nextTransition is what comes next for an address.
type nextTransition struct {
	words  string
	streak int // results in a row that lead there; 0: it is not on its way
}

// predict is what comes next for an address under a check. For one that is made of
// others it names those by whom that comes:
//
//	it is                 of its checks that count                 next is that of
//	--------------------  ---------------------------------------  -----------------------------------
//	unknown or uncertain  some are unknown or uncertain            each of them: they are awaited
//	up or down            some could turn it, each alone           the one that is nearest to turning;
//	                                                               where none is on its way, their names
//	up or down            no one could alone                       several of them
//	any, its parts told elsewhere                                  that
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

// streakToward is how many results in a row lead to the next turn.
func streakToward(known *health.Status) int {
	for _, r := range known.Last {
		if r.Outcome == health.Inconclusive {
			continue
		}
		if answeredUp(known) == (r.Outcome == health.Passed) {
			return 0
		}
		return known.Streak
	}
	return 0
}

// answeredUp is whether answers take it for up.
func answeredUp(known *health.Status) bool {
	return known.Verdict != health.Down && known.Effective != health.Down
}

// awaits is what is awaited of the checks without a verdict.
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

// closestPart is by whom it turns next.
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
		return nextTransition{words: "when several of its checks turn"}
	case next.streak == 0 && len(names) > 1:
		return nextTransition{words: "when one of these turns: " + strings.Join(names, ", ")}
	}
	return next
}

// partName is a check that another is made of, at an address of its own if it has one.
func partName(p *health.PartStatus, at netip.Addr) string {
	if p.Addr != at {
		return fmt.Sprintf("check %q at %s", p.Check, p.Addr)
	}
	return fmt.Sprintf("check %q", p.Check)
}

// wouldChange reports whether a check would turn if its part i did.
func wouldChange(c *config.Check, known *health.Status, i int) bool {
	return !known.Parts[i].ObserveOnly && upWith(c, known, -1) != upWith(c, known, i)
}

// upWith is whether a check that is made of others is up, were its part i, unless
// that is -1, the opposite of what it is.
//
//	type      up
//	all       all that count are
//	any       one is, and every critical one
//	at_least  n are, and every critical one
//	invert    its one is not
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
