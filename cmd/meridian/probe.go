package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/health/probe"
)

// probeHelp is the text of --help of meridian probe.
const probeHelp = `Probe runs the check CHECK of FILE once against ADDRESS, now and from this machine, as serve does, and
shows each step with its duration: connect, tls, request, response, body, result. It changes no health
state, and rise, fall and interval do not count. The timeout is that of the check.

ADDRESS is an IP address; the port is that of the check. A member with settings of its own has a check
of its own, which probe lists if CHECK is unknown, such as "web (port 8080)".

Exit: 0 if the probe passes; 1 if it fails or cannot run, or on an error in the configuration.`

// probeOptions is the command line of probe.
type probeOptions struct {
	file   configFlag
	output outputFlag
}

func probeCommand() *cobra.Command {
	var o probeOptions
	c := &cobra.Command{
		Use:   "probe CHECK ADDRESS -c FILE",
		Short: "Run one probe now and show each step",
		Long:  probeHelp,
		Example: `  meridian probe web 192.0.2.10 -c meridian.yaml
  meridian probe web 2001:db8:1::10 -c meridian.yaml -o json`,
		Args: checkAndAddress,
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args[0], args[1], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	addConfigFlag(c, &o.file)
	addOutputFlag(c, &o.output)
	return c
}

// checkAndAddress requires the two arguments of probe.
func checkAndAddress(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s takes the name of a check and an address; write %s CHECK ADDRESS -c FILE", c.Name(), c.CommandPath())
	}
	return nil
}

func (o *probeOptions) run(ctx context.Context, name, address string, stdout, stderr io.Writer) error {
	addr, err := probedAddress(address)
	if err != nil {
		return err
	}
	paths, err := o.file.paths()
	if err != nil {
		return err
	}
	cfg, found := read(paths)
	if err := (findings{errs: found.errs}).print(stderr); err != nil {
		return err
	}
	check, err := probe.Named(cfg, name)
	if err != nil {
		return err
	}
	ready, problems := probe.New(check)
	for _, p := range problems {
		found.errs = append(found.errs, cfg.ErrorAt(p.Pos, "checks."+check.Name+"."+p.Key, p.What, p.Hint))
	}
	if err := (findings{errs: found.errs}).print(stderr); err != nil {
		return err
	}
	report := ready.Trace(ctx, addr, probe.SystemDial, slog.New(slog.NewTextHandler(stderr, nil)))
	return o.print(stdout, report, check.Timeout)
}

func (o *probeOptions) print(stdout io.Writer, r probe.Report, timeout time.Duration) error {
	var err error
	if o.output == outputJSON {
		err = printJSON(stdout, r)
	} else {
		err = printProbe(stdout, r, timeout)
	}
	if err == nil && r.Result != probe.Passed.String() {
		err = fmt.Errorf("the probe of %s by check %q: %s", r.Address, r.Check, r.Result)
	}
	return err
}

// probedAddress parses the address to probe.
func probedAddress(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err == nil {
		return addr.Unmap(), nil
	}
	if with, portErr := netip.ParseAddrPort(s); portErr == nil {
		return addr, fmt.Errorf("%q has a port; write %s, the port is that of the check", s, with.Addr())
	}
	return addr, fmt.Errorf("%q is not an address; write an IP address such as 192.0.2.10 or 2001:db8::10", s)
}

func printProbe(w io.Writer, r probe.Report, timeout time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "check %s (%s) of %s, timeout %s\n\n", r.Check, r.Type, r.Address, config.FormatDuration(timeout))
	fmt.Fprintln(t, "STEP\tTIME\tFOUND")
	for _, s := range r.Steps {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, probeTime(s.Seconds), cmp.Or(s.Found, "-"))
	}
	fmt.Fprintf(t, "result\t%s\t%s: %s\n", probeTime(r.Seconds), r.Result, r.Reason)
	return t.Flush()
}

func probeTime(seconds float64) string { return fmt.Sprintf("%.1fms", seconds*1000) }
