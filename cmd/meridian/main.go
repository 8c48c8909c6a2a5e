// Command meridian is an authoritative DNS server that sends every user to the
// nearest healthy region. Each command is a file of this package; the packages below
// implement it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitConfig = 1 // an error in the configuration or the command line
	exitBind   = 2 // an address cannot be listened on
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM; a second signal
// ends the process, as the first does in commands that do not call this.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// rootHelp is the text of --help of the program.
const rootHelp = `Meridian is an authoritative DNS server that sends each client to the nearest healthy region.

You delegate a subdomain to it. It answers A, AAAA and HTTPS queries from pools of endpoints. The policy
of a pool selects the endpoint: the nearest healthy region (proximity), the region with the lowest
measured round trip (latency), by country, city or network (geolocation), by weight (weighted), the same
one for the same client (hash), each in turn (round-robin), the first healthy one (failover), the fastest
to respond (fastest), the one with the most spare capacity (least-load), or all of them (all).`

// run executes a command: results go to stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "Authoritative DNS server that sends each client to the nearest healthy region",
		Long:  rootHelp,
		Example: `  meridian demo                                try it: a complete setup on loopback
  meridian init -o meridian.yaml               write a first configuration
  meridian check -c meridian.yaml              report all errors of a configuration
  meridian serve -c meridian.yaml              start the server
  meridian explain www.gslb.example.com --client 198.51.100.7 -c meridian.yaml
  meridian plan -c meridian.yaml --down us-east
  meridian status                              show pools and members of a running server
  meridian drain web/use-1 --for 1h`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.Version = buildVersion()
	root.SetVersionTemplate(versionText())
	addGroups(root)
	root.SetFlagErrorFunc(flagError)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitConfig
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	fmt.Fprintf(stderr, "meridian: %v\n", err)
	return code
}

// addGroups adds the commands, in the groups that --help shows.
func addGroups(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"serve", "Serve and check:", []*cobra.Command{initCommand(), checkCommand(), serveCommand(), agentCommand(), demoCommand()}},
		{"explain", "Explain and forecast:", []*cobra.Command{explainCommand(), planCommand(), probeCommand()}},
		{"operate", "Operate a running server:", []*cobra.Command{
			statusCommand(), drainCommand(), undrainCommand(), forceCommand(), weightCommand(), clearCommand(), filterCommand(), reloadCommand(), upgradeCommand(), configCommand(), eventsCommand(), resolversCommand(), topCommand(), zoneCommand(), journalCommand(), keysCommand(), clusterCommand(), etcdCommand(),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(versionCommand(), schemaCommand(), completionCommand(), manCommand())
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
