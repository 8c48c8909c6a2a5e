package cluster

import "time"

// Peers holds the state of the other nodes of a cluster at a moment.
type Peers struct {
	Connected bool              // to the store of the cluster
	Settled   bool              // it publishes, and has been connected for long enough to have heard each fresh node
	Boot      uint64            // of this process
	Fresh     map[string]uint64 // the boots of the other nodes that are fresh, without agents; with a process that has this node's name
}

// Peers returns the state of the other nodes now.
func (n *Node) Peers() Peers {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	p := Peers{Connected: n.connected, Boot: n.outbox.Boot(), Fresh: make(map[string]uint64)}
	p.Settled = n.connected && !n.silentLocked(now) && now.Sub(n.reachableAt) > n.freshFor()
	for name, v := range n.book.Vantages() {
		if v.Seq != 0 && v.Boot != p.Boot && !v.Heartbeat.Agent && n.isFresh(v, now) && !v.Ended() {
			p.Fresh[name] = v.Boot
		}
	}
	return p
}
