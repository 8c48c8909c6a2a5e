package pools

import "fmt"

// PoolAnswer is how a pool that a name is bound to answers, see state.selectSource.
type PoolAnswer struct {
	Pool   string `json:"pool"`
	Family string `json:"family"` // IPv4 or IPv6
	Mode   string `json:"mode"`   // as Mode.String
	By     string `json:"by,omitempty"`
	Why    string `json:"why"` // in words

	NoData    float64 `json:"nodata"`               // 0 to 1: the probability that the first draw has no answer
	NoDataWhy string  `json:"nodata_why,omitempty"` // why this draw has no answer, if so
}

// recordMode records how the pool of a request answers.
func (r *recorder) recordMode(id ID, mode Mode, by ID, pl basis) {
	cfg := r.tree.cfg
	s := PoolAnswer{Pool: cfg.Pools[id].Name, Family: r.family.String(), Mode: mode.String(), Why: r.whyMode(id, mode, pl)}
	if mode != Dead {
		s.By = cfg.Pools[by].Name
	} else {
		s.NoDataWhy = fmt.Sprintf("pool %q is %s", s.Pool, s.Why)
	}
	r.answers = append(r.answers, s)
}

// whyMode returns why a pool answers as it does:
//
//	mode       why
//	normal     live, and how many members are up
//	fallback   not live, and the count; its fallback answers
//	fail-open  not live, and the count; why no fallback answers; which members answer
//	nodata     not live, and the count; fail_open: never, or there is no member to answer with
func (r *recorder) whyMode(id ID, mode Mode, pl basis) string {
	text := r.members(id)
	if mode == Normal {
		return text
	}
	switch fallback := r.tree.pools[id].fallback; {
	case mode == FallenBack:
		return fmt.Sprintf("%s: its fallback %q answers", text, r.tree.cfg.Pools[fallback].Name)
	case fallback == none:
		text += ", and it has no fallback"
	case r.state.isLive(ID(fallback), r.family, byVerdict):
		text += fmt.Sprintf(", and a fence keeps this client from its fallback %q", r.tree.cfg.Pools[fallback].Name)
	default:
		text += fmt.Sprintf(", nor is its fallback %q: %s", r.tree.cfg.Pools[fallback].Name, r.members(ID(fallback)))
	}
	switch {
	case mode == FailedOpen && pl == remaining:
		return text + ". It fails open: its members that are up answer, whatever min_up is"
	case mode == FailedOpen:
		return text + ". It fails open: all its members count as up"
	case !r.tree.pools[id].failOpen:
		return text + ". fail_open: never, so the answer is NODATA"
	}
	return text + ". All its members are disabled, drained, forced down, unresolved or of weight 0, so the answer is NODATA"
}

// members returns whether a pool is live, and how many of the possible members are eligible.
func (r *recorder) members(id ID) string {
	of, up, need := r.state.candidates(id), r.state.countEligible(id, r.family, byVerdict), r.state.need(id)
	if of == 0 {
		return "not live (no member can be eligible)"
	}
	needs := fmt.Sprintf("needs %d", need)
	if minUp := r.tree.cfg.Pools[id].MinUp; minUp.Percent {
		needs += fmt.Sprintf(", min_up %d%%", minUp.N)
	}
	live, members := "live", "members"
	if up < need {
		live = "not live"
	}
	if of == 1 {
		members = "member"
	}
	return fmt.Sprintf("%s (%d of %d %s up, %s)", live, up, of, members, needs)
}

// gaveNothing records why a walk has no answer. The reason of the first draw
// is kept.
func (r *recorder) gaveNothing(v *frame, text string) {
	s := &r.answers[len(r.answers)-1]
	if s.NoDataWhy == "" {
		s.NoDataWhy = fmt.Sprintf("pool %q: %s", r.tree.cfg.Pools[v.id].Name, text)
	}
}
