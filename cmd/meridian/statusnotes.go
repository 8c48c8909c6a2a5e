package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"meridian/config"
	"meridian/server"
)

// printNotes prints below the members of a pool what no column of theirs tells: what
// is to be done although no verdict turns by it.
func printNotes(w io.Writer, p *server.PoolStatus, now time.Time) {
	told := map[config.Name]bool{}
	for i := range p.Members {
		m := &p.Members[i]
		if m.Resolving != nil && len(m.Addresses) > 0 && !told[m.Target] { // without addresses it is why it is unresolved
			told[m.Target] = true
			if trouble := describeResolving(m.Resolving, now); trouble != "" {
				fmt.Fprintf(w, "  note: target %s %s\n", m.Target, trouble)
			}
		}
		printWarnings(w, m.Addresses)
	}
}

// printWarnings prints those of addresses, and of the checks that theirs are made of.
func printWarnings(w io.Writer, addresses []server.AddressStatus) {
	for i := range addresses {
		a := &addresses[i]
		if a.Warning != "" {
			fmt.Fprintf(w, "  note: %s, check %s: %s\n", a.Address, a.Check, a.Warning)
		}
		for j := range a.Parts {
			printWarnings(w, []server.AddressStatus{a.Parts[j].AddressStatus})
		}
	}
}

// describeResolving tells of a target that is answered with what was found last;
// nothing of one that can be resolved.
func describeResolving(r *server.ResolvingStatus, now time.Time) string {
	if r.Failures == 0 {
		return ""
	}
	return fmt.Sprintf("cannot be resolved for %s, the addresses found before stay: %s; asked again in %s", age(r.Failing, now), r.Why, age(now, r.Next))
}

// mostOfParts is how many results are printed of a check that another is made of.
const mostOfParts = 3

// printParts prints the checks that that of an address is made of, with their last results.
func printParts(w io.Writer, a *server.AddressStatus, now time.Time, indent string) {
	for i := range a.Parts {
		p := &a.Parts[i]
		fmt.Fprintf(w, "%s%s: %s for %s: %s; %s\n", indent, describePart(p, a.Address), verdictOf(&p.AddressStatus), age(p.Since, now), orDash(p.Why), orDash(p.Next))
		printResults(w, &p.AddressStatus, now, mostOfParts, indent+"  ")
		printParts(w, &p.AddressStatus, now, indent+"  ")
	}
}

// describePart names a check that another, of an address, is made of.
func describePart(p *server.PartStatus, of netip.Addr) string {
	words := []string{"check " + p.Check}
	if p.Address != of {
		words[0] += " at " + p.Address.String()
	}
	if p.Critical {
		words = append(words, "critical")
	}
	if p.ObserveOnly {
		words = append(words, "observe_only")
	}
	return strings.Join(words, ", ")
}
