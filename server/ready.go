package server

// Readiness is whether a running server should get queries, and why not.
type Readiness struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"` // why not
}

// Readiness says whether the server answers from a configuration and goes on to. It is asked by the
// API, which opens after the first round of probes.
func (c *Control) Readiness() Readiness {
	switch {
	case c.instance.draining.Load():
		return Readiness{Why: "draining: the server is stopping"}
	case c.currentView().snapshot == nil:
		return Readiness{Why: "starting: no configuration serves yet"}
	}
	return Readiness{Ready: true}
}
