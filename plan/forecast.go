package plan

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"meridian/config"
	"meridian/dnsname"
	"meridian/geo"
	"meridian/pools"
	"meridian/snapshot"
	"meridian/zones"
)

// Compare forecasts the effect on the traffic of clients if after replaces before. If names
// are given, only their traffic counts. It returns an error if reading the clients fails or
// there is nothing to compare.
func Compare(before, after *snapshot.Snapshot, clients Clients, names ...dnsname.Name) (*Forecast, error) {
	f := newForecaster(before, after)
	if err := f.pair(names); err != nil {
		return nil, err
	}
	if err := f.classes.gather(clients, f.sides); err != nil {
		return nil, err
	}
	if f.classes.weight == 0 {
		return nil, errors.New("no clients: none of their addresses has a location, or all their counts are 0")
	}
	f.compute()
	return f.forecast(), nil
}

// forecaster holds the state of a comparison.
type forecaster struct {
	sides   [2]*side // before, after
	regions []string // by number; noneNumber and elsewhereNumber come first
	numbers map[string]int
	pairs   []*pair
	names   Forecast // Names, Added, Removed and Unasked

	classes clientClasses
	far     map[*geo.Location]*distances

	all        totals
	members    map[string]Change // weighted
	nested     map[string]Change // members that are pools; weighted
	shares     []Change          // by region, weighted
	countries  map[string]*totals
	continents map[string]*totals
	systems    map[string]*totals
}

// The numbers of the two pseudo-regions, and of the first region.
const (
	noneNumber = iota
	elsewhereNumber
	firstRegion
)

// side is a snapshot with the scratch memory and region locations for its decisions.
type side struct {
	*snapshot.Snapshot
	scratch *pools.Scratch
	places  map[string]config.Location // of regions
}

// pair represents all names with the same pool before and the same pool after.
type pair struct {
	pools [2]pools.ID
	names map[clientViews]int // by the clients that have these pools
	sum   totals

	impaired [impairments]Change // weighted
}

// clientViews is the clients of an address family in a view before and one after; the zero value of one side is that of
// clients in no view.
type clientViews struct {
	any    bool // the clients of all views
	family pools.Family
	side   [2]zones.ViewID
}

func newForecaster(before, after *snapshot.Snapshot) *forecaster {
	f := &forecaster{
		regions:    []string{answerNone, elsewhere},
		numbers:    make(map[string]int),
		far:        make(map[*geo.Location]*distances),
		members:    make(map[string]Change),
		nested:     make(map[string]Change),
		countries:  make(map[string]*totals),
		continents: make(map[string]*totals),
		systems:    make(map[string]*totals),
	}
	for i, snapshot := range [2]*snapshot.Snapshot{before, after} {
		s := &side{Snapshot: snapshot, scratch: snapshot.Pools.Scratch(), places: make(map[string]config.Location)}
		for _, r := range snapshot.Config.Regions {
			s.places[r.Name] = r.Location
			if _, known := f.numbers[r.Name]; !known {
				f.numbers[r.Name] = len(f.regions)
				f.regions = append(f.regions, r.Name)
			}
		}
		f.sides[i] = s
	}
	return f
}

// familyPools is the pools of a name for A and AAAA, by pools.Family.
type familyPools [2]pools.ID

// inViews is the pools of a name, and its pools in views; nil: none has others.
type inViews struct {
	pools familyPools
	views map[zones.ViewID]familyPools
}

// in returns the pool of the name for a family in a view.
func (v inViews) in(id zones.ViewID, family pools.Family) pools.ID {
	if of, ok := v.views[id]; ok {
		return of[family]
	}
	return v.pools[family]
}

// bound returns the names of a side that pools answer.
func (s *side) bound() map[dnsname.Name]inViews {
	ids := make(map[string]pools.ID, len(s.Config.Pools))
	for i := range s.Config.Pools {
		ids[s.Config.Pools[i].Name] = pools.ID(i)
	}
	views := make(map[string]zones.ViewID, len(s.Config.Views))
	for i := range s.Config.Views {
		views[s.Config.Views[i].Name] = zones.ViewID(i + 1)
	}
	all := make(map[dnsname.Name]inViews)
	for i := range s.Config.Zones {
		for b, view := range s.Config.Zones[i].Bindings() {
			if b.OnlyAAAA {
				continue // with the binding before it
			}
			of := familyPools{ids[b.Pool], ids[b.Pool]}
			if b.AAAA != nil {
				of[pools.IPv6] = ids[b.AAAA.Pool]
			}
			bound := all[b.Name]
			switch {
			case view == "":
				bound = inViews{pools: of}
			case bound.views == nil:
				bound.views = map[zones.ViewID]familyPools{views[view]: of}
			default:
				bound.views[views[view]] = of
			}
			all[b.Name] = bound
		}
	}
	return all
}

// pair selects the names to compare, and groups those with equal pools.
func (f *forecaster) pair(only []dnsname.Name) error {
	before, after := f.sides[0].bound(), f.sides[1].bound()
	for _, name := range only {
		_, existed := before[name]
		if _, exists := after[name]; !existed && !exists {
			return fmt.Errorf("no pool answers %q, neither before nor after", name)
		}
	}
	wanted := func(name dnsname.Name) bool { return len(only) == 0 || slices.Contains(only, name) }
	f.compareNames(before, after, wanted)
	if len(f.pairs) == 0 {
		return errors.New("no name is answered by a pool both before and after")
	}
	return nil
}

// compareNames groups the wanted names of both sides by their pools, and counts those of one side.
func (f *forecaster) compareNames(before, after map[dnsname.Name]inViews, wanted func(dnsname.Name) bool) {
	known := make(map[[2]pools.ID]*pair)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		old := before[name]
		now, both := after[name]
		switch {
		case !wanted(name):
		case !both:
			f.names.Removed++
		default:
			for clients := range f.viewsOf(old, now) {
				key := [2]pools.ID{old.in(clients.side[0], clients.family), now.in(clients.side[1], clients.family)}
				if known[key] == nil {
					known[key] = &pair{pools: key, names: make(map[clientViews]int)}
					f.pairs = append(f.pairs, known[key])
				}
				known[key].names[clients]++
			}
			f.names.Names++
		}
	}
	for name := range after {
		if _, both := before[name]; !both && wanted(name) {
			f.names.Added++
		}
	}
}

// viewsOf yields the clients that a name distinguishes: of each family, those of all views if it has no views.
func (f *forecaster) viewsOf(before, after inViews) iter.Seq[clientViews] {
	return func(yield func(clientViews) bool) {
		for _, family := range [...]pools.Family{pools.IPv4, pools.IPv6} {
			if before.views == nil && after.views == nil {
				if !yield(clientViews{any: true, family: family}) {
					return
				}
				continue
			}
			for old := range 1 + len(f.sides[0].Config.Views) {
				for now := range 1 + len(f.sides[1].Config.Views) {
					if !yield(clientViews{family: family, side: [2]zones.ViewID{zones.ViewID(old), zones.ViewID(now)}}) {
						return
					}
				}
			}
		}
	}
}

// namesFor returns how many names of the pair a client gets these pools for.
func (f *forecaster) namesFor(p *pair, client netip.Addr) int {
	of := clientViews{family: familyOf(client)}
	for i, s := range f.sides {
		if key, _ := s.Zones.AppendViewKey(nil, client); len(key) > 0 {
			of.side[i] = zones.ViewID(key[0])
		}
	}
	return p.names[clientViews{any: true, family: of.family}] + p.names[of]
}
