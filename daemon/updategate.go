package daemon

import (
	"sync"
	"time"

	"meridian/dnsname"
)

// updateGate lets changes of single zones pass together, one for each zone, and a change of all zones alone. A zone whose disk is
// slow delays the change of all zones, but neither of them delays updates of other zones for long:
//
//	change of all zones   updates of single zones
//	none waits            pass
//	begins to wait        pass; it waits until those that are inside have left
//	closes the gate       wait, until it is done or has waited for its patience, which doubles each time
//	holds the gate        wait
type updateGate struct {
	one sync.Mutex // held by the change of all zones, also while it waits

	mu     sync.Mutex
	inside map[dnsname.Name]chan struct{} // by zone: closed when the change leaves; guarded by mu
	opened chan struct{}                  // closed when the gate opens; nil: it is open; guarded by mu
}

// The patience of a change of all zones: writes to a disk usually take less than the first one.
const (
	firstPatience = 100 * time.Millisecond
	lastPatience  = 10 * time.Second
)

// enter waits until the change of a zone may begin.
func (g *updateGate) enter(zone dnsname.Name) {
	for {
		wait := g.tryEnter(zone)
		if wait == nil {
			return
		}
		<-wait
	}
}

// tryEnter begins the change of a zone, or returns what is closed when it may be possible.
func (g *updateGate) tryEnter(zone dnsname.Name) (wait <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		return g.opened
	}
	if left := g.inside[zone]; left != nil {
		return left
	}
	if g.inside == nil {
		g.inside = map[dnsname.Name]chan struct{}{}
	}
	g.inside[zone] = make(chan struct{})
	return nil
}

// leave ends the change of a zone.
func (g *updateGate) leave(zone dnsname.Name) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.inside[zone])
	delete(g.inside, zone)
}

// lock waits until no zone changes, and keeps all changes out until unlock.
func (g *updateGate) lock() {
	g.one.Lock()
	for patience := firstPatience; ; patience = min(2*patience, lastPatience) {
		for _, left := range g.changes() {
			<-left
		}
		g.close()
		if g.drained(patience) {
			return
		}
		g.open()
	}
}

func (g *updateGate) unlock() {
	g.open()
	g.one.Unlock()
}

// changes returns a channel for each change of a zone, which is closed when it leaves.
func (g *updateGate) changes() (all []<-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, left := range g.inside {
		all = append(all, left)
	}
	return all
}

func (g *updateGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *updateGate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
	g.opened = nil
}

// drained waits until no change is inside the closed gate. It returns false if that takes longer than its patience.
func (g *updateGate) drained(patience time.Duration) bool {
	over := time.NewTimer(patience)
	defer over.Stop()
	for _, left := range g.changes() {
		select {
		case <-left:
		case <-over.C:
			return false
		}
	}
	return true
}
