package main

import (
	"cmp"
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

	"meridian/admin"
	"meridian/cluster/rollout"
	"meridian/control"
	"meridian/plan"
)

// configHelp is the text of --help of meridian config.
const configHelp = `Config shows and changes the configuration of a running server. A change is loaded as a reload does,
stored as a generation, and replaces the file of the server. If any step fails, the file and the served
configuration stay as they were.

FILE is a file of this machine; -: standard input. If the server has several files, --file names the one
that FILE replaces, as history lists it.`

// configOptions is the command line of the commands of config.
type configOptions struct {
	client
	output       outputFlag
	file         string // of the server
	expect       uint64 // generation that must be served; 0: any
	maxMoved     string
	reason       string
	against      string // the reason to change against a guardrail; empty: they bind
	allowRemoval bool
	canary       []string      // nodes of the cluster that serve it first
	canaryFor    time.Duration // 0: the server's default
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config VERB",
		Short: "Show, replace or roll back the configuration of a running server",
		Long:  configHelp,
		Example: `  meridian config plan new.yaml
  meridian config push new.yaml --max-moved 10% --reason "add use-2"
  meridian config history
  meridian config rollback 41`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(configCheckCommand(), configPlanCommand(), configPushCommand(), configHistoryCommand(), configDiffCommand(), configRollbackCommand())
	return c
}

// addFlags adds the flags of all commands of config.
func (o *configOptions) addFlags(c *cobra.Command) *cobra.Command {
	o.timeout = admin.ReloadTimeout
	addClientFlags(c, &o.client, defaultServer)
	addOutputFlag(c, &o.output)
	return c
}

// addFileFlag adds the flag that selects a file of the server.
func (o *configOptions) addFileFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&o.file, "file", "", "`PATH` of the server's file that is meant, if it has several")
	return o.addFlags(c)
}

// addChangeFlags adds the flags of commands that change the configuration.
func (o *configOptions) addChangeFlags(c *cobra.Command) {
	c.Flags().Uint64Var(&o.expect, "expect", 0, "change nothing unless generation `N` is served")
	c.Flags().StringVar(&o.reason, "reason", "", "`TEXT` that history shows")
	c.Flags().BoolVar(&o.allowRemoval, "allow-removal", false, "load a configuration without zones, or with fewer than half of the names served or of the zones in a catalog")
	addGuardrailFlag(c, &o.against)
}

func configCheckCommand() *cobra.Command {
	var o configOptions
	return o.addFileFlag(&cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration on a running server",
		Long: `Check loads FILE on the server as a reload does, without serving it, and prints what it has or all its
errors. Unlike meridian check, it uses the server's version, files and addresses.

Exit: 0; 1 if the configuration has errors or there is no server.`,
		Example: "  meridian config check new.yaml",
		Args:    oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			var found struct {
				Valid   bool `json:"valid"`
				Zones   int  `json:"zones"`
				Pools   int  `json:"pools"`
				Regions int  `json:"regions"`
			}
			if err := o.send(c, http.MethodPost, "/v1/config/check", url.Values{}, args[0], &found); err != nil {
				return err
			}
			if o.output == outputJSON {
				return printJSON(c.OutOrStdout(), found)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is valid: %d zones, %d pools, %d regions\n", args[0], found.Zones, found.Pools, found.Regions)
			return nil
		},
	})
}

func configPlanCommand() *cobra.Command {
	var o configOptions
	c := o.addFileFlag(&cobra.Command{
		Use:   "plan FILE",
		Short: "Forecast the effect of a configuration on a running server",
		Long: `Plan compares the answers of the served configuration with those of FILE, with the health states and
overrides that the server has now. meridian plan --help describes the forecast.

Exit: 0; 1 if the configuration has errors, if more than --max-moved moves, or if there is no server.`,
		Example: "  meridian config plan new.yaml --max-moved 10%",
		Args:    oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			most, err := parseMaxMoved(o.maxMoved)
			if err != nil {
				return err
			}
			var forecast plan.Forecast
			if err := o.send(c, http.MethodPost, "/v1/config/plan", url.Values{}, args[0], &forecast); err != nil {
				return err
			}
			if err := o.printForecast(&forecast, c.OutOrStdout()); err != nil {
				return err
			}
			if forecast.Moved > most+rounding {
				return fmt.Errorf("%.2f %% of the traffic moves, more than --max-moved %s", 100*forecast.Moved, o.maxMoved)
			}
			return nil
		},
	})
	c.Flags().StringVar(&o.maxMoved, "max-moved", "", "`SHARE` of the clients, such as 10%; exit with 1 if more would move")
	return c
}

// printForecast prints a forecast in the format of the command line.
func (o *configOptions) printForecast(f *plan.Forecast, stdout io.Writer) error {
	if o.output == outputJSON {
		return printJSON(stdout, f)
	}
	return f.Text(stdout)
}

func configPushCommand() *cobra.Command {
	var o configOptions
	c := o.addFileFlag(&cobra.Command{
		Use:   "push FILE",
		Short: "Replace the configuration of a running server",
		Long: `Push makes FILE serve and replaces the server's file with it. With --max-moved it is refused if more of
the clients would move, with --expect if another generation than N is served. The guardrails of the
served configuration apply.

If the nodes of a cluster share their configuration, FILE becomes its next generation, which all nodes serve
at once, or the nodes of --canary first and the others after --for. With --canary 5% it is that share of the
clients, on all nodes. A node that rejects it, and a canary that answers worse, take it back. Push waits up to 10 seconds for the nodes and prints what each one
says.

Exit: 0; 1 if the configuration is refused, a node has rejected it, or there is no server.`,
		Example: `  meridian config push new.yaml --max-moved 10% --reason "add use-2"
  meridian config push new.yaml --expect 41
  meridian config push new.yaml --canary ams1 --for 10m
  meridian config push new.yaml --canary 5% --for 10m`,
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error { return o.push(c, args[0]) },
	})
	o.addChangeFlags(c)
	c.Flags().StringVar(&o.maxMoved, "max-moved", "", "`SHARE` of the clients, such as 10%; refuse the configuration if more would move")
	c.Flags().StringSliceVar(&o.canary, "canary", nil, "`NODE` of the cluster that serves it before the others, may be repeated; or the share of the clients that gets it before the others, such as 5%")
	c.Flags().DurationVar(&o.canaryFor, "for", 0, "how long the canary has it before the others, such as 10m, the default")
	return c
}

// push replaces the configuration of the server by a file.
func (o *configOptions) push(c *cobra.Command, file string) error {
	if _, err := parseMaxMoved(o.maxMoved); err != nil {
		return err
	}
	if err := o.checkExpected(c.Context()); err != nil {
		return err
	}
	words := url.Values{}
	for key, value := range map[string]string{"max_moved": o.maxMoved, "reason": o.reason, "override_guardrail": o.against} {
		if value != "" {
			words.Set(key, value)
		}
	}
	if o.allowRemoval {
		words.Set("allow_removal", "true")
	}
	if c.Flags().Changed("canary") { // an empty one is refused
		words.Set("canary", strings.Join(o.canary, ","))
	}
	if c.Flags().Changed("for") {
		words.Set("for", o.canaryFor.String())
	}
	var loaded control.Loaded
	if err := o.send(c, http.MethodPut, "/v1/config", words, file, &loaded); err != nil {
		return err
	}
	return o.printLoaded(&loaded, c.OutOrStdout())
}

// printLoaded prints the result of a change.
func (o *configOptions) printLoaded(loaded *control.Loaded, stdout io.Writer) error {
	if o.output == outputJSON {
		return printJSON(stdout, loaded)
	}
	if loaded.Shared {
		err := printShared(loaded, stdout)
		for _, name := range o.canary {
			if !strings.Contains(name, "%") && !slices.ContainsFunc(loaded.Nodes, func(a rollout.NodeAck) bool { return a.Node == name }) {
				fmt.Fprintf(stdout, "  %s has not answered; the other nodes wait for it: see meridian config history\n", name)
			}
		}
		return err
	}
	fmt.Fprintf(stdout, "generation %d is served\n", loaded.Generation)
	describeLoaded(stdout, loaded)
	return nil
}

// printShared prints what the nodes of a cluster say of a generation. A rejection is an error.
func printShared(loaded *control.Loaded, stdout io.Writer) error {
	fmt.Fprintf(stdout, "generation %d of the cluster: %s\n", loaded.Generation, loaded.Config)
	var rejected []string
	for _, a := range loaded.Nodes {
		fmt.Fprintf(stdout, "  %s %s\n", a.Node, strings.TrimSuffix(a.State+": "+a.Why, ": "))
		if a.State == rollout.Rejected {
			rejected = append(rejected, a.Node)
		}
	}
	if len(rejected) > 0 {
		return fmt.Errorf("generation %d was rejected by %s, and is taken back", loaded.Generation, strings.Join(rejected, ", "))
	}
	return nil
}

// oneFile accepts exactly one file.
func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d files, want one; e.g. %s new.yaml", len(args), c.CommandPath())
	}
	return nil
}

// parseMaxMoved parses the value of --max-moved; empty: 100%.
func parseMaxMoved(text string) (float64, error) {
	share, err := parseShare(cmp.Or(text, "100%"))
	if err != nil {
		return 0, fmt.Errorf("--max-moved: %w", err)
	}
	if share == 0 {
		return 0, fmt.Errorf("--max-moved: %q leaves nothing to change; e.g. 10%%", text)
	}
	return share, nil
}

// send sends a configuration of this machine, and decodes the answer into out.
func (o *configOptions) send(c *cobra.Command, method, path string, words url.Values, file string, out any) error {
	text, err := readFileOrInput(file, c.InOrStdin())
	if err != nil {
		return err
	}
	if o.file != "" {
		words.Set("file", o.file)
	}
	return o.call(c.Context(), method, path, words, yamlText(text), out)
}

// readFileOrInput reads a file; -: the standard input.
func readFileOrInput(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// generations returns the configurations that have served, the latest first.
func (o *configOptions) generations(ctx context.Context) ([]admin.StoredGeneration, error) {
	var list struct {
		Generations []admin.StoredGeneration `json:"generations"`
	}
	err := o.call(ctx, http.MethodGet, "/v1/config/generations", nil, nil, &list)
	return list.Generations, err
}

// checkExpected returns an error unless the generation of --expect is served. A change that happens later is refused by
// its ETag.
func (o *configOptions) checkExpected(ctx context.Context) error {
	if o.expect == 0 {
		return nil
	}
	list, err := o.generations(ctx)
	if err != nil {
		return err
	}
	served := "a configuration that is not stored"
	for i := range list {
		if list[i].Serving && list[i].Number == o.expect {
			o.ifMatch = list[i].Hash
			return nil
		}
		if list[i].Serving {
			served = "generation " + strconv.FormatUint(list[i].Number, 10)
		}
	}
	return hinted(fmt.Sprintf("%s is served, not generation %d of --expect", served, o.expect), "meridian config history shows the changes, meridian config diff what they are")
}

// describeLoaded prints the result of a reload.
func describeLoaded(w io.Writer, loaded *control.Loaded) {
	fmt.Fprintf(w, "loaded %s in %s: %d zones, %d names (%d balanced), %d pools\n",
		loaded.Config, loaded.Took.Round(time.Millisecond), loaded.Zones, loaded.Names, loaded.Bound, loaded.Pools)
	if loaded.AdminMoved && loaded.Admin == "" {
		fmt.Fprintln(w, "the API is off now: the configuration has no admin.listen")
	} else if loaded.AdminMoved {
		scheme := "http"
		if loaded.AdminTLS {
			scheme = "https"
		}
		fmt.Fprintf(w, "the API is now at %s://%s\n", scheme, loaded.Admin)
	}
}
