package daemon

import (
	"fmt"
	"slices"

	"meridian/config"
	"meridian/health"
	"meridian/snapshot"
)

// An agent is a vantage of a cluster that answers no queries: a Daemon without sockets for DNS, zones and geo data. Its pools
// only name what is probed.

// BuildAgent returns a builder of what an agent uses of a configuration.
func BuildAgent(b snapshot.Builder) snapshot.Builder {
	return func(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
		if cfg.Cluster.Name == "" {
			return nil, nil, config.Join([]config.Error{cfg.ErrorAt(config.Pos{}, "cluster", "it is missing: an agent probes for the nodes of a cluster", "write the cluster of the nodes, with a node name and an identity of its own")})
		}
		useAsAgent(cfg)
		return b(cfg)
	}
}

// useAsAgent removes from a configuration what an agent does not use:
//
//	kept                            why
//	------------------------------  -----------------------------------------------------
//	node, cluster, admin, log       of the process
//	state                           only with a shared configuration: its copy is in it
//	server.resolvers                for the targets of members
//	checks, regions, pools          without how they answer; without checks that only nodes run
func useAsAgent(cfg *config.Config) {
	if !cfg.Cluster.Shared {
		cfg.State = ""
	}
	cfg.Server = config.Server{UDPSize: cfg.Server.UDPSize, TCP: cfg.Server.TCP, Resolvers: cfg.Server.Resolvers}
	cfg.Geo, cfg.Latency, cfg.Loads, cfg.Views, cfg.Zones = config.Geo{}, config.Latency{}, nil, nil, nil
	cfg.QueryLog, cfg.ResolverStats, cfg.Notify = config.QueryLog{}, config.ResolverStats{}, nil
	cfg.Guardrails, cfg.Maintenance, cfg.DNSSEC, cfg.TSIG = config.Guardrails{}, nil, config.DNSSEC{}, nil
	probed := probedChecks(cfg)
	for i := range cfg.Regions {
		r := &cfg.Regions[i]
		r.Load = nil
		if !probed[r.Check] {
			r.Check, r.Addresses = "", nil
		}
	}
	var kept []config.Pool
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		members := slices.DeleteFunc(p.Members, func(m config.Member) bool {
			return !probed[m.Check] || m.Target == "" && len(m.Addresses) == 0
		})
		for j := range members {
			m := &members[j]
			m.Match, m.Records, m.Load = nil, nil, nil
		}
		if len(members) > 0 {
			kept = append(kept, config.Pool{
				Name: p.Name, Policy: config.Failover, Check: p.Check, Answers: 1, MinUp: config.MinUp{N: 1},
				FailOpen: config.NeverOpen, DualStack: config.Independent, OnDown: config.Widen, Members: members, Pos: p.Pos,
			})
		}
	}
	cfg.Pools = kept
}

// probedChecks returns the names of the checks that an agent runs. A composite check becomes one of the parts that it has of
// these: its state decides nothing here.
func probedChecks(cfg *config.Config) map[string]bool {
	probed := make(map[string]bool, len(cfg.Checks))
	var visit func(*config.Check) bool
	visit = func(c *config.Check) bool {
		if known, ok := probed[c.Name]; ok {
			return known
		}
		if !c.Type.Composite() {
			c.Idle = config.IdleProbing{} // no query asks for anything here
			probed[c.Name] = health.Shares(c)
			return probed[c.Name]
		}
		c.Type, c.N = config.Any, 0
		c.Parts = slices.DeleteFunc(c.Parts, func(p config.CheckPart) bool { return !visit(p.Check) })
		for i := range c.Parts {
			c.Parts[i].Critical, c.Parts[i].ObserveOnly = false, false
		}
		probed[c.Name] = len(c.Parts) > 0
		return probed[c.Name]
	}
	for i := range cfg.Checks {
		visit(&cfg.Checks[i])
	}
	return probed
}

// NameTakenError is the end of an agent with the name of another running process.
type NameTakenError struct{ Cluster, Name string }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("another process publishes as %q in cluster %s; give this agent a node name and an identity of its own: node and cluster.identity", e.Name, e.Cluster)
}
