package control

import (
	"cmp"
	"net/netip"
	"time"

	"meridian/cluster"
	"meridian/config"
	"meridian/health"
)

// ClusterSummary is the state of the cluster as this node sees it.
type ClusterSummary struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Etcd    string `json:"etcd"`             // ok or unreachable
	Mode    string `json:"mode"`             // how this node shares what it knows: etcd; direct or alone while etcd is unreachable
	Fresh   int    `json:"fresh"`            // nodes and agents with opinions that count
	Nodes   int    `json:"nodes"`            // trusted nodes, with agents
	Agents  int    `json:"agents,omitempty"` // those of them that are known to be agents
	Kind    string `json:"kind"`             // of this process: node or agent

	NameTaken bool `json:"name_taken,omitempty"` // another process publishes under the name of this node, which publishes nothing
	Unheard   bool `json:"unheard,omitempty"`    // etcd is ok, and has no heartbeat of another node

	Canary *CanaryRun `json:"canary,omitempty"` // of the shared configuration: it serves, or has ended in the last day

	Provisional []ProvisionalTarget `json:"provisional,omitempty"` // targets that only canaries probe
}

// ClusterStatus is the cluster as this node sees it.
type ClusterStatus struct {
	Cluster       string            `json:"cluster"`
	Node          string            `json:"node"`
	Etcd          string            `json:"etcd"`               // ok or unreachable
	Mode          string            `json:"mode"`               // how this node shares what it knows: etcd; direct or alone while etcd is unreachable
	Generation    uint64            `json:"generation"`         // of the configuration of this node; 0: it is not stored
	Disagreements uint64            `json:"disagreements"`      // since the process started
	Rejected      map[string]uint64 `json:"rejected,omitempty"` // messages, by reason
	Nodes         []ClusterNode     `json:"nodes"`
	Checks        []ClusterCheck    `json:"checks"`

	NameTaken bool `json:"name_taken,omitempty"` // another process publishes under the name of this node, which publishes nothing
	Unheard   bool `json:"unheard,omitempty"`    // etcd is ok, and has no heartbeat of another node

	OverridesError string `json:"overrides_error,omitempty"` // why overrides are not shared, although etcd is ok

	Inputs ClusterInputs `json:"inputs"`

	Canary *CanaryRun `json:"canary,omitempty"` // of the shared configuration: it serves, or has ended in the last day
}

// ClusterInputs names the nodes that give loads and targets.
type ClusterInputs struct {
	LoadsFrom string            `json:"loads_from,omitempty"` // the node with the load controllers that this one uses; empty: no load is reported
	Targets   []ClusterTarget   `json:"targets,omitempty"`
	Error     string            `json:"error,omitempty"` // why inputs are not shared, although etcd is ok
	Rejected  map[string]uint64 `json:"rejected,omitempty"`
}

// ClusterTarget is a target and the node that gives its addresses.
type ClusterTarget struct {
	Target    config.Target `json:"target"`
	From      string        `json:"from"`
	Addresses []netip.Addr  `json:"addresses"`
	Own       []netip.Addr  `json:"own,omitempty"` // found by this node itself, if another one gives others
}

// clusterInputs returns the nodes that give loads and targets.
func (c *Control) clusterInputs(at *view) (s ClusterInputs) {
	c.mu.Lock()
	of := c.inputs
	c.mu.Unlock()
	if of == nil || at.Snapshot == nil {
		return s
	}
	status := of.Status()
	if status.Problem != nil {
		s.Error = status.Problem.Error()
	}
	s.Rejected = make(map[string]uint64, len(status.Rejected))
	for reason, n := range status.Rejected {
		s.Rejected[string(reason)] = n
	}
	if len(at.Snapshot.Pools.LoadTargets()) > 0 {
		s.LoadsFrom = of.Node
		if at.given != nil && at.given.giver != "" {
			s.LoadsFrom = at.given.giver
		}
	}
	found, resolving := at.Targets.Addresses(), at.Targets.Status()
	for _, name := range at.Snapshot.Targets() {
		known := resolving[name]
		s.Targets = append(s.Targets, ClusterTarget{name, cmp.Or(known.From, of.Node), append([]netip.Addr{}, found[name].Addresses...), known.Own})
	}
	return s
}

// ClusterNode is a node of the cluster as this node sees it.
type ClusterNode struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`             // node, or agent: it answers no queries
	Region    string  `json:"region,omitempty"` // empty: not known yet
	Fresh     bool    `json:"fresh"`            // its opinions count
	Disagrees bool    `json:"disagrees,omitempty"`
	Skew      float64 `json:"clock_skew_seconds"` // its clock less that of this node

	Generation uint64 `json:"generation"`       // of the shared configuration; 0: it reads its own files
	Canary     uint64 `json:"canary,omitempty"` // the generation that it serves to a share of the clients; 0: none

	Address     string `json:"address,omitempty"`      // where it can be asked directly while etcd is away; empty: not known
	DirectError string `json:"direct_error,omitempty"` // of the last direct request to it
}

// ClusterCheck is what the vantages find of an address, and what they decide.
type ClusterCheck struct {
	Check    string            `json:"check"`
	Address  netip.Addr        `json:"address"`
	State    string            `json:"state"` // up or down; uncertain: they do not decide
	Since    time.Time         `json:"since,omitzero"`
	Reason   string            `json:"reason,omitempty"`
	Votes    map[string]string `json:"votes"`    // by region; unknown: it does not vote
	Vantages map[string]string `json:"vantages"` // of fresh nodes

	Provisional bool `json:"provisional,omitempty"` // only nodes observe it that are a canary
}

// kindOf returns the kind of a vantage.
func kindOf(agent bool) string {
	if agent {
		return "agent"
	}
	return "node"
}

// UseCluster sets the cluster of this node, before the first configuration serves.
func (c *Control) UseCluster(node *cluster.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(v *view) { v.cluster = node })
}

// clusterSummary returns the summary of the cluster; nil: this node decides alone.
func (c *Control) clusterSummary(at *view) *ClusterSummary {
	if at.cluster == nil {
		return nil
	}
	s := at.cluster.Status()
	return &ClusterSummary{
		s.Cluster, s.Node, etcdText(s.Connected), string(s.Mode), s.Fresh(), len(s.Vantages), s.Agents(), kindOf(at.cluster.Agent), s.NameTaken, s.Unheard,
		c.lastCanary(time.Now()), c.provisionalTargets(at, s.Vantages),
	}
}

// provisionalTargets returns the targets of this node that only canaries probe.
func (c *Control) provisionalTargets(at *view, vantages []cluster.VantageStatus) (all []ProvisionalTarget) {
	serving, _ := c.servedGenerations()
	if serving[at.cluster.Name] <= earliest(serving, vantages) {
		return nil // this node is no canary
	}
	for _, k := range at.cluster.Checks() {
		if len(all) < maxProvisional && isProvisional(k.Vantages, serving, vantages) {
			all = append(all, ProvisionalTarget{k.Check.Name, k.Addr.String(), agreedState(&k), k.Since, k.Agreement.Reason})
		}
	}
	return all
}

// earliest returns the earliest generation that fresh vantages serve; 0: none serves one.
func earliest(serving map[string]uint64, vantages []cluster.VantageStatus) (generation uint64) {
	for i := range vantages {
		if g := serving[vantages[i].Name]; vantages[i].Fresh && g > 0 && (generation == 0 || g < generation) {
			generation = g
		}
	}
	return generation
}

// isProvisional reports whether only canaries observe a target: it has observers, and each of them serves a later generation
// than a fresh vantage that does not observe it.
func isProvisional(observers map[string]health.Verdict, serving map[string]uint64, vantages []cluster.VantageStatus) bool {
	before := earliest(serving, vantages)
	for name := range observers {
		if serving[name] <= before {
			return false
		}
	}
	return before > 0 && len(observers) > 0
}

// agreedState returns the decision of the vantages about a target.
func agreedState(k *cluster.CheckStatus) string {
	if k.Agreement.Verdict == health.Unknown {
		return health.Uncertain.String()
	}
	return k.Agreement.Verdict.String()
}

// Agent reports whether the process is an agent of a cluster: it probes and answers no queries.
func (c *Control) Agent() bool {
	node := c.currentView().cluster
	return node != nil && node.Agent
}

// NameTaken reports whether another process publishes under the name of this node in its cluster.
func (c *Control) NameTaken() bool {
	node := c.currentView().cluster
	return node != nil && node.NameIsTaken()
}

func etcdText(connected bool) string {
	if connected {
		return "ok"
	}
	return "unreachable"
}

// ClusterStatus returns what this node knows of its cluster.
func (c *Control) ClusterStatus() (*ClusterStatus, error) {
	at := c.currentView()
	if at.cluster == nil {
		return nil, &RequestError{NotFound: true, What: "this node is not in a cluster", Hint: "cluster in the configuration makes it join one"}
	}
	of := at.cluster.Status()
	s := &ClusterStatus{
		Cluster: of.Cluster, Node: of.Node, Etcd: etcdText(of.Connected), Mode: string(of.Mode), Generation: c.GenerationNumber(), Disagreements: of.Disagreements,
		Rejected: make(map[string]uint64, len(of.Rejected)), Nodes: []ClusterNode{}, Checks: []ClusterCheck{},
		OverridesError: c.sharingProblem(), NameTaken: of.NameTaken, Unheard: of.Unheard, Inputs: c.clusterInputs(at), Canary: c.lastCanary(time.Now()),
	}
	for reason, n := range of.Rejected {
		s.Rejected[string(reason)] = n
	}
	serving, canaries := c.servedGenerations()
	for _, v := range of.Vantages {
		node := ClusterNode{
			Name: v.Name, Kind: kindOf(v.Agent), Region: v.Region, Fresh: v.Fresh, Disagrees: v.Disagrees, Skew: v.Skew.Seconds(), Generation: serving[v.Name], Canary: canaries[v.Name],
		}
		if v.Address.IsValid() {
			node.Address = v.Address.String()
		}
		if v.Err != nil {
			node.DirectError = v.Err.Error()
		}
		s.Nodes = append(s.Nodes, node)
	}
	for _, k := range at.cluster.Checks() {
		s.Checks = append(s.Checks, ClusterCheck{
			k.Check.Name, k.Addr, agreedState(&k), k.Since, k.Agreement.Reason, verdictTexts(k.Agreement.Votes), verdictTexts(k.Vantages),
			isProvisional(k.Vantages, serving, of.Vantages),
		})
	}
	return s, nil
}

// verdictTexts returns verdicts as text.
func verdictTexts(of map[string]health.Verdict) map[string]string {
	texts := make(map[string]string, len(of))
	for name, v := range of {
		texts[name] = v.String()
	}
	return texts
}
