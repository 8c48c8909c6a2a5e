package pools

import (
	"fmt"

	"meridian/config"
	"meridian/geo"
	"meridian/pools/internal/bitset"
)

// Step is a member as the decision saw it.
type Step struct {
	Pool       string   `json:"pool"`
	Policy     string   `json:"policy"`
	Member     string   `json:"member"`
	Region     string   `json:"region,omitempty"`
	State      string   `json:"state"` // as MemberStatus.State
	Eligible   bool     `json:"eligible"`
	Chosen     bool     `json:"chosen"`
	Reason     string   `json:"reason"`
	DistanceKm *float64 `json:"distance_km,omitempty"` // for proximity and latency: from the client to the region, without bias
	RTT        *StepRTT `json:"rtt,omitempty"`         // for latency, if the client matters
	Weight     *int     `json:"weight,omitempty"`

	// Probability is the probability that the first draw leads here, from 0 to 1, with turns of
	// round-robin counted as random; see Tree.Probabilities. InAnswer is the probability that
	// the answer contains the member: the same if each pool gives one.
	Probability float64 `json:"probability"`
	InAnswer    float64 `json:"in_answer"`

	Match *StepMatch `json:"match,omitempty"` // for geolocation, of members that the client matches
	Rank  int        `json:"rank,omitempty"`  // for hash and sticky weights: which choice of the client's network, from 1

	Slot *StepSlot `json:"slot,omitempty"` // for sticky: ttl: how long that choice applies

	Load   *StepLoad   `json:"load,omitempty"`   // of members with a reported load
	Target *StepTarget `json:"target,omitempty"` // of members with a target
	CName  string      `json:"cname,omitempty"`  // of members with a cname

	Family string `json:"family,omitempty"` // IPv4 or IPv6, if a request is decided for both

	// Provisional lists the addresses of the family that are not plainly up:
	// those of an endpoint that are not known to be up or are in slow start, and those of
	// its region if it is down, in that order.
	Provisional []AddressStatus `json:"-"`

	is memberRef
	of Family
}

// Explain is Decide with a recording: a step for each member of each pool that it
// walked, in the order walked, and in s.PoolAnswers how the pool of the request
// answers. It takes turns in s as Decide does.
func (t *Tree) Explain(q Request, s *Scratch) (Decision, []Step) {
	s.begin(t)
	r := &recorder{tree: t, state: s.state, both: q.Both}
	s.record = r
	d := s.recorded(q)
	s.record = nil
	r.recordProbabilities(s, q)
	s.PoolAnswers = r.answers
	return d, r.steps
}

func (s *Scratch) recorded(q Request) Decision {
	if q.Both {
		return s.dualStack(q)
	}
	return s.decide(q)
}

// recorder records what Decide does. Its methods do nothing on nil, the receiver
// in Decide.
type recorder struct {
	tree   *Tree
	state  *state
	family Family // decided for now

	answers []PoolAnswer // of the pool of the request, for each family decided for
	both    bool         // the steps of two families follow each other
	steps   []Step
	place   *geo.Location // of the client, computed on first use

	estimates map[uint32][]geo.Estimate // by table: the round trips of the client, computed on first use
}

// recordProbabilities sets the members' probabilities, for each family that was decided for.
func (r *recorder) recordProbabilities(s *Scratch, q Request) {
	families := []Family{r.family}
	if q.Both {
		families = []Family{IPv4, IPv6}
	}
	for _, q.Family = range families {
		_, first := s.distribution(q)
		whole := s.answerDistribution(q)
		for i := range r.steps {
			if step := &r.steps[i]; step.of == q.Family {
				step.Probability, step.InAnswer = first.reached[step.is], min(1, whole.reached[step.is])
			}
		}
		for i := range r.answers {
			if r.answers[i].Family == q.Family.String() {
				r.answers[i].NoData = first.isNoAnswer()
			}
		}
	}
}

// decides sets the family that is decided for now.
func (r *recorder) decides(f Family) {
	if r != nil {
		r.family = f
	}
}

// enter records the steps of all members of a pool before the draw.
func (r *recorder) enter(s *Scratch, v *frame) {
	if r != nil { // small enough to be inlined, as the methods below
		r.addSteps(s, v)
	}
}

func (r *recorder) addSteps(s *Scratch, v *frame) {
	v.frameNotes = &frameNotes{step: len(r.steps)}
	for i := range r.tree.cfg.Pools[v.id].Members {
		r.steps = append(r.steps, r.stepOf(s, v, i))
	}
}

// stepOf returns the step of the i-th member of a pool before the draw.
func (r *recorder) stepOf(s *Scratch, v *frame, i int) Step {
	p := &r.tree.cfg.Pools[v.id]
	m, weight := &p.Members[i], p.Members[i].Weight
	step := Step{
		Pool:     p.Name,
		Policy:   string(p.Policy),
		Member:   m.Name,
		Region:   m.Region,
		State:    r.memberState(v, i),
		Eligible: v.eligible.Has(i),
		Weight:   &weight,
		Target:   r.target(m),
		Load:     r.state.stepLoad(memberRef{uint32(v.id), uint32(i)}),
		CName:    string(m.CName),
		is:       memberRef{uint32(v.id), uint32(i)},
	}
	step.of = r.family
	step.Provisional = r.provisional(step.is)
	if r.both {
		step.Family = r.family.String()
	}
	step.Reason = r.standing(v, i, step)
	if step.Eligible && !r.state.isLive(v.id, r.family, v.basis) {
		step.Reason = "its pool is " + r.state.poolVerdict(v.id, r.family)
	}
	if p.Policy.RanksRegions() && m.Region != "" {
		km := r.kilometres(s, m.Region)
		step.DistanceKm = &km
	}
	if p.Policy == config.LatencyPolicy {
		step.RTT = r.roundTrip(s, v, m.Region)
	}
	return step
}

// reopened replaces the steps of the members of a match that fails open, which
// then count as up.
func (r *recorder) reopened(s *Scratch, v *frame, members bitset.Set) {
	if r != nil {
		for i := range members.All() {
			r.steps[v.step+i] = r.stepOf(s, v, i)
		}
	}
}

// passes records why a nested pool is passed over.
func (r *recorder) passes(s *Scratch, v *frame, m int) {
	if r != nil {
		step := &r.steps[v.step+m]
		child := ID(r.tree.members[v.first+uint32(m)].child)
		step.Eligible = false
		step.Reason = fmt.Sprintf("passed over: pool %q has no answer for this client%s", r.tree.cfg.Pools[child].Name, r.whyNoAnswer(s, child))
	}
}

// whyNoAnswer returns why a geolocation pool has no answer for the client.
func (r *recorder) whyNoAnswer(s *Scratch, id ID) string {
	p := &r.tree.pools[id]
	if p.policy != geolocation || p.table == none {
		return ""
	}
	return ": " + p.whyNoMatch(r.tree.locator.Matching(s.client, r.tree.matches[p.table]))
}

// passedAll records that no member has an answer for the client.
func (r *recorder) passedAll(v *frame) {
	if r != nil {
		r.gaveNothing(v, "no member has an answer for this client")
	}
}

// asks records how the pool of a request answers, and its steps if it is
// not live and not walked.
func (r *recorder) asks(s *Scratch, id ID, mode Mode, by ID, pl basis) {
	if r != nil {
		r.recordAsks(s, id, mode, by, pl)
	}
}

func (r *recorder) recordAsks(s *Scratch, id ID, mode Mode, by ID, pl basis) {
	r.recordMode(id, mode, by, pl)
	if mode == FallenBack || mode == Dead {
		s.inspect(id)
	}
}

// asked records the steps of the pool's fallback, after its own, if that is not live either.
func (r *recorder) asked(s *Scratch, id ID, mode Mode) {
	if r != nil {
		r.recordAsked(s, id, mode)
	}
}

func (r *recorder) recordAsked(s *Scratch, id ID, mode Mode) {
	r.recordAlias(s)
	if len(s.picked) > 0 { // from a later draw
		r.answers[len(r.answers)-1].NoDataWhy = ""
	}
	if fallback := r.tree.pools[id].fallback; fallback != none && (mode == FailedOpen || mode == Dead) {
		s.inspect(ID(fallback))
	}
}

// narrowed records why proximity left out members. The region at index k of
// the client's ranking was chosen; -1: the members without a region.
func (r *recorder) narrowed(s *Scratch, v *frame, k int) {
	if r != nil {
		r.recordFarther(s, v, k)
	}
}

func (r *recorder) recordFarther(s *Scratch, v *frame, k int) {
	members := r.tree.cfg.Pools[v.id].Members
	for i := range members {
		step := &r.steps[v.step+i]
		switch {
		case !step.Eligible || v.eligible.Has(i):
		case k >= 0 && r.placeOf(s, v, i) < k:
			step.Reason = r.startsSlowly(v, i) + fmt.Sprintf(": region %q is %s, but not for this client yet", members[i].Region, v.closer())
		case members[i].Region == "":
			step.Reason = "without a region: last, and a region has an eligible member"
		case v.policy == latency:
			step.Reason = fmt.Sprintf("region %q is %s: %s", members[i].Region, slowerThan(step.RTT, r.steps[v.step+v.eligible.First()].RTT), step.RTT)
		default:
			step.Reason = fmt.Sprintf("region %q is farther: %s", members[i].Region, r.distance(s, members[i].Region))
		}
	}
	v.nearer = ""
	if k > 0 {
		v.nearer = r.regionsBefore(s, v, k)
	}
}

// notAdmitted records why members are eligible but not in v.scratchSet: they are in slow start.
func (r *recorder) notAdmitted(v *frame) {
	if r != nil {
		r.recordNotAdmitted(v)
	}
}

func (r *recorder) recordNotAdmitted(v *frame) {
	for m := range v.eligible.All() {
		if !v.scratchSet.Has(m) {
			r.steps[v.step+m].Reason = r.startsSlowly(v, m) + ": not this time"
		}
	}
}

// startsSlowly explains why a member gets only a part of its clients: by an operator's weight,
// otherwise by the lowest of slow start, shedding and its bound.
func (r *recorder) startsSlowly(v *frame, m int) string {
	if h := r.state.memberOverride(v.first + uint32(m)); h != nil && h.part < full {
		text := fmt.Sprintf("weight %g %%", r.state.overrides[h.order].Percent) + r.said(v, m)
		if part := v.fraction(m); part != uint64(h.part) {
			text += fmt.Sprintf("; with slow start and load %.0f %%", 100*float64(part)/full)
		}
		return text
	}
	if bound := r.tree.cfg.Pools[v.id].Bound; bound > 0 && fractionOf(r.state.bounded, v.first+uint32(m)) == v.fraction(m) {
		return fmt.Sprintf("carries more than its bound, %d %% of its fair share; keeps %.0f %%", bound, 100*float64(v.fraction(m))/full)
	}
	if fractionOf(r.state.shedding, v.first+uint32(m)) == v.fraction(m) {
		return fmt.Sprintf("sheds, keeps %.0f %%", 100*float64(v.fraction(m))/full)
	}
	return fmt.Sprintf("in slow start, at %.0f %%", 100*float64(v.fraction(m))/full)
}

// choice records the policy's reason for a choice from a set.
func (r *recorder) choice(s *Scratch, v *frame, from bitset.Set, m int) {
	if r != nil {
		r.recordChoice(s, v, from, m)
	}
}

func (r *recorder) recordChoice(s *Scratch, v *frame, from bitset.Set, m int) {
	if v.canGive.Has(m) { // otherwise its step has the reason already
		r.setReason(v, m, s.why(v, from, m))
	}
}

// setReason sets the reason for a choice.
func (r *recorder) setReason(v *frame, m int, reason string) {
	r.steps[v.step+m].Reason = reason + r.remarks(v, m)
}

// follows records the reason for a member that comes after the one drawn before.
func (r *recorder) follows(v *frame, m int) {
	if r != nil && v.canGive.Has(m) {
		r.setReason(v, m, "next after the one before; the answer takes several")
	}
}

// chosen marks a member that the answer comes from.
func (r *recorder) chosen(v *frame, m int) {
	if r != nil {
		r.steps[v.step+m].Chosen = true
	}
}
