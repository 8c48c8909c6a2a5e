package pools

import (
	"net/netip"

	"meridian/health"
)

// Inherit takes over from the tree that served before whatever outlives it: the
// overrides, the turns to down that are held, and who counts as withdrawn. Pools,
// members, checks and regions are known by their names. It comes before the
// first Apply, or the verdicts known already would count as first ones.
func (t *Tree) Inherit(before *Tree) {
	before.writing.Lock()
	from, recent := before.state.Load(), before.recentByName()
	before.writing.Unlock()
	t.writing.Lock()
	defer t.writing.Unlock()
	t.overrideLocked(from.overrides)
	if t.withdrawals.limit.Percent == 0 {
		return
	}
	t.inheritRecent(recent)
	t.inheritHolds(from.held)
}

// placeName is a member, or by region alone a checked region.
type placeName struct{ pool, member, region string }

func (t *Tree) recentByName() map[placeName]withdrawal {
	names := map[placeName]withdrawal{}
	for in, withdrawn := range t.withdrawals.recent {
		for _, w := range withdrawn {
			if in == none {
				names[placeName{region: t.checked[w.member].config.Name}] = w
				continue
			}
			p := &t.cfg.Pools[in]
			names[placeName{pool: p.Name, member: p.Members[w.member].Name}] = w
		}
	}
	return names
}

func (t *Tree) inheritRecent(recent map[placeName]withdrawal) {
	if len(recent) == 0 {
		return
	}
	t.eachMember(func(u use, _ *member) {
		p := &t.cfg.Pools[u.pool]
		if w, ok := recent[placeName{pool: p.Name, member: p.Members[u.member].Name}]; ok {
			t.withdrawals.recent[u.pool] = append(t.withdrawals.recent[u.pool], withdrawal{u.member, w.at})
		}
	})
	for number := range t.checked {
		if w, ok := recent[placeName{region: t.checked[number].config.Name}]; ok {
			t.withdrawals.recent[none] = append(t.withdrawals.recent[none], withdrawal{uint32(number), w.at})
		}
	}
}

func (t *Tree) inheritHolds(holds []hold) {
	if len(holds) == 0 {
		return
	}
	type name struct {
		check string
		addr  netip.Addr
	}
	turns := map[name]*health.Turn{}
	for _, h := range holds {
		turns[name{h.turn.Target.Check.Name, h.turn.Target.Addr}] = h.turn
	}
	d := &t.next
	d.begin(t.state.Load())
	d.own()
	for i, target := range t.targets {
		before, ok := turns[name{target.Check.Name, target.Addr}]
		if !ok {
			continue
		}
		turn := *before
		turn.Index, turn.Target = i, target
		d.held = append(d.held, hold{uint32(i), &turn})
		d.setVerdict(uint32(i), &health.Turn{To: health.Uncertain, Held: health.Up})
	}
	t.publishLocked()
}
