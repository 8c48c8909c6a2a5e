package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control"
	"meridian/pools"
)

const targetHelp = `TARGET is POOL/MEMBER, POOL (all its members), region:NAME (all members in that region, in all pools) or
address:IP (all members with that address). A star stands for any characters. An override of the member
takes precedence over one of its address, that over its pool, and that over its region.`

// oneTarget accepts exactly one argument.
func oneTarget(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d targets, want one; e.g. meridian %s web/use-1", len(args), c.Name())
	}
	return nil
}

// verdictAndTarget accepts the two arguments of force.
func verdictAndTarget(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d arguments, want up, down or off and a target; e.g. meridian force down web/use-1", len(args))
	}
	return nil
}

// overrideOptions holds the common flags of commands that change overrides of a running server.
type overrideOptions struct {
	servers
	output   outputFlag
	reason   string
	at       timeFlag
	duration durationFlag
	yes      bool   // even if a name loses its last answer
	against  string // the reason to change against a guardrail; empty: they bind
	local    bool   // of a cluster, this node only
}

// durationFlag is the duration of an override; 0 if not given.
type durationFlag time.Duration

func (f *durationFlag) Set(s string) error {
	d, err := parseDuration(s, "90m")
	if err != nil {
		return fmt.Errorf("%w, or omit the flag for an override without end", err)
	}
	*f = durationFlag(d)
	return nil
}

// parseDuration parses a positive duration; such is an example for errors.
func parseDuration(s, such string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; want a number with its unit, such as %s", s, such)
	case d <= 0:
		return 0, fmt.Errorf("%q is not positive; want a duration such as %s", s, such)
	}
	return d, nil
}

func (f *durationFlag) Type() string { return "DURATION" }

func (f *durationFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

func (s *overrideOptions) addFlags(c *cobra.Command, overrides bool) *cobra.Command {
	addServersFlags(c, &s.servers)
	addOutputFlag(c, &s.output)
	if overrides {
		c.Flags().Var(&s.duration, "for", "`DURATION` of the override, such as 90m; without it, the override has no end")
		c.Flags().StringVar(&s.reason, "reason", "", "`TEXT` that status shows")
	}
	return c
}

// addGuardFlags adds the flags that override the guards of the server.
func (s *overrideOptions) addGuardFlags(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVarP(&s.yes, "yes", "y", false, c.Name()+" even if a name is left without an answer")
	c.Flags().BoolVar(&s.local, "local", false, "of a cluster, change this node only, also while etcd is away")
	addGuardrailFlag(c, &s.against)
	return c
}

// addGuardrailFlag adds the flag that overrides the guardrails of the configuration.
func addGuardrailFlag(c *cobra.Command, reason *string) {
	c.Flags().StringVar(reason, "override-guardrail", "", "`REASON` to make the change against the guardrails of the configuration")
}

// addAtFlag adds the flag that sets an override for later.
func (s *overrideOptions) addAtFlag(c *cobra.Command) *cobra.Command {
	c.Flags().Var(&s.at, "at", "`TIME` at which it begins: 02:00, \"2026-03-01 02:00\" by the local clock, or 2026-03-01T02:00:00Z")
	return c
}

func drainCommand() *cobra.Command {
	var s overrideOptions
	return s.addAtFlag(s.addGuardFlags(s.addFlags(&cobra.Command{
		Use:   "drain TARGET",
		Short: "Remove members from the answers of a running server",
		Long: `Drain removes a target's members from the answers of a running server, even if all other members are
down, until undrain or until --for has passed. It survives reloads and, with state, restarts. A drain
that leaves a name without an answer needs --yes.

With --at the drain begins later: status lists it, undrain cancels it. If the guards refuse it at that
time, status and an event say why, and it is tried again each minute.

With resolver_stats: on, drain and status show how many clients have left, by the queries of resolvers.

` + targetHelp + `

Exit: 0; 1 if there is no such target or no server.`,
		Example: `  meridian drain web/use-1 --for 1h --reason "kernel upgrade"
  meridian drain web/use-1 --at 02:00 --for 1h
  meridian drain region:us-east`,
		Args: oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.override(c.Context(), args[0], pools.Drained, "", c.OutOrStdout())
		},
	}, true)))
}

func undrainCommand() *cobra.Command {
	var s overrideOptions
	return s.addGuardFlags(s.addFlags(&cobra.Command{
		Use:   "undrain TARGET",
		Short: "End a drain",
		Long: `Undrain ends a drain, or cancels a scheduled one; TARGET must be the one that was drained. Afterwards the health states of the
members decide again.

Exit: 0; 1 if the target is not drained or there is no server.`,
		Example: `  meridian undrain web/use-1`,
		Args:    oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.undo(c.Context(), args[0], c.OutOrStdout(), pools.Drained)
		},
	}, false))
}

func forceCommand() *cobra.Command {
	var s overrideOptions
	return s.addAtFlag(s.addGuardFlags(s.addFlags(&cobra.Command{
		Use:   "force up|down|off TARGET",
		Short: "Override the health state of members of a running server",
		Long: `Force sets a target's members up or down on a running server, regardless of their health checks, until
force off or until --for has passed. Health checks continue. Unlike a drained member, a member forced
down counts as one that can be up, for min_up given as a percentage. It survives reloads and, with
state, restarts. A force down that leaves a name without an answer needs --yes.

` + targetHelp + `

Exit: 0; 1 if there is no such target, if force off finds it not forced, or if there is no server.`,
		Example: `  meridian force down web/use-1 --for 30m --reason "answers 200 and is broken"
  meridian force up region:eu-west
  meridian force off web/use-1`,
		Args:      verdictAndTarget,
		ValidArgs: []string{"up", "down", "off"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "up":
				return s.override(c.Context(), args[1], pools.ForcedUp, "", c.OutOrStdout())
			case "down":
				return s.override(c.Context(), args[1], pools.ForcedDown, "", c.OutOrStdout())
			case "off":
				return s.undo(c.Context(), args[1], c.OutOrStdout(), pools.ForcedUp, pools.ForcedDown)
			}
			return fmt.Errorf("%q is not a state to force; want up, down or off", args[0])
		},
	}, true)))
}

func weightCommand() *cobra.Command {
	var s overrideOptions
	return s.addAtFlag(s.addGuardFlags(s.addFlags(&cobra.Command{
		Use:   "weight TARGET PERCENT|off",
		Short: "Reduce the clients of members of a running server",
		Long: `Weight leaves a target's members a part of the clients that they would get otherwise, until weight off or
until --for has passed; 0% is a drain. For a region it is a traffic dial: the other clients go to their next
region. It survives reloads and, with state, restarts.

` + targetHelp + `

Exit: 0; 1 if there is no such target, if weight off finds no weight, or if there is no server.`,
		Example: `  meridian weight web/use-1 20% --for 2h --reason "new release"
  meridian weight region:us-east 50%
  meridian weight web/use-1 off`,
		Args: targetAndWeight,
		RunE: func(c *cobra.Command, args []string) error {
			if args[1] == "off" {
				return s.undo(c.Context(), args[0], c.OutOrStdout(), pools.ReducedWeight)
			}
			return s.override(c.Context(), args[0], pools.ReducedWeight, args[1], c.OutOrStdout())
		},
	}, true)))
}

// targetAndWeight accepts the two arguments of weight.
func targetAndWeight(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d arguments, want a target and a percentage or off; e.g. meridian weight web/use-1 20%%", len(args))
	}
	return nil
}

func clearCommand() *cobra.Command {
	var s overrideOptions
	return s.addFlags(&cobra.Command{
		Use:   "clear TARGET",
		Short: "Release members that are held down although their health checks pass",
		Long: `Clear ends flap damping, hold_down and the wait for manual failback of a target's members: those with
passing health checks become up at once. It does not change members that max_ejection keeps in the
answers although their checks fail: force those down.

` + targetHelp + `

Exit: 0; 1 if there is no such target or no server.`,
		Example: `  meridian clear web/use-1`,
		Args:    oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.clear(c.Context(), args[0], c.OutOrStdout())
		},
	}, false)
}

func (s *overrideOptions) override(ctx context.Context, word string, kind pools.Kind, value string, stdout io.Writer) error {
	return s.each(stdout, s.output, func(out io.Writer) error { return s.overrideOne(ctx, word, kind, value, out) })
}

// overrideOne sets an override on the present server.
func (s *overrideOptions) overrideOne(ctx context.Context, word string, kind pools.Kind, value string, stdout io.Writer) error {
	target, err := control.ParseSelector(word)
	if err != nil {
		return err
	}
	var said control.Override
	request := admin.OverrideRequest{
		Target: target, Kind: kind.String(), Value: value, Reason: s.reason, At: s.at.Time, For: admin.Duration(s.duration), Force: s.yes, OverrideGuardrail: s.against, Local: s.local,
	}
	if err := s.call(ctx, http.MethodPut, "/v1/overrides", nil, request, &said); err != nil {
		return err
	}
	if s.output == outputJSON {
		return printJSON(stdout, said)
	}
	fmt.Fprintln(stdout, describeOverride(said))
	if said.Clients != nil {
		fmt.Fprintln(stdout, describeClients(said.Clients))
	}
	if said.Replaced != nil {
		fmt.Fprintf(stdout, "replaces: %s\n", describeReplaced(&said))
	}
	printConfirmed(stdout, &said)
	return s.printPools(ctx, target, stdout)
}

func (s *overrideOptions) undo(ctx context.Context, word string, stdout io.Writer, kinds ...pools.Kind) error {
	return s.each(stdout, s.output, func(out io.Writer) error { return s.undoOne(ctx, word, out, kinds...) })
}

// undoOne removes an override on the present server.
func (s *overrideOptions) undoOne(ctx context.Context, word string, stdout io.Writer, kinds ...pools.Kind) error {
	if !s.at.Time.IsZero() {
		return errors.New("--at sets an override for later; it cannot remove one: omit it, or set the override with --for")
	}
	target, err := control.ParseSelector(word)
	if err != nil {
		return err
	}
	var undone control.Override
	if err := s.call(ctx, http.MethodDelete, "/v1/overrides", s.removal(target, kinds), nil, &undone); err != nil {
		return err
	}
	if s.output == outputJSON {
		return printJSON(stdout, undone)
	}
	if undone.IsScheduled() {
		fmt.Fprintf(stdout, "cancelled: %s\n", describeOverride(undone))
	} else {
		fmt.Fprintf(stdout, "%s is no longer %s\n", target, undone.Effect())
	}
	if undone.Replaced != nil {
		fmt.Fprintf(stdout, "it had replaced this override, which is not restored: %s\n", describeReplaced(&undone))
	}
	printConfirmed(stdout, &undone)
	if undone.Unknown || undone.IsScheduled() { // the target no longer exists, so it has no status
		return nil
	}
	return s.printPools(ctx, target, stdout)
}

// removal returns the parameters of the request to remove an override.
func (s *overrideOptions) removal(target control.Selector, kinds []pools.Kind) url.Values {
	words := url.Values{"target": {target.String()}}
	if s.yes {
		words.Set("force", "true")
	}
	if s.against != "" {
		words.Set("override_guardrail", s.against)
	}
	if s.local {
		words.Set("local", "true")
	}
	for _, k := range kinds {
		words.Add("kind", k.String())
	}
	return words
}

// printConfirmed prints which nodes of a cluster apply a change.
func printConfirmed(stdout io.Writer, o *control.Override) {
	if len(o.Confirmed) > 0 {
		fmt.Fprintf(stdout, "confirmed by %s\n", strings.Join(o.Confirmed, ", "))
	}
	if len(o.Unconfirmed) > 0 {
		fmt.Fprintf(stdout, "NOT CONFIRMED by %s: see meridian cluster status; a node applies it when it reads etcd again\n", strings.Join(o.Unconfirmed, ", "))
	}
}

// describeReplaced describes the override that o replaced.
func describeReplaced(o *control.Override) string {
	r := o.Replaced
	return describeOverride(control.Override{Target: o.Target, Kind: r.Kind, Value: r.Value, Reason: r.Reason, At: r.At, Until: r.Until})
}

// printOthers prints the other overrides that still apply to members, each once.
func printOthers(stdout io.Writer, p *control.PoolStatus, done control.Selector) {
	seen := map[control.Selector]bool{done: true}
	for _, m := range p.Members {
		if o := m.Override; o != nil && !seen[o.Target] {
			seen[o.Target] = true
			fmt.Fprintf(stdout, "%s/%s is still %s by %s\n", p.Pool, m.Member, o.Effect(), o.Target)
		}
	}
}

func (s *overrideOptions) clear(ctx context.Context, word string, stdout io.Writer) error {
	return s.each(stdout, s.output, func(out io.Writer) error { return s.clearOne(ctx, word, out) })
}

// clearOne releases holds on the present server.
func (s *overrideOptions) clearOne(ctx context.Context, word string, stdout io.Writer) error {
	target, err := control.ParseSelector(word)
	if err != nil {
		return err
	}
	var cleared admin.Cleared
	if err := s.call(ctx, http.MethodPost, "/v1/clear", nil, admin.ClearRequest{Target: target}, &cleared); err != nil {
		return err
	}
	if s.output == outputJSON {
		return printJSON(stdout, cleared)
	}
	if cleared.Held == 0 {
		fmt.Fprintf(stdout, "%s was not held down; its flap counters are reset\n", target)
	} else {
		fmt.Fprintf(stdout, "%s cleared: %d no longer held down\n", target, cleared.Held)
	}
	return s.printPools(ctx, target, stdout)
}

// printPools prints the status of a target's pools, and the other overrides that apply
// to them.
func (s *overrideOptions) printPools(ctx context.Context, target control.Selector, stdout io.Writer) error {
	var status control.Status
	if err := s.call(ctx, http.MethodGet, "/v1/status", url.Values{"target": {target.String()}}, nil, &status); err != nil {
		return err
	}
	for i := range status.Pools {
		printOthers(stdout, &status.Pools[i], target)
		fmt.Fprintln(stdout, describePool(&status.Pools[i], status.At))
	}
	if note := forgetsState(status.State); note != "" {
		fmt.Fprintln(stdout, note)
	}
	return nil
}
