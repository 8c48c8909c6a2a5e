package answer

import (
	"maps"
	"sync"

	"meridian/config"
	"meridian/pools"
	"meridian/snapshot"
)

// answerCounts are the counts of the answers of one snapshot: for each zone its queries, for each pool and mode its
// answers, for each member the answers with its addresses. Each responder that answers from the snapshot has a
// counterSet of its own; the indices in all of them are those of the snapshot:
//
//	zones | pools, each with its modes | members
type answerCounts struct {
	config  *config.Config // not the snapshot: the counts of updated zones would keep the zones before the updates in memory
	tree    *pools.Tree
	pools   uint32 // the index of the first pool
	members uint32 // of the first member
	size    int

	mu   sync.Mutex // guards all below
	sets []*counterSet
	gone []uint64 // the sums of the sets of removed responders; nil: none
}

func newAnswerCounts(s *snapshot.Snapshot) *answerCounts {
	a := &answerCounts{config: s.Config, tree: s.Pools, pools: uint32(len(s.Config.Zones))}
	a.members = a.pools + uint32(len(s.Config.Pools)*pools.ModeCount)
	a.size = int(a.members) + s.Pools.MemberCount()
	return a
}

// add makes the counters of one responder.
func (a *answerCounts) add() *counterSet {
	s := newCounterSet(a.size)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sets = append(a.sets, &s)
	return &s
}

// remove removes the counters of a removed responder, and keeps their counts.
func (a *answerCounts) remove(s *counterSet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone == nil {
		a.gone = make([]uint64, a.size)
	}
	s.addTo(a.gone)
	for i := range a.sets {
		if a.sets[i] == s {
			a.sets[i] = a.sets[len(a.sets)-1]
			a.sets = a.sets[:len(a.sets)-1]
			return
		}
	}
}

// sums returns the sums of all counters.
func (a *answerCounts) sums() []uint64 { return a.sumsBetween(0, uint32(a.size)) }

// sumsBetween returns the sums of the counters from one index up to another.
func (a *answerCounts) sumsBetween(from, to uint32) []uint64 {
	sums := make([]uint64, to-from)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone != nil {
		copy(sums, a.gone[from:to])
	}
	for _, s := range a.sets {
		for i := range sums {
			sums[i] += s.published[from+uint32(i)].Load()
		}
	}
	return sums
}

// PoolMode is a pool and how it answered.
type PoolMode struct{ Pool, Mode string }

// AnswerTotals counts answers by name since the server was created. Counts of zones, pools and members that a reload has
// removed are kept under the empty name, so that sums never decrease.
type AnswerTotals struct {
	Zones   map[string]uint64 // queries, by zone
	Pools   map[PoolMode]uint64
	Members map[pools.MemberNames]uint64 // answers with an address of the member
}

func newAnswerTotals() AnswerTotals {
	return AnswerTotals{Zones: map[string]uint64{}, Pools: map[PoolMode]uint64{}, Members: map[pools.MemberNames]uint64{}}
}

// addTo adds the counts of the snapshot to t. It sets the names without a count to 0: a counter that first appears with
// its first event has no rate.
func (a *answerCounts) addTo(t *AnswerTotals) {
	sums := a.sums()
	for i := range a.config.Zones {
		t.Zones[string(a.config.Zones[i].Name)] += sums[i]
	}
	at := a.pools
	for i := range a.config.Pools {
		for mode := range pools.ModeCount {
			t.Pools[PoolMode{a.config.Pools[i].Name, pools.Mode(mode).String()}] += sums[at]
			at++
		}
	}
	for id, names := range a.tree.MemberNames() {
		t.Members[names] += sums[a.members+uint32(id)]
	}
}

// answerLedger holds the counts of all snapshots that the server has answered from.
type answerLedger struct {
	mu   sync.Mutex // guards all below
	live []*answerCounts
	past AnswerTotals // of replaced snapshots
}

// begin adds the counts of a snapshot before it answers.
func (l *answerLedger) begin(a *answerCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live = append(l.live, a)
}

// end moves the counts of a snapshot that answers no more to the past. Names that next lacks become empty.
func (l *answerLedger) end(a, next *answerCounts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := newAnswerTotals()
	if l.past.Zones != nil {
		ended = l.past
	}
	a.addTo(&ended)
	l.past = ended.within(next)
	for i := range l.live {
		if l.live[i] == a {
			l.live = append(l.live[:i], l.live[i+1:]...)
			return
		}
	}
}

// within returns the counts of t with the names that a snapshot has.
func (t *AnswerTotals) within(a *answerCounts) AnswerTotals {
	present := newAnswerTotals()
	a.addTo(&present)
	kept := newAnswerTotals()
	for zone, n := range t.Zones {
		if _, ok := present.Zones[zone]; !ok {
			zone = ""
		}
		kept.Zones[zone] += n
	}
	for pool, n := range t.Pools {
		if _, ok := present.Pools[pool]; !ok {
			pool.Pool = ""
		}
		kept.Pools[pool] += n
	}
	for names, n := range t.Members {
		if _, ok := present.Members[names]; !ok {
			names.Member = ""
			if _, ok := present.Pools[PoolMode{names.Pool, pools.Normal.String()}]; !ok {
				names.Pool = ""
			}
		}
		kept.Members[names] += n
	}
	return kept
}

// poolAnswers returns the sums of the answers of each pool, over all snapshots.
func (l *answerLedger) poolAnswers() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]uint64{}
	for pool, n := range l.past.Pools {
		all[pool.Pool] += n
	}
	for _, a := range l.live {
		sums := a.sumsBetween(a.pools, a.members)
		for i := range a.config.Pools {
			for mode := range pools.ModeCount {
				all[a.config.Pools[i].Name] += sums[i*pools.ModeCount+mode]
			}
		}
	}
	return all
}

// totals returns the counts of all snapshots.
func (l *answerLedger) totals() AnswerTotals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := newAnswerTotals()
	maps.Copy(t.Zones, l.past.Zones)
	maps.Copy(t.Pools, l.past.Pools)
	maps.Copy(t.Members, l.past.Members)
	for _, a := range l.live {
		a.addTo(&t)
	}
	return t
}
