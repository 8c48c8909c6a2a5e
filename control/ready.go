package control

import (
	"fmt"
	"sync/atomic"

	"meridian/health"
)

// Readiness says whether a running server should get queries, and if not, why.
type Readiness struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"` // the reason if not ready; else what is not ready yet
}

// Started reports whether a configuration serves. Until then only Readiness, LastGood and Prober
// may be called.
func (c *Control) Started() bool { return c.startup.done.Load() }

// Readiness reports whether the server answers and is not stopping. The API calls it, also before
// the first round of probes has ended.
func (c *Control) Readiness() Readiness {
	switch {
	case c.stopping.Load():
		return Readiness{Why: "draining: the server is stopping"}
	case !c.Started():
		return Readiness{Why: "starting: " + c.startup.stage()}
	case c.waitsForGeneration():
		return Readiness{Why: "waiting for the first generation of the configuration that the cluster shares"}
	}
	why, ready := c.waitingZones()
	return Readiness{Ready: ready, Why: why}
}

// waitsForGeneration reports whether a node of a cluster with a shared configuration has none yet: it would refuse all queries, or probe nothing.
func (c *Control) waitsForGeneration() bool {
	cfg := c.currentView().Snapshot.Config
	if c.Agent() {
		return cfg.Cluster.Shared && len(cfg.Pools) == 0
	}
	return cfg.Cluster.Shared && len(cfg.Zones) == 0
}

// BeginShutdown makes Readiness report that the server is stopping.
func (c *Control) BeginShutdown() { c.stopping.Store(true) }

// StartResolving records that a start waits for the first lookups of targets.
func (c *Control) StartResolving() { c.startup.resolving.Store(true) }

// StartProbing records that a start waits for the first results of w.
func (c *Control) StartProbing(w *health.Watch) {
	if !c.Started() {
		c.startup.watch.Store(w)
	}
}

// FinishStart records that a configuration serves.
func (c *Control) FinishStart() {
	c.startup.done.Store(true)
	c.startup.watch.Store(nil)
}

// startup is the progress of a start, for readers of the API.
type startup struct {
	done      atomic.Bool
	resolving atomic.Bool                  // the first lookups of targets run
	watch     atomic.Pointer[health.Watch] // of the first health checks; nil: they have not begun
}

// stage returns what the start waits for.
func (s *startup) stage() string {
	if w := s.watch.Load(); w != nil {
		done, all := w.Progress()
		return fmt.Sprintf("first health checks: %d of %d done", done, all)
	}
	if s.resolving.Load() {
		return "first lookups of targets"
	}
	return "loading the configuration"
}
