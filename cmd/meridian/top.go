package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/control"
	"meridian/control/top"
)

// topOptions is the command line of top.
type topOptions struct {
	servers
	output   outputFlag
	once     bool
	by       string
	limit    int
	interval time.Duration
}

// topLists holds the lists of a report by the names of --by, in the order of the page.
var topLists = []struct {
	by, head string
	of       func(*top.Report) []top.Count
}{
	{"name", "NAME", func(r *top.Report) []top.Count { return r.Names }},
	{"source", "SOURCE", func(r *top.Report) []top.Count { return r.Sources }},
	{"type", "TYPE", func(r *top.Report) []top.Count { return r.Types }},
	{"zone", "ZONE", func(r *top.Report) []top.Count { return r.Zones }},
	{"outcome", "OUTCOME", func(r *top.Report) []top.Count { return r.Outcomes }},
	{"transport", "TRANSPORT", func(r *top.Report) []top.Count { return r.Transports }},
}

func topCommand() *cobra.Command {
	var o topOptions
	var names []string
	for _, l := range topLists {
		names = append(names, l.by)
	}
	c := &cobra.Command{
		Use:   "top",
		Short: "Show what a running server is asked for now",
		Long: `Top shows the names, source networks, types, zones, outcomes and transports with the most queries of the
last minute, and the present floods with a command that stops each. The numbers are estimates from
sampled queries. It shows a new page every --interval until Ctrl-C.

RANDOM is the part of the queries of a zone that are for names that do not exist, or that a wildcard or
a DNAME answers: floods of random names consist of them.

Exit: 0; 1 if queries are not sampled or there is no server.`,
		Example: `  meridian top
  meridian top --by source -n 50
  meridian top --once -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.by != "" && !slices.Contains(names, o.by) {
				return fmt.Errorf("--by: %q is not a list of top; want %s", o.by, strings.Join(names, ", "))
			}
			if o.interval < minTopInterval {
				return fmt.Errorf("--interval: %v is too short; want at least %v", o.interval, minTopInterval)
			}
			return o.run(c.Context(), c.OutOrStdout())
		},
	}
	addServersFlags(c, &o.servers)
	addOutputFlag(c, &o.output)
	c.Flags().BoolVar(&o.once, "once", false, "show one page and end, as with -o json and if the output is no terminal")
	c.Flags().StringVar(&o.by, "by", "", "show only this `LIST`: "+strings.Join(names, ", "))
	c.Flags().IntVarP(&o.limit, "limit", "n", 10, "show at most `N` entries of each list")
	c.Flags().DurationVar(&o.interval, "interval", 2*time.Second, "`DURATION` between pages")
	return c
}

// minTopInterval keeps top from being a load of its own.
const minTopInterval = 200 * time.Millisecond

// run shows one page, or pages until a signal.
func (o *topOptions) run(ctx context.Context, stdout io.Writer) error {
	page := func() error {
		return o.each(stdout, o.output, func(out io.Writer) error { return o.show(ctx, out) })
	}
	if o.once || o.output == outputJSON || !isTerminal(stdout) {
		return page()
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	next := time.NewTicker(o.interval)
	defer next.Stop()
	for {
		fmt.Fprint(stdout, clearScreen)
		if err := page(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
	}
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too
	return err != nil || !os.SameFile(info, null)
}

// clearScreen moves to the upper left corner of a terminal and clears it.
const clearScreen = "\x1b[H\x1b[2J"

// show prints the report of the present server.
func (o *topOptions) show(ctx context.Context, out io.Writer) error {
	var r top.Report
	if err := o.call(ctx, http.MethodGet, "/v1/top", url.Values{"limit": {strconv.Itoa(o.limit)}}, nil, &r); err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(out, r)
	}
	o.addressFloods(r.Floods)
	return printTop(out, &r, o.by)
}

// printTop prints a report, or one list of it.
func printTop(out io.Writer, r *top.Report, by string) error {
	w := &textWriter{w: out}
	w.line("%s queries a second in the last %.0f s", rateText(r.Rate), r.Seconds)
	printFloods(w, r.Floods)
	for _, l := range topLists {
		if by != "" && by != l.by {
			continue
		}
		w.line("")
		var t table
		head := []string{l.head, "PER SECOND", "PERCENT"}
		if l.by == "zone" {
			head = append(head, "RANDOM")
		}
		t.add(head...)
		for _, c := range l.of(r) {
			row := []string{c.Key, rateText(c.Rate), fmt.Sprintf("%.1f", c.Percent)}
			if l.by == "zone" {
				row = append(row, fmt.Sprintf("%.0f %%", c.Random))
			}
			t.add(row...)
		}
		t.print(w, "")
	}
	return w.err
}

// printFloods prints the present floods, each with the command that stops it.
func printFloods(w *textWriter, all []top.Flood) {
	for i := range all {
		f := &all[i]
		w.line("FLOOD: %s, since %s", control.DescribeFlood(f), timeText(f.Since))
		if f.Command != "" {
			w.line("  %s", f.Command)
		}
	}
}

// rateText returns a rate, with a digit after the point below 10.
func rateText(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return strconv.FormatFloat(rate, 'f', 0, 64)
}
