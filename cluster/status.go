package cluster

import (
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/cluster/observation"
	"meridian/health"
)

// Status is what a node knows of its cluster.
type Status struct {
	Cluster       string
	Node          string
	Connected     bool            // to the store of the cluster
	Vantages      []VantageStatus // by name, this node included
	Checks        []CheckStatus   // by check and address
	Published     uint64          // publications of this node
	Rejected      map[observation.Rejection]uint64
	Disagreements uint64
}

// VantageStatus is what a node knows of a vantage.
type VantageStatus struct {
	Name      string
	Region    string        // empty: not known yet
	Fresh     bool          // its opinions count
	Skew      time.Duration // of its clock, at its last heartbeat
	Disagrees bool          // it has other results for the same probes
}

// CheckStatus is what the vantages find of a target of this node, and what they decide.
type CheckStatus struct {
	health.Target
	Agreement health.Agreement
	Since     time.Time                 // when this node's opinion began
	Vantages  map[string]health.Verdict // of fresh vantages
}

// Status returns what n knows now.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{
		Cluster: n.Cluster, Node: n.Name, Connected: n.connected, Published: n.published,
		Rejected: n.book.Rejected(), Disagreements: n.disagreements,
	}
	for _, name := range slices.Sorted(maps.Keys(n.Trust)) {
		v := VantageStatus{Name: name, Region: n.Region, Fresh: n.present}
		if name != n.Name {
			is := n.vantages[name]
			v = VantageStatus{Name: name, Region: is.region, Fresh: is.fresh, Disagrees: is.disagrees}
			if of := n.book.Vantages()[name]; of != nil {
				v.Skew = of.Skew
			}
		}
		s.Vantages = append(s.Vantages, v)
	}
	for id, p := range n.own {
		s.Checks = append(s.Checks, CheckStatus{p.target, p.decided, time.Unix(int64(p.entry.Since), 0), n.opinionsLocked(id, &p)})
	}
	slices.SortFunc(s.Checks, func(a, b CheckStatus) int {
		if c := strings.Compare(a.Check.Name, b.Check.Name); c != 0 {
			return c
		}
		return a.Addr.Compare(b.Addr)
	})
	return s
}

// opinionsLocked returns the opinions of the fresh vantages of a probe.
func (n *Node) opinionsLocked(id health.ProbeID, p *probeState) map[string]health.Verdict {
	all := map[string]health.Verdict{n.Name: p.entry.Verdict}
	for name, v := range n.vantages {
		if e, ok := n.book.Vantages()[name].Entry(id); ok && v.fresh {
			all[name] = e.Verdict
		}
	}
	return all
}
