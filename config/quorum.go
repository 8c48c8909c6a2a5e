package config

import "cmp"

// QuorumPreset defines how vantages decide about a target.
type QuorumPreset string

// The values of QuorumPreset.
const (
	MajorityPreset QuorumPreset = "majority" // more than half of the regions that observe the target, each by most of its vantages
	Route53Preset  QuorumPreset = "route53"  // up while more than 18 % of the vantages find it up
	AnyUpPreset    QuorumPreset = "any_up"   // up while a vantage finds it up
	AllUpPreset    QuorumPreset = "all_up"   // up while all vantages find it up
	LocalPreset    QuorumPreset = "local"    // each node decides alone
)

// QuorumScope defines which decision a node follows.
type QuorumScope string

// The values of QuorumScope.
const (
	GlobalScope   QuorumScope = "global"   // that of all regions
	RegionalScope QuorumScope = "regional" // that of the vantages of its own region; without a quorum there, of all regions
)

// Quorum defines how the vantages of a cluster decide about the targets of a check. A zero field has the default.
type Quorum struct {
	Preset      QuorumPreset
	Scope       QuorumScope
	MinVantages int // vantages that vote; if fewer observe a target, all of them
	MinRegions  int // regions that vote; if fewer observe a target, all of them
}

// The defaults of Quorum.
const (
	defaultMinVantages = 2
	defaultMinRegions  = 2
)

// Complete returns q with the defaults in place of zero fields.
func (q Quorum) Complete() Quorum {
	return Quorum{
		cmp.Or(q.Preset, MajorityPreset), cmp.Or(q.Scope, GlobalScope),
		cmp.Or(q.MinVantages, defaultMinVantages), cmp.Or(q.MinRegions, defaultMinRegions),
	}
}
