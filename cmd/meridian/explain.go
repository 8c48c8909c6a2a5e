package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/server"
)

func explainCommand() *cobra.Command {
	var file configFlag
	var output outputFlag
	var resolve resolveFlag
	var who struct{ client, resolver string }
	c := &cobra.Command{
		Use:   "explain NAME [TYPE] --client ADDR -c FILE",
		Short: "Give the answer to a question and why, step by step",
		Long: `Explain answers NAME and TYPE (A when left out) as serve would for a client, and says why: where the
client is and what placed it, and for each pool each member's verdict, distance or weight, and the
reason it was chosen or passed over. It runs the very code that serves. Nothing is probed: every
verdict is unknown, which counts as up. Members that are a target have no address unless --resolve
asks for them.

--client is the client-subnet (ECS) of the question, an address or a network; --resolver is the
address that the packet comes from, which decides where no client-subnet does.

Exit: 0; 1 when the configuration or the command line is at fault.`,
		Example: `  meridian explain www.gslb.example.com --client 198.51.100.7 -c meridian.yaml
  meridian explain www.gslb.example.com AAAA --client 2001:db8::/48 -c meridian.yaml
  meridian explain www.gslb.example.com A --resolver 192.0.2.53 -c meridian.yaml -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			asked, err := question(args, who.client, who.resolver)
			if err != nil {
				return err
			}
			snapshot, err := load(string(file), c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer snapshot.Close()
			resolved, err := resolve.resolve(c.Context(), snapshot, c.ErrOrStderr())
			if err != nil {
				return err
			}
			e := server.Explain(resolved, asked)
			if output == outputJSON {
				return printJSON(c.OutOrStdout(), e)
			}
			return printExplanation(c.OutOrStdout(), e)
		},
	}
	c.Flags().StringVar(&who.client, "client", "", "`address` or network that the question carries as client-subnet")
	c.Flags().StringVar(&who.resolver, "resolver", "", "`address` that the packet comes from")
	addResolveFlag(c, &resolve)
	addConfigFlag(c, &file)
	addOutputFlag(c, &output)
	return c
}

// question reads the words of the command line.
func question(args []string, client, resolver string) (server.Asked, error) {
	var asked server.Asked
	var err error
	if asked.Name, err = config.ParseName(args[0]); err != nil {
		return asked, err
	}
	asked.Type = dns.TypeA
	if len(args) == 2 {
		if asked.Type, err = parseType(args[1]); err != nil {
			return asked, err
		}
	}
	if client == "" && resolver == "" {
		return asked, errors.New("no client; --client ADDR or --resolver ADDR says who asks")
	}
	if client != "" {
		if asked.Client, err = parseNetwork(client); err != nil {
			return asked, fmt.Errorf("--client: %w", err)
		}
	}
	if resolver != "" {
		if asked.Resolver, err = netip.ParseAddr(resolver); err != nil {
			return asked, fmt.Errorf("--resolver: %q is not an address; e.g. 192.0.2.53", resolver)
		}
	}
	return asked, nil
}

// parseType reads a record type: its name, or TYPE and its number (RFC 3597 5).
func parseType(s string) (uint16, error) {
	upper := strings.ToUpper(s)
	if t, ok := dns.StringToType[upper]; ok {
		return t, nil
	}
	if number, ok := strings.CutPrefix(upper, "TYPE"); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("%q is not a record type; e.g. A, AAAA, TXT, TYPE65280", s)
}

// parseNetwork reads an address, as the network of itself, or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network; e.g. 198.51.100.7 or 198.51.100.0/24", s)
	}
	return p.Masked(), nil
}
