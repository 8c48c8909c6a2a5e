package cluster

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/cluster/observation"
	"meridian/health"
)

// Status is the cluster as a node sees it.
type Status struct {
	Cluster       string
	Node          string
	Connected     bool              // to the store of the cluster
	Mode          Mode              // how this node shares what it knows
	Answered      uint64            // direct requests of this node
	Failed        uint64            // direct requests of this node
	Refused       map[string]uint64 // direct requests of others, by reason
	Vantages      []VantageStatus   // by name, this node included
	Published     uint64            // publications of this node
	Rejected      map[observation.Rejection]uint64
	Disagreements uint64
	Unheard       bool // etcd has no heartbeat of another vantage
	NameTaken     bool // another process publishes under the name of this node, and this one does not
}

// Fresh returns the number of fresh vantages.
func (s *Status) Fresh() (n int) {
	for _, v := range s.Vantages {
		if v.Fresh {
			n++
		}
	}
	return n
}

// Agents returns the number of vantages that are known to be agents.
func (s *Status) Agents() (n int) {
	for _, v := range s.Vantages {
		if v.Agent {
			n++
		}
	}
	return n
}

// VantageStatus is a vantage as a node sees it.
type VantageStatus struct {
	Name      string
	Region    string        // empty: not known yet
	Agent     bool          // it answers no queries
	Fresh     bool          // its opinions count
	Skew      time.Duration // of its clock, at its last heartbeat
	Disagrees bool          // it has other results for the same probes

	Address netip.AddrPort // where it can be asked directly; the zero value: not known
	Err     error          // of the last direct request to it; nil: there was none, or it has answered
}

// CheckStatus is what the vantages find of a target of this node, and what they decide.
type CheckStatus struct {
	health.Target
	Agreement health.Agreement
	Since     time.Time                 // since when they have decided this, or have not decided; zero: they never have
	Vantages  map[string]health.Verdict // of fresh vantages
}

// Status returns what n knows of the vantages.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{
		Cluster: n.Cluster, Node: n.Name, Connected: n.connected, Mode: n.modeLocked(time.Now()), Answered: n.answered, Failed: n.failed, Published: n.published,
		Rejected: n.book.Rejected(), Disagreements: n.disagreements, NameTaken: n.taken, Unheard: n.unheard,
	}
	if n.Direct != nil && n.Direct.Refused != nil {
		s.Refused = n.Direct.Refused()
	}
	for _, name := range slices.Sorted(maps.Keys(n.Trust)) {
		v := VantageStatus{Name: name, Region: n.Region, Agent: n.Agent, Fresh: n.present}
		if name != n.Name {
			is := n.vantages[name]
			v = VantageStatus{Name: name, Region: is.region, Fresh: is.fresh, Disagrees: is.disagrees}
			if of := n.book.Vantages()[name]; of != nil {
				v.Skew, v.Agent, v.Address = of.Skew, of.Heartbeat.Agent, of.Address
			}
			if p := n.contact.nodes[name]; p != nil {
				v.Err = p.err
			}
		}
		s.Vantages = append(s.Vantages, v)
	}
	return s
}

// Checks returns what n knows of its targets, by check and address.
func (n *Node) Checks() []CheckStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]CheckStatus, 0, len(n.own))
	for id, p := range n.own {
		all = append(all, CheckStatus{p.target, p.decided, p.decidedAt, n.opinionsLocked(id, &p)})
	}
	slices.SortFunc(all, func(a, b CheckStatus) int {
		return cmp.Or(strings.Compare(a.Check.Name, b.Check.Name), a.Addr.Compare(b.Addr))
	})
	return all
}

// Opinions returns the opinions of the fresh vantages of a probe of this node; nil: it has no such probe.
func (n *Node) Opinions(id health.ProbeID) map[string]health.Verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.own[id]
	if !ok {
		return nil
	}
	return n.opinionsLocked(id, &p)
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
