package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/control"
	"meridian/server/answer"
)

// explainHelp is the text of --help of meridian explain.
const explainHelp = `Explain answers NAME and TYPE (default A) as serve would for a client, and gives the reasons: the
client's location and its source, and for each pool each member's health state, distance or weight,
and why it was selected or not. It runs the code that serves. With -c nothing is probed: every health
state is unknown, which counts as up, and members with a target have no address unless --resolve is
given. With --server, a running server explains its current answer.

What-if flags, with -c: --down and --force set members down or up, --weight and --bias replace values
of FILE, --load sets the load that a member reports, once, with nothing shed before, and --at moves
the client, or the resolver if there is no client-subnet: to a latitude and longitude, a country such
as FR, a subdivision such as US-CA, a city of the database such as FR/Paris, a region, or continent:EU.

--client is the client-subnet (ECS) of the query, an address or a network; --resolver is the source
address of the packet, used if there is no client-subnet.

All random choices of an answer derive from one random number, printed as its draw; --draw repeats
the same choices. The position of round-robin, which each worker of a server counts separately,
derives from it too.

Exit: 0; 1 on an error in the configuration or the command line, or if no server answers.`

func explainCommand() *cobra.Command {
	var a explainOptions
	var output outputFlag
	c := &cobra.Command{
		Use:   "explain NAME [TYPE] --client ADDR {-c FILE | --server URL}",
		Short: "Show the answer to a query and the reason for it, step by step",
		Long:  explainHelp,
		Example: `  meridian explain www.gslb.example.com --client 198.51.100.7 -c meridian.yaml
  meridian explain www.gslb.example.com AAAA --client 2001:db8::/48 -c meridian.yaml
  meridian explain www.gslb.example.com A --resolver 192.0.2.53 -c meridian.yaml -o json
  meridian explain www.gslb.example.com --client 198.51.100.7 --down us-east --at FR -c meridian.yaml
  meridian explain www.gslb.example.com --client 198.51.100.7 --server http://127.0.0.1:8053`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			a.words = append(args, "")
			e, err := a.explain(c.Context(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			if output == outputJSON {
				return printJSON(c.OutOrStdout(), e)
			}
			return printExplanation(c.OutOrStdout(), e)
		},
	}
	c.Flags().StringVar(&a.client, "client", "", "`address` or network that the question carries as client-subnet")
	c.Flags().StringVar(&a.resolver, "resolver", "", "`address` that the packet comes from")
	c.Flags().StringVar(&a.draw, "draw", "", "`N`: the random number, as an explanation prints it: repeats the same answer")
	c.Flags().StringVar(&a.time, "time", "", "`TIME` of the query, such as 2026-03-01T12:00:00Z, for pools with sticky: ttl (default now)")
	c.Flags().StringVar(&a.at, "at", "", "`PLACE` of the client in this case")
	a.whatIf.addFlags(c)
	c.Flags().StringArrayVar(&a.whatIf.forced, "force", nil, "`TARGET=up|down`: its health state in this case; may be repeated")
	c.Flags().StringArrayVar(&a.loads, "load", nil, "`POOL/MEMBER=USED`: the member's reported load in this case, or a share of its capacity such as 70%; may be repeated")
	addResolveFlag(c, &a.resolve)
	addConfigFlag(c, &a.file)
	addClientFlags(c, &a.running, "")
	c.MarkFlagsMutuallyExclusive("config", "server")
	for _, offline := range []string{"resolve", "at", "down", "force", "weight", "bias", "load"} {
		c.MarkFlagsMutuallyExclusive(offline, "server")
	}
	addOutputFlag(c, &output)
	return c
}

// explainOptions is the query to explain, its client and the what-if flags.
type explainOptions struct {
	words            []string // the name, the type or nothing
	client, resolver string
	draw             string
	time             string
	file             configFlag
	resolve          resolveFlag
	whatIf           whatIf
	loads            []string // POOL/MEMBER=USED
	at               string
	running          client
}

// source returns the paths of the configuration, or none if a running server explains.
// Flags take precedence over the environment, and a configuration over a server.
func (a *explainOptions) source() (paths []string, err error) {
	if a.running.server != "" {
		return nil, nil
	}
	if paths, err = a.file.paths(); err == nil {
		return paths, nil
	}
	if a.running.server = os.Getenv(serverVariable); a.running.server != "" {
		return nil, nil
	}
	return nil, errors.New("at least one of the flags -c FILE and --server URL is required; or set " + configVariable + " or " + serverVariable)
}

// explain asks the running server, or loads the configuration if no server is named.
func (a *explainOptions) explain(ctx context.Context, stderr io.Writer) (e control.Explanation, err error) {
	if a.client == "" && a.resolver == "" {
		return e, errors.New("no client; set --client ADDR or --resolver ADDR")
	}
	asked, err := control.ExplainParams{Name: a.words[0], Type: a.words[1], Client: a.client, Resolver: a.resolver, Draw: a.draw, Time: a.time}.Parse()
	if err != nil {
		return e, err
	}
	paths, err := a.source()
	if err != nil {
		return e, err
	}
	if len(paths) == 0 {
		return e, a.running.call(ctx, http.MethodGet, "/v1/explain", a.query(), nil, &e)
	}
	return a.explainFiles(ctx, paths, asked, stderr)
}

// query returns the parameters of the API.
func (a *explainOptions) query() url.Values {
	query := url.Values{"name": {a.words[0]}, "type": {a.words[1]}, "client": {a.client}, "resolver": {a.resolver}}
	if a.draw != "" { // which older servers do not know
		query.Set("draw", a.draw)
	}
	if a.time != "" {
		query.Set("time", a.time)
	}
	return query
}

// explainFiles explains by a configuration, with the changes of the what-if flags.
func (a *explainOptions) explainFiles(ctx context.Context, paths []string, asked answer.ExplainQuery, stderr io.Writer) (e control.Explanation, err error) {
	loads := assumedLoads{}
	change := func(cfg *config.Config) error {
		moved, err := clientAt(cfg, asked, a.at)
		asked = moved
		return errors.Join(a.whatIf.change(cfg), loads.change(cfg, a.loads), err)
	}
	snapshot, err := loadBriefly(paths, change, stderr)
	if err != nil {
		return e, err
	}
	defer snapshot.Close()
	resolved, err := a.resolve.resolve(ctx, snapshot, stderr)
	if err != nil {
		return e, err
	}
	loads.reports(resolved) // before members go down, because the load of a lost region is spread
	if err := a.whatIf.turn(resolved); err != nil {
		return e, err
	}
	if e = control.Explain(resolved, asked); a.at != "" {
		markAt(&e)
	}
	return e, nil
}
