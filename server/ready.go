package server

// Readiness says whether a running server should get queries, and if not, why.
type Readiness struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"` // the reason if not ready
}

// Readiness reports whether the server answers and is not stopping. The API calls it; it opens
// after the first round of probes.
func (c *Control) Readiness() Readiness {
	switch {
	case c.instance.draining.Load():
		return Readiness{Why: "draining: the server is stopping"}
	case c.currentView().snapshot == nil:
		return Readiness{Why: "starting: no configuration serves yet"}
	}
	return Readiness{Ready: true}
}
