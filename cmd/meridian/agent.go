package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/daemon"
	"meridian/snapshot"
)

// agentHelp is the text of --help of meridian agent.
const agentHelp = `Agent probes for the nodes of a cluster and answers no queries: one more place from which they see whether an
endpoint is up, such as a site without a node. It publishes what it finds over etcd, signed, and its opinion counts as
that of a node does.

FILE is the configuration of a node, with a node name and a cluster.identity of its own, which cluster.trust of all nodes
has. Of it, the agent uses node, cluster, checks, regions, pools, admin and log, server.resolvers, and state with
cluster.config: shared. It needs no zones and no geo database, and listens on nothing but the address of admin, if
FILE has one: for status, events, probe, metrics, /healthz and /readyz. Commands about answers, such as drain or
zone list, are for nodes.

SIGHUP reads FILE again, as meridian reload does. An agent with the name of a running node or agent ends.
Upgrade all nodes before you start the first agent.

Exit: 0 after SIGTERM; 1 on an error in the configuration, or if its name is taken.`

func agentCommand() *cobra.Command {
	var file configFlag
	c := &cobra.Command{
		Use:   "agent -c FILE",
		Short: "Probe for the nodes of a cluster without answering queries",
		Long:  agentHelp,
		Example: `  meridian check --agent -c /etc/meridian/agent.yaml
  meridian agent -c /etc/meridian/agent.yaml`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := file.paths()
			if err != nil {
				return err
			}
			o := serveOptions{paths: paths, agent: true}
			return o.serve(c.Context(), c.ErrOrStderr())
		},
	}
	addConfigFlag(c, &file)
	return c
}

// agentSections are the sections of a configuration that warnings of an agent are about.
var agentSections = []string{"node", "cluster", "admin", "log", "checks", "state"}

// forAgent returns the warnings that concern an agent: how pools answer does not.
func forAgent(warnings []config.Error) []config.Error {
	return slices.DeleteFunc(slices.Clone(warnings), func(w config.Error) bool {
		section, _, _ := strings.Cut(w.Path, ".")
		return !slices.Contains(agentSections, section)
	})
}

// checkedAgent builds what an agent uses, and adds errors in the files with which it joins its cluster, and warnings.
func checkedAgent(paths []string) (*snapshot.Snapshot, findings) {
	built, found := buildWith(paths, daemon.BuildAgent(snapshot.Build))
	found.warnings = forAgent(found.warnings)
	if built == nil {
		return nil, found
	}
	cfg := built.Config
	if found.errs = joinErrors(cfg); len(found.errs) > 0 {
		return nil, findings{errs: found.errs, warnings: found.warnings, failed: built.Close()}
	}
	found.warnings = append(found.warnings, stateWarnings(cfg)...)
	if len(built.Pools.Targets()) == 0 && len(built.Targets()) == 0 && !cfg.Cluster.Shared {
		found.warnings = append(found.warnings, cfg.ErrorAt(config.Pos{}, "pools", "no member has a check that nodes share: the agent has nothing to probe", "give it the checks and pools of the nodes"))
	}
	return built, found
}

// joinErrors returns why a process with a configuration cannot join its cluster; nil: it can.
func joinErrors(cfg *config.Config) []config.Error {
	var err config.Error
	if errors.As(daemon.CheckJoining(cfg), &err) {
		return []config.Error{err}
	}
	return nil
}
