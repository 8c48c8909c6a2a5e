package main

import (
	"slices"
	"time"

	"meridian/control"
	"meridian/server/answer"
)

// recentReport is the greatest age of an error report that is a problem. Resolvers that still have the error repeat it.
const recentReport = 24 * time.Hour

// keepProblems removes from s the regions that are not down, the members without problems, the pools without problems
// that answer in normal mode, and the error reports that are old or about no zone of the server.
func keepProblems(s *control.Status) {
	s.ErrorReports = slices.DeleteFunc(s.ErrorReports, func(r answer.ErrorReport) bool {
		return r.Zone == "" || s.At.Sub(r.Last) > recentReport
	})
	s.Regions = slices.DeleteFunc(s.Regions, func(r control.RegionStatus) bool { return !r.Down })
	for i := range s.Pools {
		p := &s.Pools[i]
		p.Members = slices.DeleteFunc(p.Members, func(m control.MemberStatus) bool { return isFine(&m) })
	}
	s.Pools = slices.DeleteFunc(s.Pools, func(p control.PoolStatus) bool {
		for _, mode := range p.Mode {
			if mode != "normal" && !(mode == "nodata" && !p.IsOutage()) {
				return false
			}
		}
		return len(p.Members) == 0 && !p.IsOutage()
	})
}

// hasProblems reports whether keepProblems has left something, or a warning applies.
func hasProblems(s *control.Status) bool {
	failed := s.Latency != nil && (s.Latency.Stale || s.Latency.Error != "")
	return len(s.Pools)+len(s.Regions)+len(s.Outages)+len(s.Floods)+len(s.ErrorReports)+len(warningsOf(s)) > 0 || failed
}

// isFine reports whether nothing is wrong with a member: it and its addresses are up, or
// the configuration disables it.
func isFine(m *control.MemberStatus) bool {
	for i := range m.Addresses {
		if a := &m.Addresses[i]; a.Check != "" && a.Verdict != "up" || a.Warning != "" {
			return false
		}
	}
	return m.State == "up" || m.State == "live" || m.State == "disabled"
}
