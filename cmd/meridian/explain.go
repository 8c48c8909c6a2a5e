package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"meridian/server"
)

func explainCommand() *cobra.Command {
	var a asking
	var output outputFlag
	c := &cobra.Command{
		Use:   "explain NAME [TYPE] --client ADDR {-c FILE | --server URL}",
		Short: "Give the answer to a question and why, step by step",
		Long: `Explain answers NAME and TYPE (A when left out) as serve would for a client, and says why: where the
client is and what placed it, and for each pool each member's verdict, distance or weight, and the
reason it was chosen or passed over. It runs the very code that serves. With -c nothing is probed:
every verdict is unknown, which counts as up, and members that are a target have no address unless
--resolve asks for them. With --server a running server tells what it answers now.

--client is the client-subnet (ECS) of the question, an address or a network; --resolver is the
address that the packet comes from, which decides where no client-subnet does.

Exit: 0; 1 when the configuration or the command line is at fault, or no server answers.`,
		Example: `  meridian explain www.gslb.example.com --client 198.51.100.7 -c meridian.yaml
  meridian explain www.gslb.example.com AAAA --client 2001:db8::/48 -c meridian.yaml
  meridian explain www.gslb.example.com A --resolver 192.0.2.53 -c meridian.yaml -o json
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
	addResolveFlag(c, &a.resolve)
	c.Flags().VarP(&a.file, "config", "c", "the configuration")
	addClientFlags(c, &a.running, "")
	c.MarkFlagsOneRequired("config", "server")
	c.MarkFlagsMutuallyExclusive("config", "server")
	c.MarkFlagsMutuallyExclusive("resolve", "server")
	addOutputFlag(c, &output)
	return c
}

// asking is a question to be explained, and whom it is for.
type asking struct {
	words            []string // the name, the type or nothing
	client, resolver string
	file             configFlag
	resolve          resolveFlag
	running          client
}

// explain asks the running server, or the configuration where none is named.
func (a *asking) explain(ctx context.Context, stderr io.Writer) (e server.Explanation, err error) {
	if a.client == "" && a.resolver == "" {
		return e, errors.New("no client; --client ADDR or --resolver ADDR says who asks")
	}
	asked, err := server.ParseAsked(a.words[0], a.words[1], a.client, a.resolver)
	if err != nil {
		return e, err
	}
	if a.running.server != "" {
		query := url.Values{"name": {a.words[0]}, "type": {a.words[1]}, "client": {a.client}, "resolver": {a.resolver}}
		return e, a.running.call(ctx, http.MethodGet, "/v1/explain", query, nil, &e)
	}
	snapshot, err := load(string(a.file), stderr)
	if err != nil {
		return e, err
	}
	defer snapshot.Close()
	resolved, err := a.resolve.resolve(ctx, snapshot, stderr)
	if err != nil {
		return e, err
	}
	return server.Explain(resolved, asked), nil
}
