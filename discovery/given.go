package discovery

import (
	"net/netip"
	"slices"

	"meridian/config"
)

// Given holds the addresses of a target that another node has found.
type Given struct {
	Addresses []netip.Addr
	From      string // the name of that node
}

// Result is the result of the lookups of a target.
type Result struct {
	Addresses []netip.Addr // in use, also those that another node has given
	Found     bool         // a lookup has found addresses
	Failing   bool         // the last one failed

	SubnetIgnored bool // the last response did not use the client subnet of the target
}

// Use makes targets have the addresses that other nodes give, in place of those of their own lookups. A target that is given no
// more keeps the last addresses, and its next lookups change them as they change those of earlier lookups.
func (t *Watcher) Use(given map[config.Target]Given) {
	for _, report := range t.use(given) {
		report()
	}
}

func (t *Watcher) use(given map[config.Target]Given) (reports []func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given = given
	for _, g := range t.targets {
		if from, ok := given[g.target]; ok {
			reports = append(reports, g.followLocked(from))
		} else {
			g.from = ""
		}
	}
	return reports
}

// Results returns the results of the lookups of all watched targets.
func (t *Watcher) Results() map[config.Target]Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[config.Target]Result, len(t.targets))
	for id, g := range t.targets {
		all[id.target] = Result{g.known.list(), g.found, g.failing.failures > 0, g.subnetIgnored}
	}
	return all
}

// Lookups delivers after each lookup.
func (t *Watcher) Lookups() <-chan struct{} { return t.lookups }

// followLocked makes g have the addresses that another node gives, and returns a function that reports the change.
func (g *host) followLocked(given Given) (report func()) {
	g.from = given.From
	next := restore(given.Addresses)
	before, now := g.known.list(), next.list()
	g.known = next
	return g.changedLocked(before, now)
}

// otherLocked returns the addresses of the last lookup of g, if another node gives other addresses.
func (g *host) otherLocked() []netip.Addr {
	if g.from == "" || len(g.last) == 0 {
		return nil
	}
	used := g.known.list()
	if !slices.ContainsFunc(g.last, func(a netip.Addr) bool { return !slices.Contains(used, a) }) {
		return nil
	}
	return slices.Clone(g.last)
}
