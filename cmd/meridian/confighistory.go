package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/cluster/rollout"
	"meridian/control"
)

func configHistoryCommand() *cobra.Command {
	var o configOptions
	return o.addFlags(&cobra.Command{
		Use:   "history",
		Short: "List the configurations that a running server has served",
		Long: `History lists the generations of the configuration that the server has stored, the latest first: since
when, from where, by which user, and why. If the nodes of a cluster share their configuration, it also lists the
canaries: where each serves and what ends it, or how it has ended, by which node or user, and why.

Exit: 0; 1 if there is no server.`,
		Example: "  meridian config history",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := o.generations(c.Context())
			if err != nil {
				return err
			}
			if o.output == outputJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"generations": list})
			}
			return printGenerations(c.OutOrStdout(), list)
		},
	})
}

// printGenerations prints generations as a table.
func printGenerations(w io.Writer, list []admin.StoredGeneration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GENERATION\tSTATE\tSINCE\tSOURCE\tUSER\tREASON")
	for i := range list {
		g := &list[i]
		state, reason := "-", "-"
		switch {
		case g.Serving:
			state = "serving"
		case len(g.Canary) > 0:
			state = "canary " + strings.Join(g.Canary, ",")
		case g.Percent > 0:
			state = "canary " + percentText(g.Percent) + " of clients"
		case g.Run != nil && g.Run.Result != rollout.Promoted:
			state = "canary, " + g.Run.Result
		}
		if g.Reason != "" {
			reason = strconv.Quote(g.Reason)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Number, state, timeText(g.Time), g.Source, orDash(g.Who), reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printRuns(w, list); err != nil {
		return err
	}
	return printAcks(w, list)
}

// printRuns prints the canaries among generations, running and ended.
func printRuns(w io.Writer, list []admin.StoredGeneration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	title := "\nCANARY\tON\tRESULT\tBEGAN\tENDED\tBY\tREASON\n"
	for i := range list {
		r := list[i].Run
		if r == nil {
			continue
		}
		ended, why := timeText(r.Until), orDash(r.Why)
		if r.Result == control.CanaryRunning {
			ended, why = "-", describeEnd(r)
		}
		fmt.Fprintf(t, "%s%d\t%s\t%s\t%s\t%s\t%s\t%s\n", title, r.Generation, r.Where, r.Result, timeText(r.Since), ended, orDash(r.By), why)
		title = ""
	}
	return t.Flush()
}

// describeEnd describes the end of a canary that serves.
func describeEnd(r *control.CanaryRun) string {
	text := "until " + timeText(r.Until) + ", then all nodes serve it"
	if len(r.Awaited) > 0 {
		text += " once these do: " + strings.Join(r.Awaited, ", ")
	}
	return text + "; a rejection, a guardrail or meridian config rollback ends it before"
}

// printAcks prints what the nodes of a cluster say of their generations.
func printAcks(w io.Writer, list []admin.StoredGeneration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	title := "\nNODE\tGENERATION\tSTATE\tSINCE\tREASON\n"
	for i := range list {
		for _, a := range list[i].Nodes {
			fmt.Fprintf(t, "%s%s\t%d\t%s\t%s\t%s\n", title, a.Node, a.Generation, a.State, timeText(a.Time), orDash(a.Why))
			title = ""
		}
	}
	return t.Flush()
}

func configRollbackCommand() *cobra.Command {
	var o configOptions
	c := o.addFlags(&cobra.Command{
		Use:   "rollback [GENERATION]",
		Short: "Make a running server serve an earlier configuration again",
		Long: `Rollback makes a stored generation serve again, as a new generation, and replaces the server's files with
it. Without GENERATION it is the one before the latest. If the nodes of a cluster share their configuration,
it ends a canary, or else all nodes serve that generation again.

Exit: 0; 1 if there is no such generation, if it is refused, or if there is no server.`,
		Example: `  meridian config rollback                  to the one before
  meridian config rollback 41 --reason "use-2 is slow"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.rollback(c, args) },
	})
	o.addChangeFlags(c)
	return c
}

// rollback makes a generation serve again.
func (o *configOptions) rollback(c *cobra.Command, args []string) error {
	number, err := o.rollbackTo(c, args)
	if err != nil {
		return err
	}
	if err := o.checkExpected(c.Context()); err != nil {
		return err
	}
	request := admin.RollbackRequest{Generation: number, Reason: o.reason, AllowRemoval: o.allowRemoval, OverrideGuardrail: o.against}
	var loaded control.Loaded
	if err := o.call(c.Context(), http.MethodPost, "/v1/config/rollback", nil, request, &loaded); err != nil {
		return err
	}
	if o.output == outputText && number > 0 {
		fmt.Fprintf(c.OutOrStdout(), "rolled back to generation %d\n", number)
	}
	return o.printLoaded(&loaded, c.OutOrStdout())
}

// rollbackTo returns the generation to roll back to.
func (o *configOptions) rollbackTo(c *cobra.Command, args []string) (uint64, error) {
	if len(args) == 1 {
		number, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a generation; want a number that meridian config history lists", args[0])
		}
		return number, nil
	}
	list, err := o.generations(c.Context())
	switch {
	case err != nil:
		return 0, err
	case slices.ContainsFunc(list, func(g admin.StoredGeneration) bool { return len(g.Nodes) > 0 || len(g.Canary) > 0 || g.Percent > 0 }):
		return 0, nil // of a cluster: its nodes know what they served before
	case len(list) < 2:
		return 0, errors.New("the server has stored no earlier configuration; without state, a restart or an upgrade begins the history again")
	}
	return list[1].Number, nil
}

func configDiffCommand() *cobra.Command {
	var o configOptions
	return o.addFileFlag(&cobra.Command{
		Use:   "diff FILE | diff GENERATION [GENERATION]",
		Short: "Compare the texts of configurations of a running server",
		Long: `Diff prints the changed lines from the served configuration to FILE, from a generation to the served
configuration, or from one generation to another. A file with a number as its name is ./NUMBER.

Exit: 0; 1 if there is no such file or generation, or no server.`,
		Example: `  meridian config diff new.yaml
  meridian config diff 41
  meridian config diff 40 41`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error { return o.diff(c, args) },
	})
}

// configText is a configuration to compare.
type configText struct{ name, text string }

// diff prints the difference between two configurations.
func (o *configOptions) diff(c *cobra.Command, args []string) error {
	first, err := o.configText(c, args[0])
	if err != nil {
		return err
	}
	second, err := o.configText(c, append(args, "")[1])
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(args[0], 10, 64); err != nil && len(args) == 1 {
		first, second = second, first
	}
	text := string(diff.Diff(first.name, []byte(first.text), second.name, []byte(second.text)))
	if o.output == outputJSON {
		return printJSON(c.OutOrStdout(), map[string]any{"from": first.name, "to": second.name, "equal": text == "", "diff": text})
	}
	if text == "" {
		text = fmt.Sprintf("%s and %s are equal\n", first.name, second.name)
	}
	_, err = io.WriteString(c.OutOrStdout(), text)
	return err
}

// configText returns a configuration: of a generation, or of a file. An empty word is the served one.
func (o *configOptions) configText(c *cobra.Command, word string) (configText, error) {
	words := url.Values{}
	if o.file != "" {
		words.Set("file", o.file)
	}
	name := "served"
	if word != "" {
		if _, err := strconv.ParseUint(word, 10, 64); err != nil {
			text, err := readFileOrInput(word, c.InOrStdin())
			return configText{word, string(text)}, err
		}
		words.Set("generation", word)
		name = "generation " + word
	}
	var text yamlText
	err := o.call(c.Context(), http.MethodGet, "/v1/config", words, nil, &text)
	return configText{name, string(text)}, err
}
