package pools

import (
	"math/rand/v2"
	"slices"
	"time"

	"meridian/config"
)

// borne is a load and a capacity; a load that is not known counts as none.
type borne struct {
	load, capacity float64
	known          bool
}

// reported returns the report of a source, or the configured capacity.
func (r reference) reported(of *config.LoadOf) borne {
	capacity := float64(of.Capacity)
	report, ok := r.loads[of.Load]
	if !ok || !report.Fresh {
		return borne{capacity: capacity}
	}
	if capacity == 0 {
		capacity = report.Capacity
	}
	return borne{report.Load, capacity, capacity > 0}
}

// counts reports whether a member may be answered at all.
func (r reference) counts(m *config.Member) bool {
	return m.Enabled && m.Weight > 0 && r.kind(m) != Drained
}

// borne follows docs/reference/policies/least-load.md: a member has its own load, a
// nested pool the sum of the known ones, and a member without one an equal part of its region's.
func (r reference) borne(p *config.Pool, m *config.Member) borne {
	if m.Load != nil {
		return r.reported(m.Load)
	}
	if m.Pool != "" {
		var sum borne
		nested := r.pool(m.Pool)
		for i := range nested.Members {
			in := r.borne(nested, &nested.Members[i])
			if r.counts(&nested.Members[i]) && in.known {
				sum = borne{sum.load + in.load, sum.capacity + in.capacity, true}
			}
		}
		return sum
	}
	for _, region := range r.cfg.Regions {
		if region.Name != m.Region || region.Load == nil {
			continue
		}
		sharing := 0.0
		for _, other := range p.Members {
			if other.Region == m.Region && other.Load == nil && other.Enabled && other.Weight > 0 {
				sharing++
			}
		}
		whole := r.reported(region.Load)
		return borne{whole.load / max(1, sharing), whole.capacity / max(1, sharing), whole.known}
	}
	return borne{}
}

// settleRooms computes the free capacities of the members of least-load pools after their first reports.
func (r reference) settleRooms() {
	for i := range r.cfg.Pools {
		if p := &r.cfg.Pools[i]; p.Policy == config.LeastLoad {
			r.settleRoomsOf(p)
		}
	}
}

func (r reference) settleRoomsOf(p *config.Pool) {
	var capacities, frees []float64
	for i := range p.Members {
		m := &p.Members[i]
		of := r.borne(p, m)
		if of.known {
			r.free[m] = max(0, 1-of.load/of.capacity)
		} else {
			delete(r.free, m)
		}
		if m.Weight == 0 || !m.Enabled {
			continue
		}
		if of.capacity > 0 {
			capacities = append(capacities, of.capacity)
		}
		if of.known {
			frees = append(frees, r.free[m])
		}
	}
	for i := range p.Members {
		m := &p.Members[i]
		capacity, free := r.borne(p, m).capacity, meanOf(frees)
		if capacity == 0 {
			capacity = meanOf(capacities)
		}
		if part, ok := r.free[m]; ok {
			free = part
		}
		r.rooms[m] = float64(m.Weight) * capacity * free
	}
}

// meanOf returns 1 for an empty list.
func meanOf(all []float64) float64 {
	if len(all) == 0 {
		return 1
	}
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return sum / float64(len(all))
}

// roomOf returns the sum of some free capacities, by their parts.
func (d drawing) roomOf(from []*config.Member) float64 {
	sum := 0.0
	for _, m := range from {
		sum += d.rooms[m] * float64(d.part(m)) / 256
	}
	return sum
}

// randomLoads sends the first reports of some sources to the tree and the reference.
func randomLoads(rnd *rand.Rand, tree *Tree, r *reference) {
	forgetShares(tree)
	loads := make([]Load, len(tree.loadTargets))
	clear(r.loads)
	for i, target := range tree.loadTargets {
		loads[i] = Load{
			Load: float64(rnd.IntN(120)), Capacity: float64(rnd.IntN(3) * 60),
			At: time.Unix(rnd.Int64N(1<<32), 0), Fresh: rnd.IntN(4) > 0,
		}
		r.loads[target.Source.Name] = loads[i]
	}
	tree.SetLoads(slices.Clone(loads))
	r.settleRooms()
}
