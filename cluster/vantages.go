package cluster

import (
	"fmt"
	"log/slog"
	"time"

	"meridian/cluster/observation"
)

// maxSkew is the difference of clocks from which on it is reported. No decision depends on it.
const maxSkew = 2 * time.Second

// vantageState is what a node makes of another vantage.
type vantageState struct {
	region        string
	fresh         bool
	skewed        bool      // its clock differs by more than maxSkew
	disagreeSince time.Time // since when it has other results for the same probes; zero: it does not
	disagrees     bool      // for long enough to be reported
}

// freshFor is how long a vantage is fresh after a heartbeat.
func (n *Node) freshFor() time.Duration { return time.Duration(n.Stale) * n.Heartbeat }

// isFresh reports whether v is fresh at now.
func (n *Node) isFresh(v *observation.Vantage, now time.Time) bool {
	return !v.ArrivedAt.IsZero() && v.Complete && now.Sub(v.ArrivedAt) <= n.freshFor()
}

// isPresentLocked reports whether other nodes that are connected count this one: its own heartbeats return through the
// watch. A node that is not connected, or does not publish yet, counts itself.
func (n *Node) isPresentLocked(now time.Time) bool {
	if !n.connected || !n.begun || now.Sub(n.reachableAt) <= n.freshFor() {
		return true
	}
	v := n.book.Vantages()[n.Name]
	return v != nil && v.Boot == n.outbox.Boot() && n.isFresh(v, now)
}

// updateVantagesLocked updates the vantages, and reports whether that can change a decision.
func (n *Node) updateVantagesLocked(now time.Time) (changed bool) {
	was := n.taken
	n.checkOwnNameLocked(now)
	present := n.isPresentLocked(now)
	changed = present != n.present || n.taken != was
	n.present = present
	for name, v := range n.book.Vantages() {
		if name == n.Name || v.Seq == 0 { // without a heartbeat its region is not known
			continue
		}
		was, known := n.vantages[name]
		is := was
		is.region, is.fresh = v.Region, n.isFresh(v, now)
		is.skewed = is.fresh && v.Skew.Abs() > maxSkew
		is.disagreeSince, is.disagrees = n.disagreementLocked(v, was, is.fresh, now)
		n.vantages[name] = is
		changed = changed || !known || is.region != was.region || is.fresh != was.fresh
		n.reportVantage(name, v, was, is)
	}
	n.checkUnheardLocked(now)
	return changed
}

// Unheard says why a node that reaches etcd may hear of no other one.
const Unheard = "etcd is reached, and has no heartbeat of another vantage of cluster.trust: the others do not run or do not reach it, or cluster.name, cluster.etcd.endpoints or cluster.etcd.prefix is not the same on all"

// checkUnheardLocked finds out whether no other vantage has been heard since the store was connected, and reports that.
func (n *Node) checkUnheardLocked(now time.Time) {
	was := n.unheard
	n.unheard = n.connected && len(n.Trust) > 1 && now.Sub(n.connectedAt) > 2*n.freshFor()
	for name, v := range n.book.Vantages() {
		n.unheard = n.unheard && (name == n.Name || v.ArrivedAt.Before(n.connectedAt))
	}
	if n.unheard && !was {
		n.Report(slog.LevelWarn, n.Cluster, Unheard)
	}
}

// disagreementLocked returns since when v has other results than this node for the same probes, and whether that is longer
// than the time in which both hear of the same votes.
func (n *Node) disagreementLocked(v *observation.Vantage, was vantageState, fresh bool, now time.Time) (since time.Time, reported bool) {
	own := n.digestsLocked()
	switch {
	case !fresh || v.Heartbeat.Probes != own.probes || v.Heartbeat.Agreed == own.agreed:
		return time.Time{}, false
	case was.disagreeSince.IsZero():
		return now, false
	}
	return was.disagreeSince, now.Sub(was.disagreeSince) > n.freshFor()
}

// reportVantage reports what has changed of a vantage.
func (n *Node) reportVantage(name string, v *observation.Vantage, was, is vantageState) {
	switch {
	case is.fresh && !was.fresh:
		n.Report(slog.LevelInfo, name, fmt.Sprintf("vantage is fresh, in region %s", is.region))
	case was.fresh && !is.fresh:
		n.Report(slog.LevelWarn, name, n.whyNotFresh(v))
	}
	if is.skewed && !was.skewed {
		n.Report(slog.LevelWarn, name, fmt.Sprintf("the clock differs by %v; correct the clock of one of the two nodes", v.Skew.Round(time.Millisecond)))
	}
	if is.disagrees && !was.disagrees {
		n.disagreements++
		n.Report(slog.LevelError, name, "it has other results for the same probes; compare the status of the two nodes")
	}
}

// whyNotFresh returns why a vantage does not count any more.
func (n *Node) whyNotFresh(v *observation.Vantage) string {
	switch {
	case !v.Complete:
		return "vantage is incomplete: some of its observations are missing"
	case v.Ended():
		return fmt.Sprintf("vantage is lost: it was stopped more than %v ago", n.freshFor())
	}
	return fmt.Sprintf("vantage is lost: no heartbeat for %v", n.freshFor())
}

// missingLocked returns why this node does not know enough vantages to decide; empty: it does. A node that starts alone
// must not take itself for the cluster.
func (n *Node) missingLocked() string {
	known := 1 // this node
	for name := range n.Trust {
		if _, ok := n.vantages[name]; ok {
			known++
		}
	}
	if 2*known > len(n.Trust) {
		return ""
	}
	return fmt.Sprintf("%d of %d trusted vantages are known", known, len(n.Trust))
}

// nextEvent returns when the node has to act, if nothing happens before.
func (n *Node) nextEvent(now time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.heartbeatAt
	if n.asksDirectlyLocked() {
		// the next requests
	} else if n.publishing || !n.connected || !n.begun {
		next = now.Add(n.freshFor()) // the end of the publication, the connection or Begin wakes the node
	} else if free := n.nameFreeAtLocked(); free.After(now) {
		next = free
	} else if at := n.publishedAt.Add(publishInterval); n.outbox.Dirty() && at.Before(next) {
		next = at
	}
	for name, v := range n.vantages {
		if at := n.book.Vantages()[name].ArrivedAt.Add(n.freshFor() + time.Millisecond); v.fresh && at.Before(next) {
			next = at
		}
	}
	return next
}
