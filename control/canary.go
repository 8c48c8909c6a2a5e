package control

import (
	"fmt"
	"time"

	"meridian/pools"
	"meridian/server/answer"
)

// CanaryRequest is a generation that is to decide for a share of the clients; generation 0 ends that.
type CanaryRequest struct {
	Generation uint64
	Hash       string
	Parts      uint32 // of pools.WholeShare
}

// Seed returns what selects the clients: the same on all nodes, and other ones for each generation.
func (r *CanaryRequest) Seed() string { return fmt.Sprint(r.Generation, " ", r.Hash) }

// Canary is a generation that decides for a share of the clients beside the one that serves.
type Canary struct {
	Generation
	Of    *answer.Canary
	Since time.Time
}

// UseCanary makes Control show a canary; nil: there is none. The server already answers from it, or no more.
func (c *Control) UseCanary(k *Canary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updateLocked(func(m *view) { m.canary = k })
}

// CanaryStatus describes the canary of a node.
type CanaryStatus struct {
	Generation  uint64              `json:"generation"`
	Percent     float64             `json:"percent"` // of the clients
	Since       time.Time           `json:"since"`
	Answers     uint64              `json:"answers"`     // since the process started, of all its canaries
	Failures    uint64              `json:"failures"`    // of these: SERVFAIL
	Modes       []CanaryMode        `json:"modes"`       // of its pools, other than normal
	Provisional []ProvisionalTarget `json:"provisional"` // what only its checks probe
}

// CanaryMode is a pool of a canary that answers from something else than its eligible members.
type CanaryMode struct {
	Pool   string `json:"pool"`
	Family string `json:"family"`
	Mode   string `json:"mode"`
}

// ProvisionalTarget is an address that only the checks of a canary probe: a new one, or one with another check.
type ProvisionalTarget struct {
	Check   string    `json:"check"`
	Address string    `json:"address"`
	State   string    `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// maxProvisional bounds the addresses in a status.
const maxProvisional = 1000

// canaryStatus describes the canary; nil: there is none.
func (c *Control) canaryStatus(at *view) *CanaryStatus {
	k := at.canary
	if k == nil {
		return nil
	}
	n := c.server.Counters()
	s := &CanaryStatus{
		Generation: k.Of.Generation, Percent: k.Of.Percent(), Since: k.Since, Answers: n.Canary, Failures: n.CanaryFailed,
		Modes: []CanaryMode{}, Provisional: []ProvisionalTarget{},
	}
	for _, m := range k.Snapshot.Pools.Modes() {
		if m.To != pools.Normal {
			s.Modes = append(s.Modes, CanaryMode{m.Pool, m.Family.String(), m.To.String()})
		}
	}
	own := k.Watch.Own(at.Watch)
	own = own[:min(len(own), maxProvisional)]
	targets := k.Snapshot.Pools.Targets()
	for i, known := range k.Watch.Statuses(own) {
		t := targets[own[i]]
		s.Provisional = append(s.Provisional, ProvisionalTarget{t.Check.Name, t.Addr.String(), known.Verdict.String(), known.Since, known.Cause.Reason})
	}
	return s
}

// explainedBy returns the view of the generation that has answered an explained question. The caller must release it.
func (at *view) explainedBy(canary *answer.ExplainedCanary) *view {
	if canary == nil || !canary.Answers || !at.canary.Acquire() {
		at.Acquire() // never fails: the caller is a user of it
		return at
	}
	by := *at
	by.Generation = at.canary.Generation
	return &by
}
