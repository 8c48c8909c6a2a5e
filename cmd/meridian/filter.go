package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/config"
	"meridian/control"
)

// filterOptions is the command line of the commands of filter.
type filterOptions struct {
	servers
	output   outputFlag
	types    []string
	names    []string
	source   []string
	action   string
	reason   string
	duration durationFlag
}

func filterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "filter",
		Short: "Drop, refuse or truncate some queries of a running server",
		Long: `Filter adds rules to a running server that keep some queries from being answered as usual: those of a
flood, or those that make another program fail. Rules without end are written in server.filter of the
configuration.`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(filterAddCommand(), filterListCommand(), filterRemoveCommand())
	return c
}

func filterAddCommand() *cobra.Command {
	var o filterOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a rule for a time",
		Long: `Add adds a rule to the filter of a running server until --for has passed, or replaces the one of that
name. It comes before the rules of the configuration. Queries match that match each of --type, --name
and --source that is given; one is needed. drop gives no answer, refuse gives REFUSED, and truncate makes
real clients repeat the query over TCP. It survives reloads and, with state, restarts.

Exit: 0; 1 if the rule is invalid, if the configuration has one of that name, or if there is no server.`,
		Example: `  meridian filter add flood --type ANY --name '*.victim.example.' --action drop --for 1h
  meridian filter add office --source 203.0.113.0/24 --action refuse --for 30m --reason "ticket 4711"`,
		Args: oneFilter,
		RunE: func(c *cobra.Command, args []string) error {
			return o.each(c.OutOrStdout(), o.output, func(out io.Writer) error { return o.add(c, args[0], out) })
		},
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	c.Flags().StringSliceVar(&o.types, "type", nil, "record `TYPE` such as ANY; may be repeated")
	c.Flags().StringSliceVar(&o.names, "name", nil, "`NAME`, or '*.NAME' for every name below it; may be repeated")
	c.Flags().StringSliceVar(&o.source, "source", nil, "`NETWORK` of the packets; may be repeated")
	c.Flags().StringVar(&o.action, "action", "", "`ACTION`: "+strings.Join(config.FilterActions(), ", "))
	c.Flags().Var(&o.duration, "for", "`DURATION` of the rule, such as 1h")
	c.Flags().StringVar(&o.reason, "reason", "", "`TEXT` that status shows")
	_ = c.MarkFlagRequired("action") // the flag exists
	_ = c.MarkFlagRequired("for")
	return c
}

func filterListCommand() *cobra.Command {
	var o filterOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List the rules and how many queries they matched",
		Long: `List lists the rules of the filter of a running server in the order in which queries are compared with
them, with the number of queries that each has matched.

Exit: 0; 1 if there is no server.`,
		Example: `  meridian filter list`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.each(c.OutOrStdout(), o.output, func(out io.Writer) error { return o.list(c, out) })
		},
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	return c
}

func filterRemoveCommand() *cobra.Command {
	var o filterOptions
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a rule that was added",
		Long: `Remove removes a rule that was added to the filter of a running server. A rule of the configuration is
removed there.

Exit: 0; 1 if there is no such rule or no server.`,
		Example: `  meridian filter remove flood`,
		Args:    oneFilter,
		RunE: func(c *cobra.Command, args []string) error {
			return o.each(c.OutOrStdout(), o.output, func(out io.Writer) error { return o.remove(c, args[0], out) })
		},
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	return c
}

// oneFilter accepts exactly one argument.
func oneFilter(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d names, want the one of a rule; e.g. meridian filter %s flood", len(args), c.Name())
	}
	return nil
}

// add adds a rule to the present server.
func (o *filterOptions) add(c *cobra.Command, name string, out io.Writer) error {
	var added control.Filter
	request := admin.FilterRequest{
		Name: name, Types: o.types, Names: o.names, Source: o.source, Action: o.action, Reason: o.reason, For: admin.Duration(o.duration),
	}
	if err := o.call(c.Context(), http.MethodPut, "/v1/filters", nil, request, &added); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, added)
	}
	fmt.Fprintf(out, "filter %s\n", describeFilter(&added))
	if added.Replaced != "" {
		fmt.Fprintf(out, "  it replaces a rule of that name, which %s\n", added.Replaced)
	}
	if added.Warning != "" {
		fmt.Fprintf(out, "WARNING: %s\n", added.Warning)
	}
	return nil
}

// remove removes a rule from the present server.
func (o *filterOptions) remove(c *cobra.Command, name string, out io.Writer) error {
	var removed control.Filter
	if err := o.call(c.Context(), http.MethodDelete, "/v1/filters", url.Values{"name": {name}}, nil, &removed); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, removed)
	}
	fmt.Fprintf(out, "filter %s is removed\n", removed.Name)
	if removed.Warning != "" {
		fmt.Fprintf(out, "WARNING: %s\n", removed.Warning)
	}
	return nil
}

// list prints the rules of the present server.
func (o *filterOptions) list(c *cobra.Command, out io.Writer) error {
	var found struct {
		Filters []control.Filter `json:"filters"`
	}
	if err := o.call(c.Context(), http.MethodGet, "/v1/filters", nil, nil, &found); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, found)
	}
	w := &textWriter{w: out}
	if len(found.Filters) == 0 {
		w.line("no rules")
		return w.err
	}
	var t table
	t.add("RULE", "QUERIES", "UNTIL", "DOES")
	for i := range found.Filters {
		f := &found.Filters[i]
		until := "configured"
		if !f.Configured {
			until = timeText(f.Until)
		}
		t.add(f.Name, strconv.FormatUint(f.Queries, 10), until, f.Describe())
	}
	t.print(w, "")
	return w.err
}

// describeFilter describes a rule in a line.
func describeFilter(f *control.Filter) string {
	text := f.Name + " " + f.Describe()
	if f.Configured {
		text += " by the configuration"
	} else {
		text += " until " + timeText(f.Until)
	}
	if f.Reason != "" {
		text += fmt.Sprintf(": %q", f.Reason)
	}
	return text
}

// printFilters prints the rules of the filter, one in a line.
func printFilters(w io.Writer, all []control.Filter) {
	for i := range all {
		fmt.Fprintf(w, "filter: %s; matched %d queries\n", describeFilter(&all[i]), all[i].Queries)
	}
}
