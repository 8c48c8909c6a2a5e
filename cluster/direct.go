package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"meridian/cluster/observation"
)

// While the transport is away, a node asks each other node directly, once in a heartbeat. It sends what it has published and
// the other one lacks, and what it knows; the answer has what it lacks, of all vantages. So two nodes that cannot reach each
// other hear of each other through a third one, and an agent counts if it reaches one node.
//
//	the transport    an exchange within the time of freshness    mode
//	---------------  ------------------------------------------  --------
//	is connected     -                                           ViaStore
//	is away          yes                                         ViaNodes
//	is away          no                                          Alone
//
// Each message is signed by its vantage and verified as one of the transport is. A message that is passed on carries its age, so
// that a vantage which has died is lost to all nodes at the same time.

// Direct carries exchanges between vantages.
type Direct struct {
	// Exchange sends a request to the node of this name at an address, and returns its answer.
	Exchange func(ctx context.Context, name string, at netip.AddrPort, request *observation.Exchange) (observation.Exchange, error)
	// Address returns where other vantages can ask this node; the zero value: nowhere.
	Address func() netip.AddrPort
	// Learned is called when other nodes have another address, which the next process of this node needs. It does not block.
	Learned func()
	// Refused returns how many requests of other vantages were refused, by reason. nil: none can be.
	Refused func() map[string]uint64
}

// Mode is the way by which a node shares what it knows.
type Mode string

// The modes.
const (
	ViaStore Mode = "etcd"
	ViaNodes Mode = "direct"
	Alone    Mode = "alone"
)

// Modes lists the modes.
func Modes() []Mode { return []Mode{ViaStore, ViaNodes, Alone} }

// contact describes the exchanges of a node since the transport is away.
type contact struct {
	at    time.Time        // of the last exchange; zero: none
	nodes map[string]*peer // that were asked
	made  bool             // ViaNodes was reported
}

// peer is a node that is asked.
type peer struct {
	asking bool
	known  []observation.Known // by it, at the last exchange
	err    error               // of the last request
}

// ask is a request to a node.
type ask struct {
	name    string
	at      netip.AddrPort
	request *observation.Exchange
}

// Mode returns the way by which n shares what it knows.
func (n *Node) Mode() Mode {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.modeLocked(time.Now())
}

func (n *Node) modeLocked(now time.Time) Mode {
	switch {
	case n.connected:
		return ViaStore
	case n.Direct != nil && !n.contact.at.IsZero() && now.Sub(n.contact.at) <= n.freshFor():
		return ViaNodes
	}
	return Alone
}

// sharesLocked reports whether what n publishes can reach other vantages, and n knows what they know. A process that has published
// before need not wait for an answer.
func (n *Node) sharesLocked(now time.Time) bool {
	return n.modeLocked(now) != Alone || n.asksDirectlyLocked() && n.published > 0
}

// asksDirectlyLocked reports whether n asks other nodes.
func (n *Node) asksDirectlyLocked() bool { return n.Direct != nil && n.reached && !n.connected }

// dueDirect returns the requests that are due at now. They have what this node publishes in this heartbeat.
func (n *Node) dueDirect(now time.Time) []ask {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.asksDirectlyLocked() || now.Before(n.heartbeatAt) {
		return nil
	}
	n.heartbeatAt = now.Add(n.Heartbeat)
	n.reportContactLocked(now)
	if !n.silentLocked(now) {
		n.applyOwnLocked(n.takeLocked(now), now)
		n.published++
	}
	return n.asksLocked(now)
}

// applyOwnLocked puts what this node publishes into its book, from which requests and answers are made.
func (n *Node) applyOwnLocked(records []observation.Record, now time.Time) {
	for _, r := range records {
		changed, err := n.book.ReceivePassed(observation.Passed{Raw: r.Value}, now)
		n.noteReceivedLocked(changed, err, now)
	}
}

// asksLocked returns a request to each node with a known address that has none under way.
func (n *Node) asksLocked(now time.Time) (all []ask) {
	known := n.book.Known()
	for name, v := range n.book.Vantages() {
		if name == n.Name || !v.Address.IsValid() {
			continue
		}
		p := n.peerLocked(name)
		if p.asking {
			continue
		}
		p.asking = true
		all = append(all, ask{name, v.Address, &observation.Exchange{Known: known, Messages: n.book.Missing(p.known, n.Name, now)}})
	}
	return all
}

// peerLocked returns what is known of the exchanges with a node.
func (n *Node) peerLocked(name string) *peer {
	if n.contact.nodes == nil {
		n.contact.nodes = make(map[string]*peer)
	}
	p := n.contact.nodes[name]
	if p == nil {
		p = new(peer)
		n.contact.nodes[name] = p
	}
	return p
}

// askAll sends requests and waits for the answers.
func (n *Node) askAll(ctx context.Context, all []ask) {
	var running sync.WaitGroup
	for _, a := range all {
		running.Go(func() { n.ask(ctx, a) })
	}
	running.Wait()
}

// leastAskTimeout is the least time limit of a request: a new connection to another continent takes three round trips.
const leastAskTimeout = 2 * time.Second

// ask sends a request, and applies the answer.
func (n *Node) ask(ctx context.Context, a ask) {
	ctx, cancel := context.WithTimeout(ctx, max(n.Heartbeat, leastAskTimeout))
	defer cancel()
	answer, err := n.Direct.Exchange(ctx, a.name, a.at, a.request)
	now := time.Now()
	defer n.signal()
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peerLocked(a.name)
	p.asking, p.err = false, err
	if err != nil {
		n.failed++
		p.known = nil // it may have started again
		return
	}
	n.answered++
	p.known = answer.Known
	n.applyLocked(answer.Messages, now)
}

// Answer applies a request of another vantage, and returns the answer.
func (n *Node) Answer(request *observation.Exchange) observation.Exchange {
	defer n.signal()
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.applyLocked(request.Messages, now)
	return observation.Exchange{Known: n.book.Known(), Messages: n.book.Missing(request.Known, "", now)}
}

// applyLocked applies messages of an exchange.
func (n *Node) applyLocked(messages []observation.Passed, now time.Time) {
	for _, m := range messages {
		changed, err := n.book.ReceivePassed(m, now)
		n.noteReceivedLocked(changed, err, now)
	}
	n.noteAddressesLocked()
	if n.asksDirectlyLocked() {
		n.contact.at = now
		n.reportContactLocked(now)
	}
}

// noteAddressesLocked has the addresses of other nodes saved if they have changed.
func (n *Node) noteAddressesLocked() {
	if changes := n.book.AddressChanges(); changes != n.addressChanges {
		n.addressChanges = changes
		if n.Direct != nil {
			n.Direct.Learned()
		}
	}
}

// reportLostLocked reports that the transport is away.
func (n *Node) reportLostLocked() {
	known := 0
	for name, v := range n.book.Vantages() {
		if name != n.Name && v.Address.IsValid() {
			known++
		}
	}
	message := "etcd cannot be reached: the other nodes are asked directly"
	switch {
	case n.Direct == nil:
		message = "the cluster cannot be reached: without a majority of the regions, health states hold"
	case known == 0:
		message = "etcd cannot be reached, and no address of another node is known to ask it directly: without a majority of the regions, health states hold"
	}
	n.Report(slog.LevelError, n.Cluster, message)
}

// reportContactLocked reports that other nodes can be reached directly, and the end of that.
func (n *Node) reportContactLocked(now time.Time) {
	made := n.modeLocked(now) == ViaNodes
	switch {
	case made && !n.contact.made:
		n.connectedAt = now
		n.Report(slog.LevelWarn, n.Cluster, "mode direct: without etcd, health states are agreed with the nodes that can be reached")
	case !made && n.contact.made:
		n.Report(slog.LevelError, n.Cluster, "mode alone: no other node can be reached, and without a majority of the regions health states hold"+n.whyAloneLocked())
	}
	n.contact.made = made
}

// whyAloneLocked returns the error of a request to a node; empty: there is none.
func (n *Node) whyAloneLocked() string {
	for name, p := range n.contact.nodes {
		if p.err != nil {
			return fmt.Sprintf(": %s: %v", name, p.err)
		}
	}
	return ""
}

// Remember returns what the next process of this node needs to ask the other nodes when it starts without the transport.
func (n *Node) Remember() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.book.Remember(n.Name)
}

// Restore applies what Remember of the previous process returned. It is called before Run.
func (n *Node) Restore(all [][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.book.Restore(all, time.Now())
}
