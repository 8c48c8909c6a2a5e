package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/server"
)

// printExplanation prints an explanation for people: the question, where the
// client is, each pool's members with the reasons, the answer.
func printExplanation(w io.Writer, e server.Explanation) error {
	fmt.Fprintf(w, "%s %s for client %s\n\n", e.Name, e.Type, e.Client)
	fmt.Fprintf(w, "client    %s, located by %s: %s\n", describeSource(e.Source), e.Location.From, describeLocation(e.Location))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heading, first := "", ""
	for _, s := range e.Steps {
		if now := describeSteps(s); now != heading || s.Member == first { // another pool, or the same once more
			heading, first = now, s.Member
			fmt.Fprintf(t, "\n%s\n", heading)
			fmt.Fprintln(t, "   MEMBER\tREGION\tVERDICT\tKM\tWEIGHT\tODDS\tWHY")
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", mark(s.Chosen), s.Member, orDash(s.Region), s.Verdict, kilometres(s.DistanceKm), number(s.Weight), odds(s.Probability), s.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printTargets(w, &e)
	printDoubts(w, &e)
	if len(e.Steps) > 0 {
		fmt.Fprintf(w, "\ndraw      %s; with --draw %[1]s the answer is the same again\n", e.Draw)
	}
	fmt.Fprintf(w, "\nanswer    %s, scope /%d\n", e.Rcode, e.Scope)
	for _, a := range e.Answers {
		fmt.Fprintf(w, "  %s %d IN %s %s\n", a.Name, a.TTL, a.Type, a.Data)
	}
	return nil
}

// describeSteps is the heading of the steps of a pool.
func describeSteps(s server.ExplainedStep) string {
	heading := fmt.Sprintf("pool %s, %s", s.Pool, s.Policy)
	if s.Family != "" {
		heading += ", for " + s.Family
	}
	return heading
}

// printTargets prints what the targets among the members led to, each once.
func printTargets(w io.Writer, e *server.Explanation) {
	told := map[string]bool{}
	for _, s := range e.Steps {
		if s.Target == nil || told[s.Target.Name] {
			continue
		}
		if len(told) == 0 {
			fmt.Fprintln(w)
		}
		told[s.Target.Name] = true
		if len(s.Target.Addresses) == 0 {
			fmt.Fprintf(w, "target    %s: not resolved", s.Target.Name)
			if r := s.Resolving; r != nil && r.Why != "" {
				fmt.Fprintf(w, " for %s: %s; asked again in %s", age(r.Since, e.At), r.Why, age(e.At, r.Next))
			}
			fmt.Fprintln(w)
			continue
		}
		fmt.Fprintf(w, "target    %s:", s.Target.Name)
		for _, a := range s.Target.Addresses {
			fmt.Fprintf(w, " %s", a)
		}
		fmt.Fprintf(w, ", since %s", s.Target.Since.UTC().Format(time.RFC3339))
		if r := s.Resolving; r != nil && r.Failures > 0 {
			fmt.Fprint(w, "; it ", describeResolving(r, e.At))
		}
		fmt.Fprintln(w)
	}
}

// printDoubts prints what a running server knows of addresses that are down,
// uncertain or start slowly, each once.
func printDoubts(w io.Writer, e *server.Explanation) {
	const most = 3 // results, and turns
	type probed struct {
		check string
		addr  netip.Addr
	}
	told := map[probed]bool{}
	for _, s := range e.Steps {
		for _, a := range s.Addresses {
			if told[probed{a.Check, a.Address}] {
				continue
			}
			told[probed{a.Check, a.Address}] = true
			fmt.Fprintf(w, "\naddress   %s, check %s, of %s/%s: %s for %s: %s; %s\n",
				a.Address, a.Check, s.Pool, s.Member, verdictOf(&a), age(a.Since, e.At), orDash(a.Why), orDash(a.Next))
			printResults(w, &a, e.At, most, "  ")
			printParts(w, &a, e.At, "  ")
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

// describeLocation is a place in words: city, subdivision, country, coordinates
// and AS number, as far as they are known.
func describeLocation(l server.ExplainedLocation) string {
	var parts []string
	for _, part := range []string{l.City, l.Subdivision, l.Country, l.Continent} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	place := strings.Join(append(parts, fmt.Sprintf("at %.2f, %.2f", l.Latitude, l.Longitude)), " ")
	if l.ASN != 0 {
		place += fmt.Sprintf(", AS%d", l.ASN)
	}
	if l.Network != "" {
		place += " (" + l.Network + ")"
	}
	return place
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

func number(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// odds is a probability in per cent.
func odds(p float64) string {
	if p == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g%%", p*100)
}
