package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"meridian/cluster"
	"meridian/cluster/rollout"
	"meridian/control"
)

func clusterStatusCommand() *cobra.Command {
	var s servers
	var output outputFlag
	var problems bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes and agents of a cluster and the votes of its regions",
		Long: `Status shows the cluster as a running node sees it: the nodes and agents, whether their opinions count, the difference of
their clocks, the generation of the shared configuration that they serve, and for each checked address the vote of each region and what is decided. A vote in a region whose
nodes differ is followed by the nodes that find something else. Ask another node with --server.

Exit: 0; 1 if the server is in no cluster or does not answer. Problems do not change it.`,
		Example: `  meridian cluster status
  meridian cluster status --problems        only addresses that are not up everywhere
  meridian cluster status -o json`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.each(c.OutOrStdout(), output, func(out io.Writer) error {
				var status control.ClusterStatus
				if err := s.call(c.Context(), http.MethodGet, "/v1/cluster", nil, nil, &status); err != nil {
					return err
				}
				if problems {
					status.Checks = slices.DeleteFunc(status.Checks, func(k control.ClusterCheck) bool { return isUpEverywhere(&k) })
				}
				if output == outputJSON {
					return printJSON(out, status)
				}
				return printCluster(out, &status, time.Now())
			})
		},
	}
	addServersFlags(c, &s)
	addOutputFlag(c, &output)
	c.Flags().BoolVar(&problems, "problems", false, "only addresses that are not up, or that a node does not find up")
	return c
}

func clusterMembersCommand() *cobra.Command {
	var s servers
	var output outputFlag
	c := &cobra.Command{
		Use:   "members",
		Short: "List the nodes and agents of a cluster",
		Long: `Members lists the nodes and agents that a running node trusts, whether their opinions count,
and the difference of their clocks. The members of etcd are those of meridian etcd members.

Exit: 0; 1 if the server is in no cluster or does not answer. Problems do not change it.`,
		Example: "  meridian cluster members\n  meridian cluster members -o json",
		Args:    noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.each(c.OutOrStdout(), output, func(out io.Writer) error {
				var status control.ClusterStatus
				if err := s.call(c.Context(), http.MethodGet, "/v1/cluster", nil, nil, &status); err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(out, map[string]any{"members": status.Nodes})
				}
				t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				printNodes(t, &status)
				return t.Flush()
			})
		},
	}
	addServersFlags(c, &s)
	addOutputFlag(c, &output)
	return c
}

// printNodes prints a line for each node and agent.
func printNodes(t io.Writer, s *control.ClusterStatus) {
	fmt.Fprintln(t, "NODE\tKIND\tREGION\tSTATE\tCLOCK\tGENERATION")
	for i := range s.Nodes {
		n := &s.Nodes[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, n.Kind, orDash(n.Region), describeClusterNode(n), describeClock(n, s.Node), describeGenerations(n))
	}
}

// isUpEverywhere reports whether an address is up and all nodes that count find it up.
func isUpEverywhere(k *control.ClusterCheck) bool {
	isUp := func(name string) bool { return name == "up" }
	for _, votes := range []map[string]string{k.Votes, k.Vantages} {
		for _, v := range votes {
			if !isUp(v) {
				return false
			}
		}
	}
	return isUp(k.State)
}

// printCluster prints the status of a cluster for people.
func printCluster(w io.Writer, s *control.ClusterStatus, now time.Time) error {
	fmt.Fprintf(w, "cluster %s, seen from %s: etcd %s, fresh %s, disagreements %d\n\n", s.Cluster, s.Node, describeEtcd(s.Etcd, s.Mode), countFresh(s.Nodes), s.Disagreements)
	if s.NameTaken {
		fmt.Fprintf(w, "WARNING: %s\n\n", nameTakenWarning(s.Node))
	}
	if s.Unheard {
		fmt.Fprintf(w, "WARNING: %s\n\n", cluster.Unheard)
	}
	if s.OverridesError != "" {
		fmt.Fprintf(w, "WARNING: overrides are not shared: %s\n\n", s.OverridesError)
	}
	switch r := s.Canary; {
	case r == nil:
	case r.Result == rollout.RolledBack:
		fmt.Fprintf(w, "WARNING: %s\n\n", describeRun(r))
	default:
		fmt.Fprintf(w, "%s\n\n", describeRun(r))
	}
	printInputs(w, &s.Inputs, s.Node)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printNodes(t, s)
	regions := regionsOf(s)
	fmt.Fprintf(t, "\nCHECK\tADDRESS\tSTATE\tSINCE\t%s\tWHY\n", strings.Join(regions, "\t"))
	for i := range s.Checks {
		k := &s.Checks[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s", k.Check, k.Address, describeAgreed(k), age(k.Since, now))
		for _, region := range regions {
			fmt.Fprintf(t, "\t%s", describeVote(k, region, s.Nodes))
		}
		fmt.Fprintf(t, "\t%s\n", k.Reason)
	}
	return t.Flush()
}

// describeAgreed describes the decision of the nodes about an address.
func describeAgreed(k *control.ClusterCheck) string {
	if k.Provisional {
		return k.State + ", provisional"
	}
	return k.State
}

// printInputs prints which node gives the loads and targets that the node seen from uses.
func printInputs(w io.Writer, s *control.ClusterInputs, node string) {
	if s.Error != "" {
		fmt.Fprintf(w, "WARNING: load reports and targets are not shared: %s\n\n", s.Error)
	}
	if s.LoadsFrom != "" {
		fmt.Fprintf(w, "loads: reports and shedding of %s\n", s.LoadsFrom)
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		addresses := joinAddresses(t.Addresses)
		if addresses == "" {
			addresses = "not resolved"
		}
		fmt.Fprintf(w, "target %s: %s, found by %s", t.Target, addresses, t.From)
		if len(t.Own) > 0 {
			fmt.Fprintf(w, "; %s finds %s", node, joinAddresses(t.Own))
		}
		fmt.Fprintln(w)
	}
	if s.LoadsFrom != "" || len(s.Targets) > 0 {
		fmt.Fprintln(w)
	}
}

// agentKind is the kind of an agent.
const agentKind = "agent"

// describeEtcd describes the connection to etcd, and how the nodes share what they know without it.
func describeEtcd(etcd, mode string) string {
	if mode == string(cluster.ViaNodes) {
		return etcd + ", mode " + mode
	}
	return etcd
}

// countFresh counts the nodes, and the agents if there are any, with opinions that count.
func countFresh(nodes []control.ClusterNode) string {
	var fresh, all [2]int // of nodes and agents
	for i := range nodes {
		kind := 0
		if nodes[i].Kind == agentKind {
			kind = 1
		}
		all[kind]++
		if nodes[i].Fresh {
			fresh[kind]++
		}
	}
	text := fmt.Sprintf("%d of %d nodes", fresh[0], all[0])
	if all[1] > 0 {
		text += fmt.Sprintf(" and %d of %d agents", fresh[1], all[1])
	}
	return text
}

// nameTakenWarning says that the opinions of a node do not count.
func nameTakenWarning(name string) string {
	return fmt.Sprintf("another process publishes as %q in the cluster: the opinions of this one do not count until that ends; give each node its own name and identity", name)
}

// describeClusterNode describes whether the opinions of a node count.
func describeClusterNode(n *control.ClusterNode) string {
	switch {
	case n.Disagrees:
		return "fresh, other results"
	case n.Fresh:
		return "fresh"
	case n.Region == "":
		return "not seen"
	}
	return "lost"
}

// describeGenerations describes the generations of the shared configuration that a node serves.
func describeGenerations(n *control.ClusterNode) string {
	switch {
	case n.Generation == 0:
		return "-"
	case n.Canary == 0:
		return strconv.FormatUint(n.Generation, 10)
	}
	return fmt.Sprintf("%d, canary %d", n.Generation, n.Canary)
}

// describeClock describes the difference of a node's clock from that of the node seen from.
func describeClock(n *control.ClusterNode, seenFrom string) string {
	if n.Name == seenFrom || n.Region == "" {
		return "-"
	}
	return fmt.Sprintf("%+.3f s", n.Skew)
}

// regionsOf returns the regions that vote or have a node, in order.
func regionsOf(s *control.ClusterStatus) []string {
	all := map[string]bool{}
	for i := range s.Nodes {
		if s.Nodes[i].Region != "" {
			all[s.Nodes[i].Region] = true
		}
	}
	for i := range s.Checks {
		for region := range s.Checks[i].Votes {
			all[region] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// describeVote describes the vote of a region, with the nodes in it that find something else.
func describeVote(k *control.ClusterCheck, region string, nodes []control.ClusterNode) string {
	vote, votes := k.Votes[region]
	if !votes {
		return "-"
	}
	var others []string
	for i := range nodes {
		if v, observes := k.Vantages[nodes[i].Name]; observes && nodes[i].Region == region && v != vote {
			others = append(others, nodes[i].Name+" "+v)
		}
	}
	if len(others) == 0 {
		return vote
	}
	return fmt.Sprintf("%s (%s)", vote, strings.Join(others, ", "))
}

// describeVotes describes the votes about an address in a line; empty without a cluster.
func describeVotes(a *control.AddressStatus) string {
	if len(a.Votes) == 0 {
		return ""
	}
	list := func(of map[string]string) string {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(of)) {
			all = append(all, name+" "+of[name])
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("votes: %s; nodes: %s", list(a.Votes), list(a.Vantages))
}

// clusterStateWarnings describes the loss of the cluster, or of the name in it; nil: the node is in none.
func clusterStateWarnings(c *control.ClusterSummary) (all []string) {
	if c == nil {
		return nil
	}
	switch {
	case c.Etcd == "ok":
	case c.Mode == string(cluster.ViaNodes):
		all = append(all, "etcd cannot be reached: mode direct, health states are agreed with the nodes that can be reached, and only --local overrides can be set; see meridian cluster status")
	default:
		all = append(all, "etcd cannot be reached: health states hold unless this node is a majority of the regions, and only --local overrides can be set; see meridian cluster status")
	}
	if c.NameTaken {
		all = append(all, nameTakenWarning(c.Node))
	}
	if c.Unheard {
		all = append(all, cluster.Unheard)
	}
	if r := c.Canary; r != nil && r.Result == rollout.RolledBack {
		all = append(all, describeRun(r))
	}
	return all
}

// describeRun describes a canary of the shared configuration.
func describeRun(r *control.CanaryRun) string {
	text := fmt.Sprintf("generation %d on %s, since %s", r.Generation, r.Where, timeText(r.Since))
	if r.Result == control.CanaryRunning {
		return "canary of " + text + "; " + describeEnd(r)
	}
	text = fmt.Sprintf("the canary of %s, was %s at %s by %s", text, r.Result, timeText(r.Until), r.By)
	if r.Why != "" {
		text += ": " + r.Why
	}
	return text + "; meridian config history shows it"
}
