package cluster

import (
	"log/slog"
	"time"

	"meridian/cluster/observation"
	"meridian/health"
)

// UsePrevious sets the boot of the previous process of this node, which should have ended: its heartbeat keeps the name for a
// shorter time. It is called before Run.
func (n *Node) UsePrevious(boot uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.previous = boot
}

// Boot returns the boot of this process, for UsePrevious of the next one.
func (n *Node) Boot() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.outbox.Boot()
}

// NameIsTaken reports whether another process publishes under the name of this node, and this one does not.
func (n *Node) NameIsTaken() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken
}

// otherLocked returns what another process has published under the name of this node last; nil: nothing, or this process did.
func (n *Node) otherLocked() *observation.Vantage {
	if v := n.book.Vantages()[n.Name]; v != nil && v.Seq != 0 && v.Boot != n.outbox.Boot() {
		return v
	}
	return nil
}

// nameFreeAtLocked returns when this process may publish under its name; zero: it may now. The last heartbeat of another
// process decides:
//
//	the heartbeat                                          the name is free
//	-----------------------------------------------------  -----------------------------------------
//	is the last of a process that has ended                now
//	is of a process that this one has taken over from      now
//	came before this process, of its previous one          if none arrives in half of that time and half a heartbeat
//	was stored: it may be of a running process             if none arrives in the time of freshness
//	has arrived                                            if no further one arrives in that time
//
// A process that has lost its name to a later one, while it was cut off, waits in the same way. So does for a shorter time one
// with the saved state of the previous process: the state may be a copy, and that process run on another machine. A running
// one sends a heartbeat by then.
func (n *Node) nameFreeAtLocked() time.Time {
	v := n.otherLocked()
	switch {
	case v == nil, v.Ended(), v.Boot == n.gone:
		return time.Time{}
	case v.Boot == n.previous && !v.ArrivedAt.After(n.startedAt):
		return n.connectedAt.Add((n.freshFor() + n.Heartbeat) / 2)
	case v.ArrivedAt.After(n.connectedAt):
		return v.ArrivedAt.Add(n.freshFor())
	}
	return n.connectedAt.Add(n.freshFor())
}

// namesakeLocked returns the opinion of the process that has the name of this node, which the other nodes count in its place.
func (n *Node) namesakeLocked(id health.ProbeID) (observation.Entry, bool) {
	if !n.taken || n.modeLocked(time.Now()) == Alone { // not known then: this process is all that this node knows
		return observation.Entry{}, false
	}
	return n.book.Vantages()[n.Name].Entry(id)
}

// checkOwnNameLocked reports that another process publishes under the name of this node, and the end of that.
func (n *Node) checkOwnNameLocked(now time.Time) {
	if n.passed || n.modeLocked(now) == Alone {
		return
	}
	v, was := n.otherLocked(), n.taken
	n.taken = v != nil && now.Sub(v.ArrivedAt) <= n.freshFor() && now.Before(n.nameFreeAtLocked())
	switch {
	case n.taken && !was:
		n.Report(slog.LevelError, n.Name, "another process publishes under the name of this node, and this one publishes nothing until that ends; give each node its own name and identity")
		if n.NameTaken != nil {
			n.NameTaken()
		}
	case !n.taken && was:
		n.Report(slog.LevelInfo, n.Name, "no other process publishes under the name of this node any more")
	}
}
