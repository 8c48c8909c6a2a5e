package config

import "gopkg.in/yaml.v3"

// Guardrails limit what a change may do, whether an operator, a schedule or a reload makes it.
type Guardrails struct {
	MinLiveRegions int  // of each pool that a name is bound to; 0: no limit
	MaxMoved       int  // percent of the clients that one change may move; 0: no limit
	Freeze         bool // no change at all
}

func (d *decoder) guardrails(g *Guardrails) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "min_live_regions", set: d.integerInRange(&g.MinLiveRegions, 0, maxGuardedRegions)},
			{name: "max_moved", set: d.percentage(&g.MaxMoved, 1, 100)},
			{name: "freeze", set: d.flag(&g.Freeze)},
		})
	}
}

const maxGuardedRegions = 1000
