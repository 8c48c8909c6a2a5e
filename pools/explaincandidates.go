package pools

import (
	"fmt"
	"strings"

	"meridian/config"
)

// candidates records for each member that the policy left to draw from why it may not
// be in the answer. The reasons for the choice overwrite it later.
func (r *recorder) candidates(s *Scratch, v *frame, answers int) {
	if r != nil {
		r.recordCandidates(s, v, answers)
	}
}

// recordCandidates sets the reasons of the members left:
//
//	has the family  another of its region has  reason
//	no              yes                        which member is used instead
//	no              no                         that there is none
//	yes             -                          the policy's
//
// No reason depends on the draw.
func (r *recorder) recordCandidates(s *Scratch, v *frame, answers int) {
	v.wanted = answers
	for m := range v.eligible.All() {
		if step := &r.steps[v.step+m]; v.canGive.Has(m) {
			step.Reason = s.whyNot(v, m) + r.remarks(v, m)
		} else {
			step.Reason = r.lacks(s, v, m) + r.remarks(v, m)
		}
	}
}

// lacks explains for a member without an address of the family which member of its group is
// answered instead.
func (r *recorder) lacks(s *Scratch, v *frame, m int) string {
	s.familySubstitutes(v, m)
	var others []string
	for other := range v.scratchSet.All() {
		others = append(others, fmt.Sprintf("%q", r.steps[v.step+other].Member))
	}
	text, where := r.lacksFamily(s, v, m)
	switch {
	case len(others) == 0:
		return fmt.Sprintf("%s, nor has another %s: it adds nothing", text, where)
	case len(others) == 1:
		return fmt.Sprintf("%s; %s %s is used instead", text, others[0], where)
	}
	return fmt.Sprintf("%s; one of %s %s is used instead", text, strings.Join(others, ", "), where)
}

// lacksFamily says that a member has no address of the family, or no record of the type, and where the members
// are that might have one.
func (r *recorder) lacksFamily(s *Scratch, v *frame, m int) (text, where string) {
	if text = fmt.Sprintf("has no %s address", r.family); s.recordType != 0 {
		text = fmt.Sprintf("has no %s record", config.RecordTypeName(s.recordType))
	}
	switch {
	case s.recordType == 0 && !v.pool.has[r.family], s.recordType != 0 && s.tree.recordSet(v.id, s.recordType) == nil:
		where = "of the pool"
	case r.steps[v.step+m].Region != "":
		where = "of the same region"
	default:
		where = "without a region"
	}
	return text, where
}

// substitute records the reason for the member that was chosen instead of the drawn
// member m, or that there was none.
func (r *recorder) substitute(s *Scratch, v *frame, m, other int, ok bool) {
	if r != nil {
		r.recordSubstitute(s, v, m, other, ok)
	}
}

func (r *recorder) recordSubstitute(s *Scratch, v *frame, m, other int, ok bool) {
	text, where := r.lacksFamily(s, v, m)
	if !ok {
		r.gaveNothing(v, fmt.Sprintf("%q was drawn, which %s, nor has another %s", r.steps[v.step+m].Member, text, where))
		return
	}
	r.setReason(v, other, fmt.Sprintf("used instead of %q, which %s; %s", r.steps[v.step+m].Member, text, s.why(v, v.scratchSet, other)))
}
