// Package agreement decides the health state of a target from the opinions of the vantages of a cluster.
//
// A decision is a pure function of what is counted in each region: every node computes it for itself, in any order of the
// vantages, and gets the same result. There is no leader.
//
// Terms. A vantage observes a target if it has published an opinion of it, at any time. It is present if it is fresh and
// has an opinion now. A region observes a target if a vantage of it does; it votes if more than half of its vantages that
// observe the target are present.
//
// The vantages decide if the present vantages of the voting regions are a quorum; else the state before holds. A majority is
// more than half of all regions that observe the target, whether they vote or not. So a minority never changes a state.
package agreement

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
	"meridian/health"
)

// Region counts the vantages of a region that observe a target.
type Region struct {
	Name     string
	Vantages int // that observe the target
	Up, Down int // of these, that are present and find it up, or down
}

// Present returns the number of present vantages.
func (r Region) Present() int { return r.Up + r.Down }

// Votes reports whether more than half of the vantages are present.
func (r Region) Votes() bool { return 2*r.Present() > r.Vantages }

// Decision is the decision of the vantages.
type Decision struct {
	Verdict health.Verdict // Up or Down; Unknown: they do not decide, and the state before holds
	Reason  string         // for the log and explain
}

// route53Percent is the part of the present vantages of which more have to find a target up, for the preset route53.
const route53Percent = 18

// Decide returns the decision of all regions, each with another name, about one target.
//
//	regions that vote                                    decision
//	---------------------------------------------------  ------------------------------
//	at most half of those that observe it                none
//	fewer than min_regions, or than all if there are fewer  none
//	present vantages in them: fewer than min_vantages    none; or than all, if there are fewer
//	else                                                 by the preset
//
// With scope regional, the vantages of the region local decide alone if it votes and has min_vantages of them present; else
// all regions.
func Decide(q config.Quorum, local string, regions []Region) Decision {
	if q.Scope == config.RegionalScope {
		for _, r := range regions {
			if r.Name == local && r.Votes() && r.Present() >= min(q.MinVantages, r.Vantages) {
				return decideAmong(q.Preset, []Region{r}, 1)
			}
		}
	}
	voting, vantages, present := []Region(nil), 0, 0
	for _, r := range regions {
		vantages += r.Vantages
		if r.Votes() {
			voting = append(voting, r)
			present += r.Present()
		}
	}
	switch {
	case 2*len(voting) <= len(regions), len(voting) < min(q.MinRegions, len(regions)):
		return Decision{Reason: fmt.Sprintf("%d of %d regions vote", len(voting), len(regions))}
	case present < min(q.MinVantages, vantages):
		return Decision{Reason: fmt.Sprintf("%d of %d vantages vote, want %d", present, vantages, q.MinVantages)}
	}
	return decideAmong(q.Preset, voting, len(regions))
}

// decideAmong returns the decision of the voting ones of a number of regions.
//
//	preset    up if                             down if                          neither
//	--------  --------------------------------  -------------------------------  -------
//	majority  more than half of all regions     more than half of all regions    else
//	          find it up                        find it down
//	route53   more than 18 % of vantages do     else
//	any_up    a vantage finds it up             else
//	all_up    no vantage finds it down          else
func decideAmong(preset config.QuorumPreset, voting []Region, regions int) Decision {
	up, down := 0, 0
	for _, r := range voting {
		up, down = up+r.Up, down+r.Down
	}
	switch preset {
	case config.Route53Preset:
		return vantagesDecide(100*up > route53Percent*(up+down), up, down)
	case config.AnyUpPreset:
		return vantagesDecide(up > 0, up, down)
	case config.AllUpPreset:
		return vantagesDecide(down == 0, up, down)
	}
	return regionsDecide(voting, regions)
}

func vantagesDecide(isUp bool, up, down int) Decision {
	if isUp {
		return Decision{health.Up, fmt.Sprintf("%d of %d vantages find it up", up, up+down)}
	}
	return Decision{health.Down, fmt.Sprintf("%d of %d vantages find it down", down, up+down)}
}

// regionsDecide returns the decision of a majority of all regions, of which these vote.
func regionsDecide(voting []Region, regions int) Decision {
	var up, down []string
	for _, r := range voting {
		switch r.Vote() {
		case health.Up:
			up = append(up, r.Name)
		case health.Down:
			down = append(down, r.Name)
		}
	}
	switch {
	case 2*len(up) > regions:
		return Decision{health.Up, regionsReason(up, regions, "up")}
	case 2*len(down) > regions:
		return Decision{health.Down, regionsReason(down, regions, "down")}
	}
	return Decision{Reason: fmt.Sprintf("no majority of %d regions: %d find it up, %d down, %d are divided, %d do not vote",
		regions, len(up), len(down), len(voting)-len(up)-len(down), regions-len(voting))}
}

func regionsReason(agreeing []string, regions int, state string) string {
	slices.Sort(agreeing)
	return fmt.Sprintf("%d of %d regions find it %s: %s", len(agreeing), regions, state, strings.Join(agreeing, ", "))
}

// Vote returns the vote of a region: that of most of its present vantages. It is Unknown if the region does not vote, or
// if it is divided.
func (r Region) Vote() health.Verdict {
	switch {
	case !r.Votes() || r.Up == r.Down:
		return health.Unknown
	case r.Up > r.Down:
		return health.Up
	}
	return health.Down
}
