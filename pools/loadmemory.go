package pools

import (
	"math"
	"time"
)

// LoadMemory is what load controllers store beside the last reports, by the names of the
// configuration. The JSON form outlives the process: fields may be added, but must not change
// their meaning.
type LoadMemory struct {
	Shedding []ShedMemory    `json:"shedding,omitempty"`
	Balanced []BalanceMemory `json:"balanced,omitempty"`
}

// ShareMemory is a share of the clients and the traffic that follows it.
type ShareMemory struct {
	Share   float64   `json:"share"`   // 0 to 1, set at since
	Traffic float64   `json:"traffic"` // 0 to 1, at since
	Since   time.Time `json:"since"`
	Demand  float64   `json:"demand"` // the load at a share of 1
}

// ShedMemory is the state of a member, or of a region of a pool, that sheds or has a bound.
type ShedMemory struct {
	Pool   string    `json:"pool"`
	Region string    `json:"region,omitempty"`
	Member string    `json:"member,omitempty"`
	Kept   float64   `json:"kept"`     // 0 to 1, while it sheds
	Within float64   `json:"within"`   // 0 to 1, by its bound
	At     time.Time `json:"reported"` // the latest report that it acted on
	ShareMemory
}

// BalanceMemory is the state of a member of a least-load pool.
type BalanceMemory struct {
	Pool   string    `json:"pool"`
	Member string    `json:"member"`
	At     time.Time `json:"reported"` // the latest report that the pool acted on
	ShareMemory
}

// shedGroupName is a member, or a region, of a pool by names.
type shedGroupName struct{ pool, region, member string }

// loadMemory is the state of a tree's load controllers, by names. Guarded by Tree.writing of that tree.
type loadMemory struct {
	shedding  map[shedGroupName]shedState
	balanced  map[shedGroupName]balanced
	balancers map[string]balancer // without their members
	clock     time.Time
}

func (t *Tree) nameOf(unit *shedGroup) shedGroupName {
	return shedGroupName{t.cfg.Pools[unit.pool].Name, unit.region, unit.member}
}

func (t *Tree) loadMemory() loadMemory {
	m := loadMemory{shedding: map[shedGroupName]shedState{}, balanced: map[shedGroupName]balanced{}, balancers: map[string]balancer{}, clock: t.reportClock}
	for i := range t.shedding {
		m.shedding[t.nameOf(&t.shedding[i])] = t.shedding[i].shedState
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		p := &t.cfg.Pools[b.pool]
		m.balancers[p.Name] = balancer{rounds: b.rounds, solves: b.solves, heldUntil: b.heldUntil}
		for j := range b.members {
			m.balanced[shedGroupName{pool: p.Name, member: p.Members[j].Name}] = b.members[j]
		}
	}
	return m
}

// setLoadMemory sets the controllers' state from m, as far as the names exist in t.
func (t *Tree) setLoadMemory(m *loadMemory) {
	t.reportClock = m.clock
	for i := range t.shedding {
		unit := &t.shedding[i]
		if memory, ok := m.shedding[t.nameOf(unit)]; ok {
			memory.rounds.interval = unit.rounds.interval
			unit.shedState = memory
			t.heldUntil = later(t.heldUntil, memory.heldUntil)
		}
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		p := &t.cfg.Pools[b.pool]
		if of, ok := m.balancers[p.Name]; ok {
			b.rounds.stepped, b.solves, b.heldUntil = of.rounds.stepped, of.solves, of.heldUntil
			t.heldUntil = later(t.heldUntil, b.heldUntil)
		}
		for j := range b.members {
			if memory, ok := m.balanced[shedGroupName{pool: p.Name, member: p.Members[j].Name}]; ok {
				b.members[j] = memory
			}
		}
	}
}

// carryOverLoads takes over reports and the state of the controllers.
func (t *Tree) carryOverLoads(before *Tree, loads []Load, m *loadMemory) {
	if len(t.loadTargets) == 0 {
		return
	}
	type name struct {
		source string
		at     string
	}
	nameOf := func(target LoadTarget) name { return name{target.Source.Name, target.Addr.String()} }
	known := map[name]Load{}
	for i, load := range loads { // empty before the first reports
		known[nameOf(before.loadTargets[i])] = load
	}
	d := &t.next
	d.begin(t.state.Load())
	d.copyOnWrite()
	d.loads = make([]Load, len(t.loadTargets))
	for i, target := range t.loadTargets {
		d.loads[i] = known[nameOf(target)]
	}
	t.setLoadMemory(m)
	d.applyReports()
}

// LoadMemory returns the state to be passed to RestoreLoads of another process.
func (t *Tree) LoadMemory() (saved LoadMemory) {
	t.writing.Lock()
	defer t.writing.Unlock()
	for i := range t.shedding {
		u := &t.shedding[i]
		if u.rounds.stepped.IsZero() {
			continue
		}
		name := t.nameOf(u)
		saved.Shedding = append(saved.Shedding, ShedMemory{
			Pool: name.pool, Region: name.region, Member: name.member, Kept: u.kept, Within: u.within,
			At: u.rounds.stepped, ShareMemory: u.lag.saved(u.demand),
		})
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		p := &t.cfg.Pools[b.pool]
		for j := range b.members {
			if m := &b.members[j]; m.estimated && b.solves {
				saved.Balanced = append(saved.Balanced, BalanceMemory{
					Pool: p.Name, Member: p.Members[j].Name, At: b.rounds.stepped, ShareMemory: m.lag.saved(m.demand),
				})
			}
		}
	}
	return saved
}

func (l *lagged) saved(demand float64) ShareMemory {
	return ShareMemory{Share: l.share, Traffic: l.traffic, Since: l.since, Demand: demand}
}

// maxRestoredAge is how old the last report may be for saved state to be used after a restart.
const maxRestoredAge = 10 * time.Minute

// RestoreLoads restores the state of the load controllers from another process, until
// the first reports: parts are kept without a report for as long as a report would be fresh. State that
// is too old or impossible is dropped, and times after now become now. Call it before the first SetLoads.
func (t *Tree) RestoreLoads(saved LoadMemory, now time.Time) {
	t.writing.Lock()
	defer t.writing.Unlock()
	m := saved.byName(now)
	t.setLoadMemory(&m)
	t.holdRestored(now)
	d := &t.next
	d.begin(t.state.Load())
	d.copyOnWrite()
	d.applyReports()
}

// byName returns the state that saved has, by names. State that is too old or impossible is dropped, and times after now become now.
func (saved *LoadMemory) byName(now time.Time) loadMemory {
	m := loadMemory{shedding: map[shedGroupName]shedState{}, balanced: map[shedGroupName]balanced{}, balancers: map[string]balancer{}}
	for _, s := range saved.Shedding {
		if s.possible() && isPart(s.Kept) && isPart(s.Within) && now.Sub(s.At) < maxRestoredAge {
			at := earlier(s.At, now)
			m.shedding[shedGroupName{s.Pool, s.Region, s.Member}] = shedState{
				kept: s.Kept, within: s.Within, lag: s.lagged(now), demand: s.Demand, rounds: reportRounds{stepped: at},
			}
			m.setClock(at)
		}
	}
	for _, s := range saved.Balanced {
		if s.possible() && now.Sub(s.At) < maxRestoredAge {
			at := earlier(s.At, now)
			m.balanced[shedGroupName{pool: s.Pool, member: s.Member}] = balanced{lag: s.lagged(now), demand: s.Demand, estimated: true}
			m.balancers[s.Pool] = balancer{rounds: reportRounds{stepped: at}, solves: true}
			m.setClock(at)
		}
	}
	return m
}

// holdRestored keeps restored state until a report arrives, for as
// long as a report is fresh.
func (t *Tree) holdRestored(now time.Time) {
	for i := range t.shedding {
		unit := &t.shedding[i]
		if !unit.rounds.stepped.IsZero() {
			unit.heldUntil = now.Add(t.longestOf(unit, stale))
			t.heldUntil = later(t.heldUntil, unit.heldUntil)
		}
	}
	for i := range t.balancers {
		b := &t.balancers[i]
		if b.rounds.stepped.IsZero() {
			continue
		}
		for m := range b.members {
			b.heldUntil = later(b.heldUntil, now.Add(t.longest(memberRef{uint32(b.pool), uint32(m)}, stale)))
		}
		t.heldUntil = later(t.heldUntil, b.heldUntil)
	}
}

func (m *loadMemory) setClock(at time.Time) { m.clock = later(m.clock, at) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// isPart reports whether x is a part of 1.
func isPart(x float64) bool { return x >= 0 && x <= 1 }

// possible reports whether a controller can have saved s.
func (s *ShareMemory) possible() bool {
	return isPart(s.Share) && isPart(s.Traffic) && s.Demand >= 0 && !math.IsInf(s.Demand, 1)
}

func (s *ShareMemory) lagged(now time.Time) lagged {
	return lagged{share: s.Share, traffic: s.Traffic, since: earlier(s.Since, now)}
}

func stale(of *LoadTarget) time.Duration { return of.Source.Stale }

// expireRestored drops restored parts for which no report has arrived in time.
func (t *Tree) expireRestored(now time.Time) {
	if t.heldUntil.IsZero() || now.Before(t.heldUntil) { // shorter times wait for the longest
		return
	}
	t.heldUntil = time.Time{}
	for i := range t.shedding {
		t.shedding[i].heldUntil = time.Time{}
	}
	for i := range t.balancers {
		t.balancers[i].heldUntil = time.Time{}
	}
	d := &t.next
	d.begin(t.state.Load())
	d.copyOnWrite()
	d.applyReports()
}
