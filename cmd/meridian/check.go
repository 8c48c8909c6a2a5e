package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/snapshot"
)

// checkHelp is the text of --help of meridian check.
const checkHelp = `Check loads FILE with everything it names (master files, geo databases, certificates) exactly as
serve does, without listening or probing. Errors and warnings go to stderr, one per line, as

  file:line:column: path.to.key: what is wrong; what would be right

It warns if this user can neither write to the state directory nor create it. With -o json, stdout has
one object with the errors, the warnings and a summary of what would be served. With --agent it checks FILE for
meridian agent, which uses less of it; the key and the certificates with which it joins its cluster must be right.

Exit: 0 when serve, or with --agent the agent, would start (warnings or not); 1 when it would not.`

func checkCommand() *cobra.Command {
	var file configFlag
	var output outputFlag
	var agent bool
	c := &cobra.Command{
		Use:   "check {-c FILE | FILE}...",
		Short: "Report all errors of a configuration, or what it would serve",
		Long:  checkHelp,
		Example: `  meridian check -c meridian.yaml
  meridian check meridian.d
  meridian check -c meridian.yaml -o json
  meridian check --agent agent.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			paths, err := file.paths(args...)
			if err != nil {
				return err
			}
			load, print := checked, summary.print
			if agent {
				load, print = checkedAgent, summary.printAgent
			}
			if output == outputJSON {
				return checkJSON(paths, load, c.OutOrStdout())
			}
			snapshot, found := load(paths)
			if err := found.print(c.ErrOrStderr()); err != nil {
				return err
			}
			defer snapshot.Close()
			return print(summarize(snapshot), c.OutOrStdout())
		},
	}
	addConfigFlag(c, &file)
	addOutputFlag(c, &output)
	c.Flags().BoolVar(&agent, "agent", false, "check it for meridian agent: what an agent does not use is not read, and files with which it joins its cluster must be right")
	return c
}

// checked builds the snapshot and adds warnings about folders that cannot be written.
func checked(paths []string) (*snapshot.Snapshot, findings) {
	snapshot, found := build(paths)
	if snapshot != nil {
		found.warnings = slices.Concat(found.warnings, stateWarnings(snapshot.Config), keyWarnings(snapshot.Config), privateKeyWarnings(snapshot.Config), clusterWarnings(snapshot.Config))
	}
	return snapshot, found
}

// checkJSON prints errors and warnings, and a summary if there are no errors.
func checkJSON(paths []string, load func([]string) (*snapshot.Snapshot, findings), stdout io.Writer) error {
	snapshot, found := load(paths)
	report := struct {
		Errors   []finding `json:"errors"`
		Warnings []finding `json:"warnings"`
		*summary
	}{Errors: listed(found.errs), Warnings: listed(found.warnings)}
	if snapshot != nil {
		defer snapshot.Close()
		s := summarize(snapshot)
		report.summary = &s
	}
	if err := printJSON(stdout, report); err != nil {
		return err
	}
	return found.err()
}

// summary is the content that a valid configuration would serve.
type summary struct {
	Listen []string      `json:"listen"`
	TLS    []string      `json:"listen_tls,omitempty"`
	QUIC   []string      `json:"listen_quic,omitempty"`
	HTTPS  []string      `json:"listen_https,omitempty"`
	Zones  []zoneSummary `json:"zones"`
	Pools  []poolSummary `json:"pools"`
	Probed int           `json:"probed"` // distinct pairs of check and address, without those of unresolved targets

	Targets int `json:"targets"` // names to be resolved

	Tables      int `json:"tables"`       // of geo: distinct sets of regions or matches
	TablesBytes int `json:"tables_bytes"` // their size in memory

	SignedSets *snapshot.SignedSets `json:"signed_sets,omitempty"` // absent: no zone is signed
}

type zoneSummary struct {
	Zone     string `json:"zone"`
	Names    int    `json:"names"`
	Balanced int    `json:"balanced"`
	Records  int    `json:"records"`
}

type poolSummary struct {
	Pool     string `json:"pool"`
	Policy   string `json:"policy"`
	Members  int    `json:"members"`
	Regions  int    `json:"regions"`
	Check    string `json:"check"`
	Fallback string `json:"fallback,omitempty"`
}

func summarize(snapshot *snapshot.Snapshot) summary {
	s := summary{Probed: len(snapshot.Pools.Targets()), Targets: len(snapshot.Targets())}
	s.Tables, s.TablesBytes = snapshot.Pools.Tables()
	if sets, ok := snapshot.SignedSets(); ok {
		s.SignedSets = &sets
	}
	server := &snapshot.Config.Server
	s.Listen, s.TLS, s.QUIC, s.HTTPS = addressTexts(server.Listen), addressTexts(server.ListenTLS), addressTexts(server.ListenQUIC), addressTexts(server.HTTPS.Addresses)
	for _, z := range snapshot.Zones.Summary() {
		s.Zones = append(s.Zones, zoneSummary{string(z.Zone), z.Names, z.Balanced, z.Records})
	}
	for i := range snapshot.Config.Pools {
		s.Pools = append(s.Pools, summarizePool(&snapshot.Config.Pools[i]))
	}
	return s
}

func addressTexts(addresses []netip.AddrPort) (texts []string) {
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return texts
}

func summarizePool(p *config.Pool) poolSummary {
	regions, checks := map[string]bool{}, []string{}
	for _, m := range p.Members {
		if m.Region != "" {
			regions[m.Region] = true
		}
		if m.Check != "" && !strings.Contains(" "+strings.Join(checks, " ")+" ", " "+m.Check+" ") {
			checks = append(checks, m.Check)
		}
	}
	return poolSummary{p.Name, string(p.Policy), len(p.Members), len(regions), strings.Join(checks, " "), p.Fallback}
}

func (s summary) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ZONE\tNAMES\tBALANCED\tRECORDS")
	for _, z := range s.Zones {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", z.Zone, z.Names, z.Balanced, z.Records)
	}
	if len(s.Pools) > 0 {
		fmt.Fprintln(t, "\nPOOL\tPOLICY\tMEMBERS\tREGIONS\tCHECK\tFALLBACK")
	}
	for _, p := range s.Pools {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", p.Pool, p.Policy, p.Members, p.Regions, cmp.Or(p.Check, "none"), cmp.Or(p.Fallback, "none"))
	}
	if s.SignedSets != nil {
		fmt.Fprintf(t, "\nsigned: up to %d signed sets, room for %d in the cache\n", s.SignedSets.Needed, s.SignedSets.Room)
	}
	fmt.Fprintf(t, "\nok: would listen on %s and probe %d", s.listening(), s.Probed)
	if s.Targets > 0 {
		fmt.Fprintf(t, ", and resolve %s and probe what these lead to", targets(s.Targets))
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// printAgent is print for an agent.
func (s summary) printAgent(w io.Writer) error {
	fmt.Fprintf(w, "ok: would probe %d", s.Probed)
	if s.Targets > 0 {
		fmt.Fprintf(w, ", and resolve %s and probe what these lead to", targets(s.Targets))
	}
	_, err := fmt.Fprintln(w)
	return err
}

// listening lists the addresses of all transports.
func (s summary) listening() string {
	text := strings.Join(s.Listen, " ")
	for _, t := range []struct {
		name      string
		addresses []string
	}{{"TLS", s.TLS}, {"QUIC", s.QUIC}, {"HTTPS", s.HTTPS}} {
		if len(t.addresses) > 0 {
			text += ", for " + t.name + " on " + strings.Join(t.addresses, " ")
		}
	}
	return text
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
