package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control"
	"meridian/handover"
)

// upgradeHelp is the text of --help of meridian upgrade.
const upgradeHelp = `Upgrade makes a running server start its program again, and waits until the new process has taken over.
Replace the file of the program first. The new process loads the configuration, gets the sockets, health
states, overrides and events of the old one, and answers; then the old one ends. No query is lost. SIGUSR2
does the same.

If the new process crashes, has an invalid configuration or does not answer queries within --timeout, the
old one keeps serving, and upgrade prints the reason. So it does if the configuration has changed and breaks
a guardrail of the one that serves, or has fewer than half of its names: reload first, see meridian reload -h.

Exit: 0; 1 if the old process keeps serving or there is no server.`

// timeoutFlag is the --timeout of an upgrade.
type timeoutFlag time.Duration

func (f *timeoutFlag) Set(s string) error {
	d, err := parseDuration(s, "5s")
	if err != nil {
		return err
	}
	if d < time.Second || d > control.MaxUpgradeTimeout {
		return fmt.Errorf("%v is out of range; 1s to %v", d, control.MaxUpgradeTimeout)
	}
	*f = timeoutFlag(d)
	return nil
}

func (f *timeoutFlag) Type() string   { return "DURATION" }
func (f *timeoutFlag) String() string { return time.Duration(*f).String() }

func upgradeCommand() *cobra.Command {
	c := servers{client: client{timeout: control.MaxUpgradeTimeout}}
	var output outputFlag
	var against string
	timeout := timeoutFlag(control.DefaultUpgradeTimeout)
	command := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace a running server by its new program, without a lost query",
		Long:  upgradeHelp,
		Example: `  install -m 755 meridian-new /usr/bin/meridian && meridian upgrade
  meridian upgrade --timeout 5m                a configuration that takes long to load`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return c.each(command.OutOrStdout(), output, func(out io.Writer) error {
				var done control.Upgraded
				request := admin.UpgradeRequest{Timeout: admin.Duration(timeout), OverrideGuardrail: against}
				if err := c.call(command.Context(), http.MethodPost, "/v1/upgrade", nil, request, &done); err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(out, done)
				}
				fmt.Fprintf(out, "upgraded from %s to %s in %v: process %d serves in place of %d\n",
					done.PreviousVersion, done.Version, done.Took.Round(time.Millisecond), done.PID, done.PreviousPID)
				return nil
			})
		},
	}
	addServersFlags(command, &c)
	addOutputFlag(command, &output)
	addGuardrailFlag(command, &against)
	command.Flags().Var(&timeout, "timeout", "`TIME` in which the new process must answer queries")
	return command
}

// programPath returns the path that an upgrade starts. It is the one that this process was started by, not the file
// that a symbolic link led to: the link may lead to another version by then.
func programPath() string {
	running, err := os.Executable()
	if err != nil {
		return ""
	}
	started, err := exec.LookPath(os.Args[0])
	if err == nil {
		started, err = filepath.Abs(started)
	}
	if err != nil || !sameProgram(started, running) {
		return running
	}
	return started
}

func sameProgram(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// inheritedSockets returns the sockets that this process got at its start, from the process that it takes over from or
// from the service manager.
func inheritedSockets(predecessor *handover.Predecessor, log *slog.Logger) *handover.Sockets {
	if predecessor != nil {
		return predecessor.Sockets
	}
	sockets, errs := handover.FromServiceManager()
	for _, err := range errs {
		log.Warn("socket of the service manager cannot be used", "error", err)
	}
	return sockets
}
