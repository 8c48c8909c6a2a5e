package control

import (
	"cmp"
	"time"

	"meridian/cluster/rollout"
)

// CanaryRunning is the result of a canary that has not ended.
const CanaryRunning = "running"

// CanaryRun describes a canary of the shared configuration, which serves or has ended.
type CanaryRun struct {
	Generation uint64    `json:"generation"`
	Nodes      []string  `json:"nodes,omitempty"`   // that serve it to all clients
	Percent    float64   `json:"percent,omitempty"` // of the clients, on all nodes
	Where      string    `json:"where"`             // both in words
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`             // running: all nodes serve it then at the earliest; else: when it ended
	Result     string    `json:"result"`            // running, promoted, rolled back or canceled
	By         string    `json:"by"`                // the operator that began it, or the operator or node that ended it
	Why        string    `json:"why,omitempty"`     // it began or ended
	Awaited    []string  `json:"awaited,omitempty"` // nodes that do not serve it yet
}

// runOf describes a canary.
func runOf(c *rollout.Canary) CanaryRun {
	return CanaryRun{Generation: c.Generation, Nodes: c.Nodes, Percent: float64(c.Parts) / 100, Where: c.String()}
}

// runningCanary describes the canary of a target; nil: there is none.
func runningCanary(n *rollout.Node, t *rollout.Target) *CanaryRun {
	if t.Canary == nil {
		return nil
	}
	r := runOf(t.Canary)
	r.Since, r.Until, r.Result, r.By, r.Why, r.Awaited = t.Time, t.CanaryEnd(), CanaryRunning, t.Owner, t.Reason, n.Awaited(t)
	return &r
}

// endedRun describes a canary that has ended; nil stays nil.
func endedRun(e *rollout.EndedCanary) *CanaryRun {
	if e == nil {
		return nil
	}
	r := runOf(&e.Canary)
	r.Since, r.Until, r.Result, r.By, r.Why = e.Since, e.Until, e.Result, e.By, e.Why
	return &r
}

// canaryRun describes a generation as a canary; nil: it is none of those that are known.
func canaryRun(n *rollout.Node, t *rollout.Target, generation uint64) *CanaryRun {
	if t.Canary != nil && t.Canary.Generation == generation {
		return runningCanary(n, t)
	}
	for i := range t.Ended {
		if t.Ended[i].Generation == generation {
			return endedRun(&t.Ended[i])
		}
	}
	return nil
}

// recentCanary is how long the status of a cluster shows a canary that has ended.
const recentCanary = 24 * time.Hour

// lastCanary describes the canary that serves, or else the one that has ended last, if that is recent and no later generation
// was pushed; nil: neither.
func (c *Control) lastCanary(now time.Time) *CanaryRun {
	shared := c.SharedConfig()
	if shared == nil {
		return nil
	}
	t := shared.Status().Target
	r := cmp.Or(runningCanary(shared, &t), endedRun(t.LastCanary()))
	if r != nil && r.Result != CanaryRunning && now.Sub(r.Until) > recentCanary {
		return nil
	}
	return r
}
