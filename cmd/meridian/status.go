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

	"meridian/control"
	"meridian/health"
	"meridian/pools"
)

func statusCommand() *cobra.Command {
	var c servers
	var output outputFlag
	var problems bool
	command := &cobra.Command{
		Use:   "status [TARGET]",
		Short: "Show pool and member status of a running server",
		Long: `Status shows the pools and members of a running server: the state of each member, since when, why, and
the next expected change. For a single member it also prints the last results and state changes of
each of its addresses.

` + targetHelp + `

Exit: 0; 1 if there is no such target or no server. Problems do not change it.`,
		Example: `  meridian status
  meridian status web
  meridian status web/use-1
  meridian status --problems                only what has a problem
  meridian status region:us-east -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			words := url.Values{}
			single := false
			if len(args) == 1 {
				target, err := control.ParseSelector(args[0])
				if err != nil {
					return err
				}
				words.Set("target", target.String())
				single = target.Member != ""
			}
			return c.each(command.OutOrStdout(), output, func(out io.Writer) error {
				var s control.Status
				if err := c.call(command.Context(), http.MethodGet, "/v1/status", words, nil, &s); err != nil {
					return err
				}
				if problems {
					keepProblems(&s)
				}
				if output == outputJSON {
					return printJSON(out, s)
				}
				if problems && !hasProblems(&s) {
					fmt.Fprintln(out, "no problems")
					return nil
				}
				c.addressFloods(s.Floods)
				return printStatus(out, &s, single)
			})
		},
	}
	addServersFlags(command, &c)
	addOutputFlag(command, &output)
	command.Flags().BoolVar(&problems, "problems", false, "only pools, members and regions with problems, and recent error reports")
	return command
}

// printStatus prints a status for people; with history, the history of each address too.
func printStatus(w io.Writer, s *control.Status, history bool) error {
	for _, warning := range warningsOf(s) {
		fmt.Fprintf(w, "WARNING: %s\n", warning)
	}
	for i := range s.Pools {
		printMode(w, &s.Pools[i], s.At)
	}
	printFloods(&textWriter{w: w}, s.Floods)
	printProcess(w, s)
	printOverrides(w, s)
	printFilters(w, s.Filters)
	printSigned(w, s.DNSSEC)
	printFrozen(w, s.Frozen, s.At)
	printCopies(w, s.Secondaries)
	printConflicts(w, s.Catalogs)
	printErrorReports(w, s)
	if s.Latency != nil {
		fmt.Fprintf(w, "latency: %s\n", describeLatency(s.Latency, s.At))
	}
	if m := s.Metrics; m != nil && m.Detail != m.Configured {
		fmt.Fprintf(w, "metrics: detail %s in place of %s, which has %d series; metrics.max_series is %d\n", m.Detail, m.Configured, m.Series, m.MaxSeries)
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

// printProcess prints what the process does, and its cluster.
func printProcess(w io.Writer, s *control.Status) {
	c := s.Cluster
	if c != nil && c.Kind == agentKind {
		fmt.Fprintf(w, "agent, probing what %s has, started %s ago\n", s.Config, age(s.StartedAt, s.At))
	} else {
		fmt.Fprintf(w, "serving %s on %s, started %s ago\n", s.Config, strings.Join(s.Listen, " "), age(s.StartedAt, s.At))
	}
	if c == nil {
		return
	}
	of := "nodes"
	if c.Agents > 0 {
		of = "nodes and agents"
	}
	fmt.Fprintf(w, "cluster %s: %s %s, etcd %s, fresh %d of %d %s\n", c.Cluster, c.Kind, c.Node, describeEtcd(c.Etcd, c.Mode), c.Fresh, c.Nodes, of)
	if r := c.Canary; r != nil && r.Result == control.CanaryRunning {
		fmt.Fprintln(w, describeRun(r))
	}
	printProvisionalTargets(w, c.Provisional)
}

// printOverrides prints the overrides and the maintenance windows, one in a line.
func printOverrides(w io.Writer, s *control.Status) {
	for _, o := range s.Overrides {
		refused := o.Error != ""
		o.Error = "" // it is among the warnings
		fmt.Fprintf(w, "override: %s%s\n", describeOverride(o), seeWarning(refused))
		if o.Clients != nil {
			fmt.Fprintf(w, "  %s\n", describeClients(o.Clients))
		}
	}
	printCanary(w, s.Canary, s.At)
	for i := range s.Maintenance {
		m := s.Maintenance[i]
		refused := m.State == control.WindowRefused
		if refused {
			m.State = "" // the reason is among the warnings
		}
		fmt.Fprintf(w, "maintenance: %s%s\n", describeWindow(&m), seeWarning(refused))
	}
}

// seeWarning refers to the warning about a change that is refused.
func seeWarning(refused bool) string {
	if refused {
		return "; refused, see the warning above"
	}
	return ""
}

// outageReason returns why a pool has no eligible member.
func outageReason(p *control.PoolStatus) string {
	for i := range p.Members {
		switch p.Members[i].State {
		case pools.Drained.String(), pools.ForcedDown.String(), "disabled":
		default:
			return "no member is healthy"
		}
	}
	return "every member is drained, forced down or disabled"
}

// printMode prints a warning if no member of a pool is eligible, or too few are:
//
//	eligible members         the pool answers          printed
//	none                     in any mode               OUTAGE
//	some                     by its policy             nothing
//	fewer than it needs      fail-open, fallback, ...  WARNING
func printMode(w io.Writer, p *control.PoolStatus, now time.Time) {
	if p.IsOutage() {
		fmt.Fprintf(w, "OUTAGE: %s; %s\n", describePool(p, now), outageReason(p))
		return
	}
	for _, mode := range p.Mode {
		if mode != "normal" {
			fmt.Fprintf(w, "WARNING: %s; fewer members are eligible than it needs\n", describePool(p, now))
			return
		}
	}
}

// describeLatency describes the state of the latency table.
func describeLatency(l *control.LatencyStatus, now time.Time) string {
	text := fmt.Sprintf("%d round trips of %s, written %s ago", l.Rows, l.File, age(l.Written, now))
	if l.Stale {
		text += "; older than max_age, distance decides"
	}
	if l.Error != "" {
		text += "; the new file is rejected: " + l.Error
	}
	return text
}

func printMembers(w io.Writer, members []control.MemberStatus, now time.Time) error {
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

// widest is the maximum number of characters of a reason in a table, because peers supply
// part of it. JSON and the status of a single member show all of it.
const widest = 90

func shortened(reason string) string {
	if runes := []rune(reason); len(runes) > widest {
		return string(runes[:widest]) + "..."
	}
	return reason
}

// verdictOf returns an address's health state, and the effective state if it is uncertain.
func verdictOf(a *control.AddressStatus) string {
	switch {
	case a.Effective != "":
		return a.Verdict + ", as " + a.Effective
	case a.SlowStartWeight < 1:
		return fmt.Sprintf("%s, %.0f %%", a.Verdict, 100*a.SlowStartWeight)
	}
	return a.Verdict
}

func printHistory(w io.Writer, p *control.PoolStatus, now time.Time) {
	for _, m := range p.Members {
		for _, a := range m.Addresses {
			if a.Check == "" {
				continue
			}
			fmt.Fprintf(w, "\n%s, check %s\n", a.Address, a.Check)
			if votes := describeVotes(&a); votes != "" {
				fmt.Fprintf(w, "  %s\n", votes)
			}
			printResults(w, &a, now, math.MaxInt, "  ")
			printParts(w, &a, now, "  ")
		}
	}
}

// printResults prints the last state changes of an address, then its last results, at most
// most of each.
func printResults(w io.Writer, a *control.AddressStatus, now time.Time, most int, indent string) {
	for _, t := range a.Transitions[:min(most, len(a.Transitions))] {
		fmt.Fprintf(w, "%s%s ago  changed from %s to %s: %s\n", indent, age(t.At, now), t.From, t.To, t.Reason)
	}
	for _, r := range a.Results[:min(most, len(a.Results))] {
		fmt.Fprintf(w, "%s%s ago  %s in %s: %s\n", indent, age(r.At, now), r.Outcome, r.Latency.Round(100*time.Microsecond), r.Reason)
	}
}

// describePool describes a pool in a line: the number of eligible members, and the mode
// and its duration if it is not normal.
func describePool(p *control.PoolStatus, now time.Time) string {
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

// sinceText returns the duration of a state; empty if unknown.
func sinceText(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + age(since, now)
}

// describeRegion describes a region with a check in a line.
func describeRegion(r *control.RegionStatus, now time.Time) string {
	state := "not down"
	if r.Down {
		state = "down with all its members"
	}
	return fmt.Sprintf("region %s: %s, for %s: %s; %s", r.Region, state, age(r.Since, now), r.Why, r.Next)
}

func describeOverride(o control.Override) string {
	text := fmt.Sprintf("%s is %s", o.Target, o.Effect())
	if o.IsScheduled() {
		text = fmt.Sprintf("%s is scheduled to be %s from %s", o.Target, o.Effect(), timeText(o.At))
	}
	if o.Owner != "" {
		text += " by " + o.Owner
	}
	switch {
	case o.Local:
		text += " on this node only"
	case o.Shared != nil && o.Shared.By != "":
		text += fmt.Sprintf(" on all nodes (by %s at %s)", o.Shared.By, o.Shared.Node)
	case o.Shared != nil:
		text += fmt.Sprintf(" on all nodes (at %s)", o.Shared.Node)
	}
	if !o.Until.IsZero() {
		text += " until " + timeText(o.Until)
	}
	if o.Reason != "" {
		text += fmt.Sprintf(": %q", o.Reason)
	}
	if o.Unknown {
		text += " (the configuration has no such target)"
	}
	if o.Error != "" {
		text += "; not set yet, and tried again each minute: " + o.Error
	}
	return text
}

// describeWindow describes a maintenance window in a line.
func describeWindow(m *control.MaintenanceStatus) string {
	switch m.State {
	case control.WindowOpen:
		return fmt.Sprintf("%s is open until %s", m.Name, timeText(m.End))
	case control.WindowRefused:
		return fmt.Sprintf("%s does not open, and is tried again each minute until %s: %s", m.Name, timeText(m.End), m.Error)
	}
	return fmt.Sprintf("%s begins at %s", m.Name, timeText(m.Begin))
}

// timeText formats a time with its zone.
func timeText(at time.Time) string { return health.FormatTime(at.Local()) }

// age formats the time since at in short form; a dash for no time.
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
