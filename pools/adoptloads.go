package pools

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"meridian/config"
)

// Nodes of a cluster shed equally if one of them runs the load controllers and the others adopt its reports and the state of
// its controllers. To share the reports alone is not enough: a controller has a memory of the shares of the last TTL, and two
// of them with different memories come together by a factor of load / high mark in each round only.

// Key identifies a load target on all nodes of a cluster by the number and the place that it is read from. The name of the source, its times and files
// do not count.
func (t LoadTarget) Key() string {
	of := *t.Source
	of.Name, of.Interval, of.Timeout, of.Stale, of.TLS, of.Pos = "", 0, 0, 0, config.CheckTLS{}, config.Pos{}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %s", of, t.Addr))
	return hex.EncodeToString(sum[:12])
}

// LoadFingerprint identifies the configuration of the load controllers. Two trees with the same one can use the state of each other.
func (t *Tree) LoadFingerprint() string {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.loadFingerprint != "" || len(t.loadTargets) == 0 {
		return t.loadFingerprint
	}
	h := sha256.New()
	for _, target := range t.loadTargets {
		fmt.Fprintln(h, target.Key())
	}
	for i := range t.shedding {
		u := &t.shedding[i]
		p := &t.cfg.Pools[u.pool]
		fmt.Fprintf(h, "%q %q %q %v %v %v %v %v\n", p.Name, u.region, u.member, len(u.members), u.ttl, u.rounds.interval, p.Shed, p.Bound)
	}
	t.eachMember(func(u memberRef, _ *member) {
		if of, ok := t.memberLoads[t.pools[u.pool].first+u.member]; ok {
			p := &t.cfg.Pools[u.pool]
			fmt.Fprintf(h, "%q %q %v\n", p.Name, p.Members[u.member].Name, of)
		}
	})
	for i := range t.cfg.Regions {
		if of, ok := t.regionLoads[t.cfg.Regions[i].Name]; ok {
			fmt.Fprintf(h, "%q %v\n", t.cfg.Regions[i].Name, of)
		}
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		p := &t.cfg.Pools[b.pool]
		fmt.Fprintf(h, "%q %v %v\n", p.Name, b.ttl, b.rounds.interval)
		for j := range p.Members {
			fmt.Fprintf(h, "%q %v\n", p.Members[j].Name, p.Members[j].Weight)
		}
	}
	t.loadFingerprint = hex.EncodeToString(h.Sum(nil)[:12])
	return t.loadFingerprint
}

// AdoptLoads sets the reports of all load targets, in their order, and the state of the controllers to that of another node,
// which has acted on these reports. So both nodes answer equally. The times of both are by one clock, that of this node. It
// reports whether the shedding of a member or region changed.
func (t *Tree) AdoptLoads(loads []Load, saved LoadMemory) (changed bool) {
	if len(loads) != len(t.loadTargets) {
		panic("pools: as many loads as there are load targets")
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &t.next
	d.begin(t.state.Load())
	d.copyOnWrite()
	d.loads = append([]Load(nil), loads...)
	latest := d.latestReport()
	m := saved.byName(later(latest, saved.latest()))
	t.resetControllers()
	t.setLoadMemory(&m)
	t.reportClock = later(latest, m.clock)
	for i := range t.balancers {
		d.readReports(&t.balancers[i])
		d.setRooms(&t.balancers[i])
	}
	changed = d.applyKept()
	d.propagate(byVerdict)
	t.publishLocked()
	return changed
}

// resetControllers sets the load controllers to the state without any report.
func (t *Tree) resetControllers() {
	for i := range t.shedding {
		u := &t.shedding[i]
		u.shedState = newShedState(u.rounds.interval)
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		b.rounds.stepped, b.solves, b.heldUntil = time.Time{}, false, time.Time{}
		clear(b.members)
	}
	t.heldUntil = time.Time{}
}

// latest returns the latest time in saved.
func (saved *LoadMemory) latest() (at time.Time) {
	for i := range saved.Shedding {
		at = later(at, later(saved.Shedding[i].At, saved.Shedding[i].Since))
	}
	for i := range saved.Balanced {
		at = later(at, later(saved.Balanced[i].At, saved.Balanced[i].Since))
	}
	return at
}

// MapTimes returns saved with the result of f in place of each time.
func (saved LoadMemory) MapTimes(f func(time.Time) time.Time) LoadMemory {
	next := LoadMemory{Shedding: make([]ShedMemory, len(saved.Shedding)), Balanced: make([]BalanceMemory, len(saved.Balanced))}
	for i, s := range saved.Shedding {
		s.At, s.Since = f(s.At), f(s.Since)
		next.Shedding[i] = s
	}
	for i, s := range saved.Balanced {
		s.At, s.Since = f(s.At), f(s.Since)
		next.Balanced[i] = s
	}
	return next
}
