package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meridian/server"
)

func statusCommand() *cobra.Command {
	var c client
	var output outputFlag
	var problems bool
	command := &cobra.Command{
		Use:   "status [TARGET]",
		Short: "Say how a running server's members stand, since when, why, and what comes next",
		Long: `Status asks a running server how its pools and members stand: the state of each member, since when,
why, and what comes next. For a single member it prints the last results and turns of each of its
addresses too.

` + targetHelp + `

Exit: 0; 1 when there is no such target or no server.`,
		Example: `  meridian status
  meridian status web
  meridian status web/use-1
  meridian status --problems                what is not as it should be, alone
  meridian status region:us-east -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			words := url.Values{}
			single := false
			if len(args) == 1 {
				target, err := server.ParseSelector(args[0])
				if err != nil {
					return err
				}
				words.Set("target", target.String())
				single = target.Member != ""
			}
			var s server.Status
			if err := c.call(command.Context(), http.MethodGet, "/v1/status", words, nil, &s); err != nil {
				return err
			}
			if problems {
				keepProblems(&s)
			}
			if output == outputJSON {
				return printJSON(command.OutOrStdout(), s)
			}
			return printStatus(command.OutOrStdout(), &s, single)
		},
	}
	addClientFlags(command, &c, defaultServer)
	addOutputFlag(command, &output)
	command.Flags().BoolVar(&problems, "problems", false, "only pools, members and regions that are not as they should be")
	return command
}

// printStatus prints a status for people; with history, what each address went through.
func printStatus(w io.Writer, s *server.Status, history bool) error {
	for _, warning := range warningsOf(s) {
		fmt.Fprintf(w, "WARNING: %s\n", warning)
	}
	for i := range s.Pools {
		if isOutage(&s.Pools[i]) {
			fmt.Fprintf(w, "OUTAGE: %s; no member is healthy\n", describePool(&s.Pools[i], s.At))
		}
	}
	fmt.Fprintf(w, "serving %s on %s, began %s ago\n", s.Config, strings.Join(s.Listen, " "), age(s.StartedAt, s.At))
	for _, o := range s.Overrides {
		fmt.Fprintf(w, "override: %s\n", describeOverride(o))
	}
	if s.Latency != nil {
		fmt.Fprintf(w, "latency: %s\n", describeLatency(s.Latency, s.At))
	}
	for i := range s.Regions {
		fmt.Fprintln(w, describeRegion(&s.Regions[i], s.At))
		printWarnings(w, s.Regions[i].Addresses)
	}
	for i := range s.Pools {
		fmt.Fprintf(w, "\n%s\n", describePool(&s.Pools[i], s.At))
		if err := printMembers(w, s.Pools[i].Members, s.At); err != nil {
			return err
		}
		printNotes(w, &s.Pools[i], s.At)
		if history {
			printHistory(w, &s.Pools[i], s.At)
		}
	}
	return nil
}

// describeLatency tells of the table of round trips in words.
func describeLatency(l *server.LatencyStatus, now time.Time) string {
	text := fmt.Sprintf("%d round trips of %s, written %s ago", l.Rows, l.File, age(l.Written, now))
	if l.Stale {
		text += "; older than max_age, distance decides"
	}
	if l.Error != "" {
		text += "; a new file is refused: " + l.Error
	}
	return text
}

func printMembers(w io.Writer, members []server.MemberStatus, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  MEMBER\tREGION\tSTATE\tSINCE\tWHY\tNEXT")
	for i := range members {
		m := &members[i]
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", m.Member, orDash(m.Region), m.State, age(m.Since, now), shortened(m.Why), m.Next)
		if len(m.Addresses) < 2 && m.Override == nil {
			continue
		}
		for _, a := range m.Addresses {
			if a.Check == "" {
				continue
			}
			fmt.Fprintf(t, "    %s\t\t%s\t%s\t%s\t%s\n", a.Address, verdictOf(&a), age(a.Since, now), shortened(orDash(a.Why)), orDash(a.Next))
		}
	}
	return t.Flush()
}

// widest is how many characters of a reason a table shows: peers choose part of
// it. What is cut off stands in JSON and, with the results, in a member's own status.
const widest = 90

func shortened(reason string) string {
	if runes := []rune(reason); len(runes) > widest {
		return string(runes[:widest]) + "..."
	}
	return reason
}

// verdictOf is an address's verdict, with what answers go by where it is uncertain.
func verdictOf(a *server.AddressStatus) string {
	switch {
	case a.Effective != "":
		return a.Verdict + ", as " + a.Effective
	case a.SlowStartWeight < 1:
		return fmt.Sprintf("%s, %.0f %%", a.Verdict, 100*a.SlowStartWeight)
	}
	return a.Verdict
}

func printHistory(w io.Writer, p *server.PoolStatus, now time.Time) {
	for _, m := range p.Members {
		for _, a := range m.Addresses {
			if a.Check == "" {
				continue
			}
			fmt.Fprintf(w, "\n%s, check %s\n", a.Address, a.Check)
			printResults(w, &a, now, math.MaxInt, "  ")
			printParts(w, &a, now, "  ")
		}
	}
}

// printResults prints the last turns of an address, then its last results, as
// many as known or most of each.
func printResults(w io.Writer, a *server.AddressStatus, now time.Time, most int, indent string) {
	for _, t := range a.Transitions[:min(most, len(a.Transitions))] {
		fmt.Fprintf(w, "%s%s ago  turned from %s to %s: %s\n", indent, age(t.At, now), t.From, t.To, t.Reason)
	}
	for _, r := range a.Results[:min(most, len(a.Results))] {
		fmt.Fprintf(w, "%s%s ago  %s in %s: %s\n", indent, age(r.At, now), r.Outcome, r.Latency.Round(100*time.Microsecond), r.Reason)
	}
}

// describePool is a pool in a line: how many may be answered, and from where if not
// from them, and since when.
func describePool(p *server.PoolStatus, now time.Time) string {
	families := slices.Sorted(maps.Keys(p.Eligible))
	var parts []string
	for _, family := range families {
		part := fmt.Sprintf("%d", p.Eligible[family])
		if mode := p.Mode[family]; mode != "normal" {
			part += fmt.Sprintf(" (%s%s)", mode, sinceText(p.ModeSince[family], now))
		}
		parts = append(parts, part)
	}
	if p.Eligible["IPv4"] == p.Eligible["IPv6"] && p.Mode["IPv4"] == p.Mode["IPv6"] {
		parts = parts[:1]
	} else {
		for i, family := range families {
			parts[i] += " for " + family
		}
	}
	return fmt.Sprintf("pool %s, %s: eligible %s, needed %d", p.Pool, p.Policy, strings.Join(parts, ", "), p.Need)
}

// sinceText is for how long something has been so; nothing where that is not known.
func sinceText(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + age(since, now)
}

// describeRegion is a region that has a check in a line.
func describeRegion(r *server.RegionStatus, now time.Time) string {
	state := "not down"
	if r.Down {
		state = "down, and all who stand in it"
	}
	return fmt.Sprintf("region %s: %s, for %s: %s; %s", r.Region, state, age(r.Since, now), r.Why, r.Next)
}

func describeOverride(o server.Override) string {
	text := fmt.Sprintf("%s is %s", o.Target, o.Kind)
	if !o.Until.IsZero() {
		text += " until " + timeText(o.Until)
	}
	if o.Reason != "" {
		text += fmt.Sprintf(": %q", o.Reason)
	}
	if o.Unknown {
		text += " (the configuration has no such target)"
	}
	return text
}

// timeText is a time with its zone.
func timeText(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05 Z07:00") }

// age is how long ago a time was, as short as it may be; a dash for no time.
func age(at, now time.Time) string {
	d := max(0, now.Sub(at))
	switch {
	case at.IsZero():
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
