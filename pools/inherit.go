package pools

import (
	"net/netip"
	"slices"
	"time"

	"meridian/health"
)

// Inherit makes what outlives the tree that served before that of t, in place of
// what t had: the overrides, the load reports, what is shed by them and the spills of lost regions, the turns to down that are withheld, who counts as
// withdrawn, and whose turning down would be a withdrawal. Pools, members, checks
// and regions are known by their names. It comes before the first Apply, or the
// verdicts known already would count as first ones.
func (t *Tree) Inherit(before *Tree) {
	before.writing.Lock()
	overrides, withdrawals := before.state.Load().overrides, before.withdrawalsLocked()
	served := slices.Clone(before.withdrawals.served)
	loads, memories := before.state.Load().loads, before.memoriesByName()
	spills := before.spillsByName()
	before.writing.Unlock()
	t.writing.Lock()
	defer t.writing.Unlock()
	t.overrideLocked(overrides)
	t.inheritLoads(before, loads, memories)
	t.inheritSpills(spills)
	t.inheritServed(before, served)
	t.recallLocked(withdrawals, time.Now())
}

// Withdrawals is what max_withdraw goes by beside the verdicts. As JSON it
// outlives the process, so fields may be added and none may change its meaning.
type Withdrawals struct {
	Recent   []Withdrawn `json:"recent,omitempty"`
	Withheld []Withheld  `json:"withheld,omitempty"`
	Late     []Late      `json:"late,omitempty"`
}

// Late is that a target counts as down since At, later than it turned down:
// that was withheld until then.
type Late struct {
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
	At      time.Time  `json:"at"`
}

// Withdrawn is a member, or by Region alone a checked region, that turned down.
type Withdrawn struct {
	Pool   string    `json:"pool,omitempty"`
	Member string    `json:"member,omitempty"`
	Region string    `json:"region,omitempty"`
	At     time.Time `json:"at"`
}

// Withheld is a turn of a target to down that is not heeded yet.
type Withheld struct {
	Check   string     `json:"check"`
	Address netip.Addr `json:"address"`
	At      time.Time  `json:"at"`
	Reason  string     `json:"reason"`
}

// Withdrawals is what another process is to Recall.
func (t *Tree) Withdrawals() Withdrawals {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.withdrawalsLocked()
}

// Recall makes w, which comes from another process, that of t, in place of what t
// had. What w has for later than now is of a clock that was set back: it counts as
// of now. Like Inherit it comes before the first Apply.
func (t *Tree) Recall(w Withdrawals, now time.Time) {
	w.Recent, w.Withheld, w.Late = slices.Clone(w.Recent), slices.Clone(w.Withheld), slices.Clone(w.Late)
	for i := range w.Recent {
		w.Recent[i].At = earlier(w.Recent[i].At, now)
	}
	for i := range w.Withheld {
		w.Withheld[i].At = earlier(w.Withheld[i].At, now)
	}
	for i := range w.Late {
		w.Late[i].At = earlier(w.Late[i].At, now)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	t.recallLocked(w, now)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (t *Tree) withdrawalsLocked() (w Withdrawals) {
	for in, withdrawn := range t.withdrawals.recent {
		for _, r := range withdrawn {
			if in == none {
				w.Recent = append(w.Recent, Withdrawn{Region: t.checked[r.member].config.Name, At: r.at})
				continue
			}
			p := &t.cfg.Pools[in]
			w.Recent = append(w.Recent, Withdrawn{Pool: p.Name, Member: p.Members[r.member].Name, At: r.at})
		}
	}
	for _, h := range t.state.Load().withheld {
		target := h.turn.Target
		w.Withheld = append(w.Withheld, Withheld{target.Check.Name, target.Addr, h.turn.At, h.turn.Reason})
	}
	for _, l := range t.state.Load().late {
		target := t.targets[l.target]
		w.Late = append(w.Late, Late{target.Check.Name, target.Addr, l.at})
	}
	return w
}

func (t *Tree) recallLocked(w Withdrawals, now time.Time) {
	if t.withdrawals.limit.Percent == 0 { // what was withheld is heeded from now on
		for _, h := range w.Withheld {
			w.Late = append(w.Late, Late{h.Check, h.Address, now})
		}
		t.recallLate(w.Late)
		return
	}
	t.recallLate(w.Late)
	t.recallRecent(w.Recent)
	t.recallWithheld(w.Withheld)
}

func (t *Tree) recallRecent(recent []Withdrawn) {
	clear(t.withdrawals.recent)
	if len(recent) == 0 {
		return
	}
	at := map[Withdrawn]time.Time{} // the keys without their time
	for _, w := range recent {
		key := w
		key.At = time.Time{}
		at[key] = w.At
	}
	t.eachMember(func(u use, _ *member) {
		p := &t.cfg.Pools[u.pool]
		if at, ok := at[Withdrawn{Pool: p.Name, Member: p.Members[u.member].Name}]; ok {
			t.withdrawals.recent[u.pool] = append(t.withdrawals.recent[u.pool], withdrawal{u.member, at})
		}
	})
	for number := range t.checked {
		if at, ok := at[Withdrawn{Region: t.checked[number].config.Name}]; ok {
			t.withdrawals.recent[none] = append(t.withdrawals.recent[none], withdrawal{uint32(number), at})
		}
	}
}

// recallLate notes since when targets count as down, if they do: of one that does
// not the first verdict says so.
func (t *Tree) recallLate(all []Late) {
	if len(all) == 0 && len(t.state.Load().late) == 0 {
		return
	}
	at := map[targetName]time.Time{}
	for _, h := range all {
		at[targetName{h.Check, h.Address.Unmap()}] = h.At
	}
	d := &t.next
	d.begin(t.state.Load())
	d.own()
	d.late = nil
	for i, target := range t.targets {
		if at, ok := at[targetName{target.Check.Name, target.Addr}]; ok {
			d.late = append(d.late, late{uint32(i), at})
		}
	}
	t.publishLocked()
}

// targetName is a target as configurations know it.
type targetName struct {
	check string
	addr  netip.Addr
}

func (t *Tree) recallWithheld(all []Withheld) {
	if len(all) == 0 && len(t.state.Load().withheld) == 0 {
		return
	}
	turns := map[targetName]*Withheld{}
	for i, w := range all {
		turns[targetName{w.Check, w.Address.Unmap()}] = &all[i]
	}
	d := &t.next
	d.begin(t.state.Load())
	d.own()
	d.withheld = nil
	for i, target := range t.targets {
		w, ok := turns[targetName{target.Check.Name, target.Addr}]
		if !ok {
			continue
		}
		turn := health.Turn{Index: i, Target: target, From: health.Up, To: health.Down, Reason: w.Reason, At: w.At}
		d.withheld = append(d.withheld, withheld{uint32(i), &turn})
		d.setVerdict(uint32(i), &health.Turn{To: health.Uncertain, Held: health.Up})
	}
	t.publishLocked()
}

// inheritServed marks the targets whose turning down would be a withdrawal, of
// those of the tree before:
//
//	a target of the same check and address  a member has the address without a check, or another target has it  marked
//	yes                                     any                                                                 as that target
//	no                                      yes                                                                 if one of them was answered as up
//	no                                      no                                                                  no: it is new
//
// served are those of the tree before.
func (t *Tree) inheritServed(before *Tree, served set) {
	if t.withdrawals.limit.Percent == 0 {
		return
	}
	targets, addrs := map[targetName]bool{}, map[netip.Addr]bool{}
	for i, target := range before.targets {
		targets[targetName{target.Check.Name, target.Addr}] = served.has(i)
		if served.has(i) {
			addrs[target.Addr] = true
		}
	}
	before.eachUnchecked(func(a netip.Addr) { addrs[a] = true })
	for i, target := range t.targets {
		was, known := targets[targetName{target.Check.Name, target.Addr}]
		if was || !known && addrs[target.Addr] {
			t.withdrawals.served.add(i)
		}
	}
}

// eachUnchecked calls f with every address that is answered without a check.
func (t *Tree) eachUnchecked(f func(netip.Addr)) {
	t.eachMember(func(_ use, m *member) {
		if m.child != none {
			return
		}
		for _, family := range []Family{IPv4, IPv6} {
			for _, r := range t.addrs(m, family) {
				if r.target == none && r.addr&aliasBit == 0 {
					f(t.addr(family, r.addr))
				}
			}
		}
	})
}
