package cluster

import (
	"maps"
	"slices"
	"time"

	"meridian/cluster/agreement"
	"meridian/cluster/observation"
	"meridian/health"
)

// decide decides about the probes that have changed, or about all if the vantages have, and applies the decisions.
func (n *Node) decide(now time.Time) {
	changed := n.decisions(now)
	if len(changed) == 0 || n.Agree(changed) {
		return
	}
	n.mu.Lock() // the prober is stalled: try again
	defer n.mu.Unlock()
	for _, a := range changed {
		if p, ok := n.own[a.ID]; ok {
			p.decided.ID = 0
			n.own[a.ID], n.pending[a.ID] = p, true
		}
	}
}

// decisions returns the decisions that have changed.
func (n *Node) decisions(now time.Time) (changed []health.Agreement) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.updateVantagesLocked(now) {
		for id := range n.own {
			n.pending[id] = true
		}
	}
	for id := range n.pending {
		p := n.own[id]
		a := n.agreementLocked(id, &p)
		if p.decided.ID != 0 && a.Verdict == p.decided.Verdict && a.Reason == p.decided.Reason && maps.Equal(a.Votes, p.decided.Votes) {
			continue
		}
		if p.decidedAt.IsZero() || a.Verdict != p.decided.Verdict {
			p.decidedAt = now
		}
		p.decided = a
		if !a.Uncertain {
			p.agreed, n.digests = a.Verdict, nil
		}
		n.own[id] = p
		changed = append(changed, a)
	}
	clear(n.pending)
	return changed
}

// agreementLocked decides about a probe of this node.
func (n *Node) agreementLocked(id health.ProbeID, p *probeState) health.Agreement {
	regions := n.countLocked(id, p)
	d := agreement.Decision{Reason: n.missingLocked()}
	if d.Reason == "" {
		d = agreement.Decide(p.target.Check.Quorum.Complete(), n.Region, regions)
	}
	votes := make(map[string]health.Verdict, len(regions))
	for _, r := range regions {
		votes[r.Name] = r.Vote()
	}
	return health.Agreement{ID: id, Verdict: d.Verdict, Uncertain: d.Verdict == health.Unknown, Reason: d.Reason, Votes: votes}
}

// countLocked counts the vantages that observe a probe, by region.
func (n *Node) countLocked(id health.ProbeID, p *probeState) []agreement.Region {
	var regions []agreement.Region
	count := func(region string, e observation.Entry, fresh bool) {
		i := slices.IndexFunc(regions, func(r agreement.Region) bool { return r.Name == region })
		if i < 0 {
			i = len(regions)
			regions = append(regions, agreement.Region{Name: region})
		}
		regions[i].Vantages++
		switch {
		case fresh && e.Verdict == health.Up:
			regions[i].Up++
		case fresh && e.Verdict == health.Down:
			regions[i].Down++
		}
	}
	if e, ok := n.namesakeLocked(id); ok {
		count(n.book.Vantages()[n.Name].Region, e, true)
	} else {
		count(n.Region, p.entry, n.present)
	}
	for name, v := range n.vantages {
		of := n.book.Vantages()[name]
		if e, ok := of.Entry(id); ok || of.Remembered && !n.everRead { // it may observe the probe: without it, a minority could decide
			count(v.region, e, v.fresh && ok)
		}
	}
	return regions
}
