package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"meridian/config"
	"meridian/control"
)

// printNotes prints, below the members of a pool, notes for which there is no column:
// problems that need action but do not change a health state.
func printNotes(w io.Writer, p *control.PoolStatus, now time.Time) {
	seen := map[config.Target]bool{}
	for i := range p.Members {
		m := &p.Members[i]
		if m.Resolving != nil && len(m.Addresses) > 0 && !seen[m.Target] { // without addresses, the member's reason says it
			seen[m.Target] = true
			if trouble := describeResolving(m.Resolving, now); trouble != "" {
				fmt.Fprintf(w, "  note: target %s %s\n", m.Target, trouble)
			}
		}
		printWarnings(w, m.Addresses)
	}
}

// printCanary prints the generation that a share of the clients gets; nil: none does.
func printCanary(w io.Writer, k *control.CanaryStatus, now time.Time) {
	if k == nil {
		return
	}
	fmt.Fprintf(w, "CANARY: generation %d on a canary of %s of the clients for %s; answers %d, of them SERVFAIL %d\n", k.Generation, percentText(k.Percent), age(k.Since, now), k.Answers, k.Failures)
	for _, m := range k.Modes {
		fmt.Fprintf(w, "  pool %s is %s there for %s\n", m.Pool, m.Mode, m.Family)
	}
	printProvisionalTargets(w, k.Provisional)
}

// printProvisionalTargets prints the targets that only the checks of a canary probe.
func printProvisionalTargets(w io.Writer, all []control.ProvisionalTarget) {
	for _, p := range all {
		fmt.Fprintf(w, "  provisional: check %s finds %s %s: %s\n", p.Check, p.Address, p.State, orDash(p.Reason))
	}
}

// printWarnings prints the warnings of addresses and of the parts of their checks.
func printWarnings(w io.Writer, addresses []control.AddressStatus) {
	for i := range addresses {
		a := &addresses[i]
		if a.Warning != "" {
			fmt.Fprintf(w, "  note: %s, check %s: %s\n", a.Address, a.Check, a.Warning)
		}
		for j := range a.Parts {
			printWarnings(w, []control.AddressStatus{a.Parts[j].AddressStatus})
		}
	}
}

// describeResolving describes a target that keeps its last addresses because it cannot be
// resolved, has those of another node because of that or although this node finds others, or has those for another place; empty: none.
func describeResolving(r *control.ResolvingStatus, now time.Time) string {
	switch {
	case r.From != "" && r.Failures > 0:
		return fmt.Sprintf("has the addresses that %s finds, not resolvable here for %s: %s", r.From, age(r.Failing, now), r.Why)
	case r.From != "" && r.SubnetIgnored:
		return fmt.Sprintf("has the addresses that %s finds; the resolver of this node ignores the client subnet", r.From)
	case len(r.Own) > 0:
		return fmt.Sprintf("has the addresses that %s finds; this node finds %s", r.From, joinAddresses(r.Own))
	case r.Failures == 0 && r.SubnetIgnored:
		return "has the addresses for the resolver's own place: the resolver ignores the client subnet"
	case r.Failures == 0:
		return ""
	}
	return fmt.Sprintf("not resolvable for %s, keeping the last addresses: %s; next attempt in %s", age(r.Failing, now), r.Why, age(now, r.Next))
}

// joinAddresses formats a list of addresses.
func joinAddresses(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

// mostOfParts is the maximum number of results printed of a part of a composite check.
const mostOfParts = 3

// printParts prints the parts of an address's composite check, with their last results.
func printParts(w io.Writer, a *control.AddressStatus, now time.Time, indent string) {
	for i := range a.Parts {
		p := &a.Parts[i]
		fmt.Fprintf(w, "%s%s: %s for %s: %s; %s\n", indent, describePart(p, a.Address), verdictOf(&p.AddressStatus), age(p.Since, now), orDash(p.Why), orDash(p.Next))
		printResults(w, &p.AddressStatus, now, mostOfParts, indent+"  ")
		printParts(w, &p.AddressStatus, now, indent+"  ")
	}
}

// describePart names a part of the composite check of an address.
func describePart(p *control.PartStatus, of netip.Addr) string {
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
