package control

import (
	"encoding/json"
	"time"

	"meridian/cluster/inputs"
	"meridian/loads"
	"meridian/pools"
)

// SharedInputs carries loads and targets between the nodes of a cluster.
type SharedInputs struct {
	Node string // this one
	// Loads returns the loads that other nodes give to controllers of a fingerprint, now.
	Loads func(fingerprint string) inputs.LoadView
	// Offer takes the loads that this node can give; it does not block.
	Offer func(LoadOffer)
	// Reject says that the state of the controllers in a view cannot be used.
	Reject func(*inputs.LoadView, error)
	Status func() inputs.Status
}

// LoadOffer holds the loads that a node can give: those that its pools have acted on.
type LoadOffer struct {
	Fingerprint string
	Gives       bool // other nodes use the controllers of this one: Reports are all that they act on
	Reports     []OfferedReport
	Memory      pools.LoadMemory // with Gives: the state of the controllers, after Reports
}

// OfferedReport is a report of a load target.
type OfferedReport struct {
	Key string
	pools.Load
	From string // the node that has polled it; empty: this one
}

// sharedLoads holds the loads of other nodes that the serving pools use. It is immutable.
type sharedLoads struct {
	giver   string                   // the node with the controllers; empty: this one
	reports map[string]OfferedReport // by key, those of other nodes
}

// agesFrom is the time that ages in the state of load controllers count back from.
var agesFrom = time.Unix(0, 0).UTC()

// Ages returns m with times as ages at now, for other nodes: clocks are not compared.
func Ages(m pools.LoadMemory, now time.Time) pools.LoadMemory {
	return m.MapTimes(func(t time.Time) time.Time { return agesFrom.Add(-now.Sub(t)) })
}

// UseInputs makes the inputs of this node shared, before the first configuration serves.
func (c *Control) UseInputs(s *SharedInputs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inputs = s
}

// setLoadsLocked applies the current reports to a tree, of this node or of others. It reports whether the load shed by some
// member or region changed.
func (c *Control) setLoadsLocked(tree *pools.Tree, watch *loads.Watch, serving bool) (changed bool) {
	known := watch.Status()
	if len(known) == 0 {
		return false
	}
	reports := make([]pools.Load, len(known))
	for i, s := range known {
		reports[i] = pools.Load{Load: s.Load, Capacity: s.Capacity, At: s.At, Fresh: s.Fresh}
	}
	if c.inputs == nil {
		return tree.SetLoads(reports)
	}
	a := sharedApply{inputs: c.inputs, targets: tree.LoadTargets(), own: reports, view: c.inputs.Loads(tree.LoadFingerprint()), now: time.Now()}
	changed = a.apply(tree)
	if serving {
		c.updateLocked(func(v *view) { v.given = a.used })
		c.inputs.Offer(a.offer(tree))
	}
	return changed
}

// sharedApply applies the reports of this node and of others to a tree.
type sharedApply struct {
	inputs  *SharedInputs
	targets []pools.LoadTarget
	own     []pools.Load
	view    inputs.LoadView
	now     time.Time
	used    *sharedLoads
}

// apply sets the reports of the tree:
//
//	another node gives its controllers  those that these have acted on, and the state of the controllers
//	else                                the own reports; for targets without a fresh one, those of other nodes
func (a *sharedApply) apply(tree *pools.Tree) (changed bool) {
	a.used = &sharedLoads{reports: map[string]OfferedReport{}}
	if a.view.Given != nil {
		var memory pools.LoadMemory
		err := json.Unmarshal(a.view.Given.Controllers, &memory)
		if err == nil {
			back := func(t time.Time) time.Time { return a.view.At.Add(t.Sub(agesFrom)) }
			return tree.AdoptLoads(a.given(), memory.MapTimes(back))
		}
		a.inputs.Reject(&a.view, err)
		a.view.Given, a.view.Giver = nil, ""
	}
	reports := append([]pools.Load(nil), a.own...)
	for i := range reports {
		key := a.targets[i].Key()
		r, ok := a.view.Reported[key]
		if !ok || reports[i].Fresh {
			continue
		}
		if at := a.now.Add(-r.Age); a.now.Sub(at) < a.targets[i].Source.Stale {
			reports[i] = pools.Load{Load: r.Load, Capacity: r.Capacity, At: at, Fresh: true}
			a.used.reports[key] = OfferedReport{key, reports[i], r.From}
		}
	}
	return tree.SetLoads(reports)
}

// given returns the reports that the giver has acted on.
func (a *sharedApply) given() []pools.Load {
	a.used.giver = a.view.Giver
	of := make(map[string]inputs.Report, len(a.view.Given.Reports))
	for _, r := range a.view.Given.Reports {
		of[r.Key] = r
	}
	reports := make([]pools.Load, len(a.targets))
	for i := range reports {
		key := a.targets[i].Key()
		r, ok := of[key]
		if !ok {
			continue
		}
		at := a.view.At.Add(-r.Age)
		reports[i] = pools.Load{Load: r.Load, Capacity: r.Capacity, At: at, Fresh: a.now.Sub(at) < a.targets[i].Source.Stale}
		from := r.From
		if from == "" {
			from = a.view.Giver
		}
		if from != a.inputs.Node {
			a.used.reports[key] = OfferedReport{key, reports[i], from}
		}
	}
	return reports
}

// offer returns the loads that this node can give: with its controllers all reports that they have acted on, else those of its own that
// no earlier node has polled.
func (a *sharedApply) offer(tree *pools.Tree) LoadOffer {
	o := LoadOffer{Fingerprint: tree.LoadFingerprint(), Gives: a.view.Gives}
	for i, own := range a.own {
		key := a.targets[i].Key()
		used, shared := a.used.reports[key]
		polled, elsewhere := a.view.Reported[key]
		switch {
		case shared && used.Fresh && o.Gives:
			o.Reports = append(o.Reports, used)
		case own.Fresh && (o.Gives || !elsewhere || polled.From > a.inputs.Node || polled.Age >= a.targets[i].Source.Stale):
			o.Reports = append(o.Reports, OfferedReport{Key: key, Load: own})
		}
	}
	if o.Gives {
		o.Memory = tree.LoadMemory()
	}
	return o
}

// InputCounts counts the inputs that other nodes give to this one, for metrics.
type InputCounts struct {
	inputs.Status
	Loads, Targets int // given by other nodes
}

// inputCounts returns the counts; nil: inputs are not shared.
func (c *Control) inputCounts(at *view) *InputCounts {
	c.mu.Lock()
	of := c.inputs
	c.mu.Unlock()
	if of == nil {
		return nil
	}
	n := &InputCounts{Status: of.Status()}
	if at.given != nil {
		n.Loads = len(at.given.reports)
	}
	for _, s := range at.Targets.Status() {
		if s.From != "" {
			n.Targets++
		}
	}
	return n
}
