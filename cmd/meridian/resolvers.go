package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"meridian/control"
	"meridian/control/resolvers"
)

// resolverOptions is the command line of resolvers.
type resolverOptions struct {
	servers
	output    outputFlag
	limit     int
	misplaced bool
}

func resolversCommand() *cobra.Command {
	var o resolverOptions
	c := &cobra.Command{
		Use:   "resolvers",
		Short: "Show the resolvers that query a running server",
		Long: `Resolvers shows the resolvers that have asked a running server for names of pools, those with the most
queries first: how often each asks, how long it waits before it repeats a question, where it is, and
where its clients are, by the client subnets of its queries. It needs resolver_stats: on.

MISPLACED means that most of these clients are nearest to another region than the resolver. Their
queries without a client subnet are answered for the resolver's location; geo.networks can correct it.

Exit: 0; 1 if resolvers are not observed or there is no server.`,
		Example: `  meridian resolvers
  meridian resolvers --misplaced -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.each(c.OutOrStdout(), o.output, func(out io.Writer) error { return o.report(c, out) })
		},
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	c.Flags().IntVarP(&o.limit, "limit", "n", 100, "show at most `N` resolvers")
	c.Flags().BoolVar(&o.misplaced, "misplaced", false, "only resolvers that look misplaced")
	return c
}

// report prints the resolvers of the present server.
func (o *resolverOptions) report(c *cobra.Command, out io.Writer) error {
	words := url.Values{"limit": {strconv.Itoa(o.limit)}, "misplaced": {strconv.FormatBool(o.misplaced)}}
	var report control.ResolverReport
	if err := o.call(c.Context(), http.MethodGet, "/v1/resolvers", words, nil, &report); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, report)
	}
	return printResolvers(out, &report)
}

// printResolvers prints a table of resolvers.
func printResolvers(out io.Writer, r *control.ResolverReport) error {
	w := &textWriter{w: out}
	w.line("resolvers: %d, observed for %s%s", r.Known, age(r.Since, r.At), limitsOf(r))
	if len(r.Resolvers) == 0 {
		return w.err
	}
	var t table
	t.add("RESOLVER", "QUERIES", "PER SECOND", "GAP", "TTL", "AT", "CLIENTS AT", "NOTE")
	for i := range r.Resolvers {
		s := &r.Resolvers[i]
		t.add(s.Address.String(), strconv.FormatUint(s.Queries, 10), fmt.Sprintf("%.3g", s.QPS), gapText(s), secondsText(s.TTL),
			dash(cmp.Or(s.Region, s.Country)), clientsText(s), noteText(s))
	}
	t.print(w, "")
	return w.err
}

// limitsOf says what the statistics do not contain.
func limitsOf(r *control.ResolverReport) string {
	text := ""
	if r.Sample < 1 {
		text += fmt.Sprintf("; a sample of %g %% of all", 100*r.Sample)
	}
	if r.Evicted > 0 {
		text += fmt.Sprintf("; %d forgotten: more than resolver_stats.max", r.Evicted)
	}
	if r.Unobserved > 0 {
		text += fmt.Sprintf("; %d answers not counted: reduce resolver_stats.sample", r.Unobserved)
	}
	return text
}

// gapText returns the typical time between equal questions.
func gapText(s *control.ResolverStatus) string {
	if s.Gaps == 0 {
		return "-"
	}
	return secondsText(s.TypicalGap)
}

func secondsText(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// clientsText returns the region of most clients; -: no query has a client subnet.
func clientsText(s *control.ResolverStatus) string {
	counts, best := map[string]uint64{}, ""
	for _, of := range s.Clients {
		region := cmp.Or(of.Region, of.Country)
		counts[region] += of.Queries
		if counts[region] > counts[best] {
			best = region
		}
	}
	return dash(best)
}

// noteText says what is remarkable of a resolver.
func noteText(s *control.ResolverStatus) string {
	note := ""
	if s.Misplaced {
		note = fmt.Sprintf("MISPLACED: %.0f %% of its clients are nearest to another region", s.Elsewhere)
	}
	caching := map[resolvers.Caching]string{
		resolvers.ManyCaches:  "several caches share the address, or it does not cache",
		resolvers.KeepsLonger: "keeps answers longer than their TTL",
	}[s.Caching]
	return joinTexts(note, caching)
}

// joinTexts joins the texts that are not empty.
func joinTexts(texts ...string) (joined string) {
	for _, text := range slices.DeleteFunc(texts, func(text string) bool { return text == "" }) {
		if joined != "" {
			joined += "; "
		}
		joined += text
	}
	return joined
}

// describeClients describes how many clients have left the members of an override.
func describeClients(c *control.ClientsGone) string {
	switch {
	case c.Answers == 0:
		return "clients: no observed resolver had an answer with them"
	case c.Holding == 0:
		return fmt.Sprintf("clients: 100 %% gone, by the queries of resolvers (%.0f %% have a new answer, the old one of %.0f %% has expired)", c.Asked, c.Expired)
	}
	return fmt.Sprintf("clients: %.0f %% gone, by the queries of resolvers (%.0f %% have a new answer, the old one of %.0f %% has expired); the last may stay until %s",
		min(99, c.Gone), c.Asked, c.Expired, timeText(c.Until))
}
