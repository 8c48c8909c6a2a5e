package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meridian/control"
	"meridian/geo"
	"meridian/pools"
	"meridian/server/answer"
)

// printExplanation prints an explanation for people: the question, where the
// client is, each pool's members with the reasons, the answer.
func printExplanation(w io.Writer, e control.Explanation) error {
	out := &textWriter{w: w}
	out.line("%s %s for client %s", e.Name, e.Type, e.Client)
	out.line("")
	out.wrapped("client    ", describeSource(e.Source)+", "+describeLocation(e.Location))
	for _, note := range e.Notes {
		out.wrapped("note      ", note)
	}
	if k := e.Canary; k != nil {
		out.wrapped("canary    ", describeCanary(k))
	}
	printSources(out, e.Sources)
	for steps := range visits(e.Steps) {
		printVisit(out, &e, steps)
	}
	printTargets(out, &e)
	printProvisional(out, &e)
	out.line("")
	if len(e.Steps) > 0 {
		out.line("draw      %s; with --draw %[1]s the answer is the same again", e.Draw)
	}
	out.line("answer    %s, scope /%d%s", e.Rcode, e.Scope, extendedErrorText(e.ExtendedError))
	if e.Why != "" {
		out.wrapped("because   ", e.Why)
	}
	for _, a := range e.Answers {
		out.line("  %s %d IN %s %s", a.Name, a.TTL, a.Type, a.Data)
	}
	printSignatures(out, e.Signatures)
	printLimits(out, &e)
	return out.err
}

// describeCanary says which generation answers the client.
func describeCanary(k *answer.ExplainedCanary) string {
	share := fmt.Sprintf("generation %d is on a canary of %s of the clients; ", k.Generation, percentText(k.Percent))
	if k.Answers {
		return share + "this client is among them, and that generation answers it"
	}
	return share + "this client is not among them, and the generation that serves answers it"
}

// percentText formats a share of the clients in percent.
func percentText(percent float64) string { return strconv.FormatFloat(percent, 'f', -1, 64) + "%" }

// printLimits prints what keeps the query from the answer: a rule of the filter, and the limit of the rate.
func printLimits(out *textWriter, e *control.Explanation) {
	if f := e.Filter; f != nil {
		out.wrapped("filter    ", fmt.Sprintf("NOT ANSWERED LIKE THIS: rule %s %s", f.Name, f.Describe()))
	}
	l := e.RateLimit
	if l == nil {
		return
	}
	text := fmt.Sprintf("%d answers a second to an address over UDP; ", l.Rate)
	switch {
	case l.Exempt:
		text += "this source is exempt"
	case l.Over && l.DryRun:
		text += "this source is OVER it, and answered all the same: dry_run"
	case l.Over:
		text += "this source is OVER it: without a valid cookie it gets TC, BADCOOKIE or no answer"
	default:
		text += "this source is within it"
	}
	out.wrapped("limit     ", text)
}

// extendedErrorText returns an extended error as the end of a line.
func extendedErrorText(e *control.ExplainedError) string {
	if e == nil {
		return ""
	}
	return fmt.Sprintf(", extended error %d (%s)", e.Code, e.Name)
}

// printSignatures prints the signatures that the answer has if the client asks for them.
func printSignatures(out *textWriter, all []answer.ExplainedSignature) {
	for _, s := range all {
		cached := ""
		if s.Cached != nil {
			cached = map[bool]string{true: ", cached", false: ", not cached"}[*s.Cached]
		}
		out.line("signature %s %s by key %s, expires %s%s", s.Name, s.Type, strings.Trim(fmt.Sprint(s.Keys), "[]"), instantText(&s.Expires), cached)
	}
}

// printSources prints the result of each location source, and marks the one that was used.
func printSources(out *textWriter, sources []geo.SourceResult) {
	if len(sources) == 0 { // older servers do not report them
		return
	}
	var t table
	t.add("   SOURCE", "NETWORK", "SAYS")
	for _, s := range sources {
		t.add(mark(s.Placed)+" "+s.Source, orDash(s.Network), s.Says)
	}
	t.print(out, "")
}

// visits splits steps into the visits of pools: a repeated member begins another visit of
// the same pool.
func visits(steps []control.ExplainedStep) func(yield func([]control.ExplainedStep) bool) {
	return func(yield func([]control.ExplainedStep) bool) {
		for len(steps) > 0 {
			n := 1
			for n < len(steps) && describeSteps(steps[n]) == describeSteps(steps[0]) && steps[n].Member != steps[0].Member {
				n++
			}
			if !yield(steps[:n]) {
				return
			}
			steps = steps[n:]
		}
	}
}

// describeSteps returns the heading of the steps of a pool.
func describeSteps(s control.ExplainedStep) string {
	heading := fmt.Sprintf("pool %s, %s", s.Pool, s.Policy)
	if s.Family != "" {
		heading += ", for " + s.Family
	}
	return heading
}

// printVisit prints the visit of a pool: its answer mode if a name refers to it, the
// client's matches if they matter, then its members.
func printVisit(out *textWriter, e *control.Explanation, steps []control.ExplainedStep) {
	out.line("\n%s", describeSteps(steps[0]))
	for _, s := range e.PoolAnswers {
		if s.Pool == steps[0].Pool && (steps[0].Family == "" || steps[0].Family == s.Family) {
			printStanding(out, s)
			break
		}
		if s.By == steps[0].Pool && s.Mode == pools.FallenBack.String() {
			out.line("   the fallback of %q", s.Pool)
			break
		}
	}
	if matches := describeMatches(steps); matches != "" {
		out.wrapped("   ", "client's matches, most specific first: "+matches)
	}
	var t table
	t.add("   MEMBER", "REGION", "HEALTH", "KM", "MS", "WEIGHT", "LOAD", "ODDS", "WHY")
	for _, s := range steps {
		state, _, _ := strings.Cut(s.State, ":") // the reason has the rest
		t.add(mark(s.Chosen)+" "+s.Member, orDash(s.Region), state, kilometres(s.DistanceKm), milliseconds(s.RTT), number(s.Weight), used(s.Load), odds(s.InAnswer), s.Reason)
	}
	t.print(out, "")
}

// printStanding prints the answer mode of a pool that a name refers to.
func printStanding(out *textWriter, s pools.PoolAnswer) {
	out.wrapped("   ", s.Why)
	if s.NoData > 0 && s.NoData < 1 {
		out.wrapped("   ", fmt.Sprintf("%s of the draws find no address: NODATA", odds(s.NoData)))
	}
}

// describeMatches returns the client's matches, and the members of each match.
func describeMatches(steps []control.ExplainedStep) string {
	by := map[int]string{}
	for _, s := range steps {
		switch m := s.Match; {
		case m == nil:
		case by[m.Place] == "":
			by[m.Place] = m.By + " -> " + s.Member
		default:
			by[m.Place] += ", " + s.Member
		}
	}
	var all []string
	for place := 1; len(all) < len(by); place++ {
		if by[place] != "" {
			all = append(all, by[place])
		}
	}
	return strings.Join(all, "; ")
}

// printTargets prints the addresses of the targets among the members, each target once.
func printTargets(out *textWriter, e *control.Explanation) {
	seen := map[string]bool{}
	for _, s := range e.Steps {
		if s.Target == nil || seen[s.Target.Name] {
			continue
		}
		if len(seen) == 0 {
			out.line("")
		}
		seen[s.Target.Name] = true
		if len(s.Target.Addresses) == 0 {
			why := ""
			if r := s.Resolving; r != nil && r.Why != "" {
				why = fmt.Sprintf(" for %s: %s; asked again in %s", age(r.Since, e.At), r.Why, age(e.At, r.Next))
			}
			out.wrapped("target    ", s.Target.Name+": not resolved"+why)
			continue
		}
		failing := ""
		if r := s.Resolving; r != nil {
			switch trouble := describeResolving(r, e.At); {
			case trouble != "":
				failing = "; it " + trouble
			case r.From != "":
				failing = ", found by " + r.From
			}
		}
		out.wrapped("target    ", fmt.Sprintf("%s: %s, since %s%s", s.Target.Name, joinAddresses(s.Target.Addresses), timeText(s.Target.Since), failing))
	}
}

// printProvisional prints the health state of addresses that are not fully up or are in slow
// start, each once.
func printProvisional(out *textWriter, e *control.Explanation) {
	const most = 3 // results, and state changes
	type probed struct {
		check string
		addr  netip.Addr
	}
	var seen []probed
	for _, s := range e.Steps {
		for _, a := range s.Addresses {
			if slices.Contains(seen, probed{a.Check, a.Address}) {
				continue
			}
			seen = append(seen, probed{a.Check, a.Address})
			out.line("")
			out.wrapped("address   ", fmt.Sprintf("%s, check %s, of %s/%s: %s for %s: %s; %s",
				a.Address, a.Check, s.Pool, s.Member, verdictOf(&a), age(a.Since, e.At), orDash(a.Why), orDash(a.Next)))
			if votes := describeVotes(&a); votes != "" {
				out.wrapped("  ", votes)
			}
			printResults(out.w, &a, e.At, most, "  ")
			printParts(out.w, &a, e.At, "  ")
		}
	}
}

func describeSource(source string) string {
	switch source {
	case "ecs":
		return "its client-subnet"
	case "resolver":
		return "the packet's source"
	}
	return "the default region"
}

// describeLocation describes a location: its source, city, subdivision, country,
// coordinates and AS number, as far as known.
func describeLocation(l control.ExplainedLocation) string {
	if l.From == "" {
		return "not located" + describeASN(l.ASN)
	}
	var parts []string
	for _, part := range []string{l.City, l.Subdivision, l.Country, l.Continent} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	parts = append(parts, fmt.Sprintf("at %.2f, %.2f", l.Latitude, l.Longitude))
	return "located by " + l.From + ": " + strings.Join(parts, " ") + describeASN(l.ASN)
}

// describeASN describes an AS number; 0 is unknown.
func describeASN(asn uint32) string {
	if asn == 0 {
		return ""
	}
	return fmt.Sprintf(", AS%d", asn)
}

func mark(chosen bool) string {
	if chosen {
		return "->"
	}
	return "  "
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func kilometres(d *float64) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", *d)
}

func milliseconds(r *pools.StepRTT) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", r.Ms)
}

// used formats the used share of a member's capacity.
func used(l *pools.StepLoad) string {
	if l == nil || !l.Fresh {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*l.Load/l.Capacity)
}

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// odds formats a probability as a percentage.
func odds(p float64) string {
	if p == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g%%", p*100)
}
