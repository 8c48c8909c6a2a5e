package control

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"meridian/health"
	"meridian/pools"
)

// describe fills in since, why and next, by the first row that applies:
//
//	the member                      since, why and next come from
//	------------------------------  ----------------------------------------------------
//	is drained, forced up or down   the override, also a weight of 0%
//	is disabled                     the configuration
//	is in a region that is down     the check of the region
//	is a pool                       its members
//	is a target without an address  the lookup and its error
//	is a cname                      nothing: it is not probed
//	has addresses without a check   nothing: it is not probed
//	any other                       the newest address with the member's health state
//
// describeEjection adds the deferral if max_ejection defers or deferred an ejection of the
// member.
func (s *MemberStatus) describe(m *pools.MemberStatus, region *RegionStatus) {
	switch {
	case s.Override != nil && s.Override.decides(s.State):
		s.Since, s.Why, s.Next = s.Override.Since, s.Override.why(s.Member), s.Override.next()
	case !m.Enabled:
		s.Why, s.Next = "enabled: false in the configuration", "-"
	case region != nil && region.Down:
		s.Since, s.Why, s.Next = region.Since, region.why(), "with its region: "+region.Next
	case m.Nested != "":
		s.describePool(m)
	case m.Target != "" && len(m.Addresses) == 0:
		s.describeUnresolved()
	case m.CName != "":
		s.Why, s.Next = fmt.Sprintf("cname %s is not probed: always up", m.CName), "-"
	default:
		s.Since, s.Why, s.Next = describeAddresses(s.Addresses, s.State)
	}
}

// describePool describes the pool that a member refers to.
func (s *MemberStatus) describePool(m *pools.MemberStatus) {
	s.Since = m.LiveSince
	s.Why = fmt.Sprintf("pool %s: %d of %d eligible, needed %d", m.Nested, m.Up, m.Of, m.Need)
	if missing := m.Need - m.Up; missing > 0 {
		s.Next = fmt.Sprintf("live with %d more", missing)
	} else {
		s.Next = fmt.Sprintf("not live with %d fewer", 1-missing)
	}
}

// describeUnresolved describes a target without an address.
func (s *MemberStatus) describeUnresolved() {
	s.Why, s.Next = fmt.Sprintf("target %s has no address yet", s.Target), "when it resolves"
	r := s.Resolving
	if r == nil {
		return
	}
	s.Since = r.Since
	if r.Why != "" {
		s.Why += ": " + r.Why
		s.Next += "; next lookup at " + health.FormatTime(r.Next)
	}
}

// describeAddresses returns since, why and next of the newest address with the given health
// state.
func describeAddresses(addresses []AddressStatus, verdict string) (since time.Time, why, next string) {
	why, next = "no check: always up", "-"
	for i := range addresses {
		a := &addresses[i]
		if a.Check == "" || a.Verdict != verdict || !since.IsZero() && !a.Since.After(since) {
			continue
		}
		since, why, next = a.Since, a.Why, a.Next
		if len(addresses) > 1 {
			why = a.Address.String() + ": " + a.Why
		}
	}
	return since, why, next
}

// why returns the reason for a region that is down.
func (s *RegionStatus) why() string { return fmt.Sprintf("region %s is down: %s", s.Region, s.Why) }

// describeEjection adds the effect of max_ejection on a member that is down: that it is treated
// as up and until when, or that it was treated as up before.
func (s *MemberStatus) describeEjection(e *pools.Ejection) {
	switch {
	case e.Deferred:
		s.EjectionDeferred = true
		s.Since = e.Since
		s.Why = fmt.Sprintf("ejection deferred, treated as up: %s would be more than max_ejection %s", s.Member, e.Bound)
		if e.Damped {
			s.Why = fmt.Sprintf("ejection deferred, treated as up: flap damping would hold down more than max_ejection %s", e.Bound)
		}
		s.Why += ": " + e.Reason
		s.Next = "down when it fits max_ejection, or by force down"
		if !e.Fits.IsZero() {
			s.Next = fmt.Sprintf("down at %s at the earliest, when it fits max_ejection, or by force down", health.FormatTime(e.Fits))
		}
	case e.Late && s.Override == nil:
		s.Why += fmt.Sprintf("; its ejection was deferred by max_ejection until %s", health.FormatTime(e.Since))
		s.Since = e.Since
	}
}

// decides reports whether a state of a member is the effect of an override. A weight of 0% is a drain.
func (s *Override) decides(state string) bool {
	return state == s.Kind || state == pools.Drained.String() && s.Kind == pools.ReducedWeight.String()
}

// why returns the target of the override, unless it is the member itself, and the operator's
// reason.
func (s *Override) why(member string) string {
	var parts []string
	if s.Target.Member != member {
		parts = append(parts, s.Target.String())
	}
	if s.Reason != "" {
		parts = append(parts, fmt.Sprintf("%q", s.Reason))
	}
	by := "by " + cmp.Or(s.Owner, "an operator")
	if s.Value != "" {
		by = fmt.Sprintf("weight %s %s", s.Value, by)
	}
	if len(parts) == 0 {
		return by + ", without a reason"
	}
	return by + ": " + strings.Join(parts, ", ")
}

func (s *Override) next() string {
	if s.Until.IsZero() {
		return "until removed"
	}
	return "ends at " + health.FormatTime(s.Until)
}
