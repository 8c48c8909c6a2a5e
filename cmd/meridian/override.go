package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/pools"
	"meridian/server"
)

const targetHelp = `TARGET is POOL/MEMBER, POOL (each of its members) or region:NAME (each member that stands there, in
all pools). A member goes by what is said of itself, else of its pool, else of its region.`

// oneTarget takes the one word that most of these verbs want.
func oneTarget(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d targets, want one; e.g. meridian %s web/use-1", len(args), c.Name())
	}
	return nil
}

// verdictAndTarget takes the two words that force wants.
func verdictAndTarget(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d words, want up, down or off and a target; e.g. meridian force down web/use-1", len(args))
	}
	return nil
}

// overrideOptions is what the verbs have in common that tell a running server something.
type overrideOptions struct {
	client
	output   outputFlag
	reason   string
	duration durationFlag
	yes      bool // of drain: also what leaves a name without an answer
}

// durationFlag is how long an override holds; 0: it was left out.
type durationFlag time.Duration

func (f *durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not how long something holds; e.g. 90m, or leave it out for until it is undone", s)
	}
	*f = durationFlag(d)
	return nil
}

func (f *durationFlag) Type() string { return "DURATION" }

func (f *durationFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

func (s *overrideOptions) addFlags(c *cobra.Command, overrides bool) *cobra.Command {
	addClientFlags(c, &s.client, defaultServer)
	addOutputFlag(c, &s.output)
	if overrides {
		c.Flags().Var(&s.duration, "for", "how long it holds, a `DURATION` such as 90m; until it is undone when left out")
		c.Flags().StringVar(&s.reason, "reason", "", "`TEXT` for whoever looks at status later")
	}
	return c
}

func drainCommand() *cobra.Command {
	var s overrideOptions
	c := s.addFlags(&cobra.Command{
		Use:   "drain TARGET",
		Short: "Take members out of the answers of a running server",
		Long: `Drain has a running server answer none of a target's members, not even when all else is down, until
undrain, or until --for is over. It outlives reloads and, with state, restarts. What would leave a name
without an answer is drained only with --yes.

` + targetHelp + `

Exit: 0; 1 when there is no such target or no server.`,
		Example: `  meridian drain web/use-1 --for 1h --reason "kernel upgrade"
  meridian drain region:us-east`,
		Args: oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.override(c.Context(), args[0], pools.Drained, c.OutOrStdout())
		},
	}, true)
	c.Flags().BoolVarP(&s.yes, "yes", "y", false, "drain also what leaves a name without an answer")
	return c
}

func undrainCommand() *cobra.Command {
	var s overrideOptions
	return s.addFlags(&cobra.Command{
		Use:   "undrain TARGET",
		Short: "End a drain",
		Long: `Undrain ends a drain of the very TARGET that was drained. The members are answered again as far as
their verdicts go.

Exit: 0; 1 when the target is not drained or there is no server.`,
		Example: `  meridian undrain web/use-1`,
		Args:    oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.undo(c.Context(), args[0], c.OutOrStdout(), pools.Drained)
		},
	}, false)
}

func forceCommand() *cobra.Command {
	var s overrideOptions
	return s.addFlags(&cobra.Command{
		Use:   "force up|down|off TARGET",
		Short: "Set the verdict of members of a running server by hand",
		Long: `Force has a running server take a target's members for up, or for down, whatever their probes say,
until force off, or until --for is over. Probing goes on. Unlike one that is drained, a member forced
down is answered when all else is down too. It outlives reloads and, with state, restarts.

` + targetHelp + `

Exit: 0; 1 when there is no such target, when force off finds it not forced, or there is no server.`,
		Example: `  meridian force down web/use-1 --for 30m --reason "answers 200 and is broken"
  meridian force up region:eu-west
  meridian force off web/use-1`,
		Args:      verdictAndTarget,
		ValidArgs: []string{"up", "down", "off"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "up":
				return s.override(c.Context(), args[1], pools.ForcedUp, c.OutOrStdout())
			case "down":
				return s.override(c.Context(), args[1], pools.ForcedDown, c.OutOrStdout())
			case "off":
				return s.undo(c.Context(), args[1], c.OutOrStdout(), pools.ForcedUp, pools.ForcedDown)
			}
			return fmt.Errorf("%q is nothing to force; up, down or off", args[0])
		},
	}, true)
}

func clearCommand() *cobra.Command {
	var s overrideOptions
	return s.addFlags(&cobra.Command{
		Use:   "clear TARGET",
		Short: "End what holds members down although their probes pass",
		Long: `Clear ends flap damping, hold_down and the wait for failback of a target's members: those whose
probes pass turn up at once. What max_ejection keeps answered although its probes fail stays so: force
that down.

` + targetHelp + `

Exit: 0; 1 when there is no such target or no server.`,
		Example: `  meridian clear web/use-1`,
		Args:    oneTarget,
		RunE: func(c *cobra.Command, args []string) error {
			return s.clear(c.Context(), args[0], c.OutOrStdout())
		},
	}, false)
}

func (s *overrideOptions) override(ctx context.Context, word string, kind pools.Kind, stdout io.Writer) error {
	target, err := server.ParseSelector(word)
	if err != nil {
		return err
	}
	var said server.Override
	request := admin.OverrideRequest{Target: target, Kind: kind.String(), Reason: s.reason, For: admin.Duration(s.duration), Force: s.yes}
	if err := s.call(ctx, http.MethodPost, "/v1/overrides", nil, request, &said); err != nil {
		return err
	}
	if s.output == outputJSON {
		return printJSON(stdout, said)
	}
	fmt.Fprintln(stdout, describeOverride(said))
	if said.Replaced != nil {
		fmt.Fprintf(stdout, "in place of: %s\n", describeReplaced(&said))
	}
	return s.printPools(ctx, target, stdout)
}

func (s *overrideOptions) undo(ctx context.Context, word string, stdout io.Writer, kinds ...pools.Kind) error {
	target, err := server.ParseSelector(word)
	if err != nil {
		return err
	}
	words := url.Values{"target": {target.String()}}
	for _, k := range kinds {
		words.Add("kind", k.String())
	}
	var undone server.Override
	if err := s.call(ctx, http.MethodDelete, "/v1/overrides", words, nil, &undone); err != nil {
		return err
	}
	if s.output == outputJSON {
		return printJSON(stdout, undone)
	}
	fmt.Fprintf(stdout, "%s is %s no more\n", target, undone.Kind)
	if undone.Replaced != nil {
		fmt.Fprintf(stdout, "it came in place of this, which is not back: %s\n", describeReplaced(&undone))
	}
	if undone.Unknown { // there is no such target any more to tell of
		return nil
	}
	return s.printPools(ctx, target, stdout)
}

// describeReplaced is what an override came in place of.
func describeReplaced(o *server.Override) string {
	r := o.Replaced
	return describeOverride(server.Override{Target: o.Target, Kind: r.Kind, Reason: r.Reason, Until: r.Until})
}

// printOthers tells the overrides that members still go by, each once.
func printOthers(stdout io.Writer, p *server.PoolStatus, done server.Selector) {
	told := map[server.Selector]bool{done: true}
	for _, m := range p.Members {
		if o := m.Override; o != nil && !told[o.Target] {
			told[o.Target] = true
			fmt.Fprintf(stdout, "%s/%s is still %s by %s\n", p.Pool, m.Member, o.Kind, o.Target)
		}
	}
}

func (s *overrideOptions) clear(ctx context.Context, word string, stdout io.Writer) error {
	target, err := server.ParseSelector(word)
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
		fmt.Fprintf(stdout, "nothing held %s down; what counted towards it is forgotten\n", target)
	} else {
		fmt.Fprintf(stdout, "%s cleared: %d held down no more\n", target, cleared.Held)
	}
	return s.printPools(ctx, target, stdout)
}

// printPools tells what is left of the pools that a target concerns, and what else
// operators have said of it.
func (s *overrideOptions) printPools(ctx context.Context, target server.Selector, stdout io.Writer) error {
	var status server.Status
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
