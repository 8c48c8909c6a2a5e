package snapshot

import (
	"meridian/config"
	"meridian/geo"
	"meridian/pools"
)

// Targets lists the target names of pool members, each once, in configuration order.
func (s *Snapshot) Targets() []config.Target {
	var names []config.Target
	seen := map[config.Target]bool{}
	for i := range s.Config.Pools {
		for j := range s.Config.Pools[i].Members {
			if name := s.Config.Pools[i].Members[j].Target; name != "" && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// Resolve returns s with these addresses for the targets of members. The two share everything except the pools. Close
// one of them when neither is read any more.
func (s *Snapshot) Resolve(targets map[config.Target]pools.Resolved) (*Snapshot, error) {
	tree, err := s.Pools.Resolve(targets)
	if err != nil {
		return nil, err
	}
	next := *s
	next.Pools = tree
	return &next, nil
}

// Measure returns s with pools that use other round trips, or none if nil. The two share everything else, as with
// Resolve.
func (s *Snapshot) Measure(roundTrips *geo.Latency) (*Snapshot, error) {
	tree, err := s.Pools.Measure(roundTrips)
	s.Geo.ReleaseBuildData()
	if err != nil {
		return nil, err
	}
	next := *s
	next.Pools = tree
	return &next, nil
}
