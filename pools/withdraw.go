package pools

import (
	"cmp"
	"slices"
	"time"

	"meridian/config"
	"meridian/health"
)

// withdrawals bounds how many members turn down in a short time, so that a
// prober that errs does not take a pool away at once. Who uses it holds
// Tree.writing.
//
// A turn to down withdraws a member that is eligible for a family and by it no
// longer is. So one that is drained, forced, or down already by its region is
// not withdrawn, nor one that has another address of the family that is up. A
// region that is checked is withdrawn as a whole, among the regions that are;
// its members do not count then.
//
//	the turn to down is             withdrawn within the window, with it     it is
//	of somebody never told up       -                                        heeded
//	without a time (a rehearsal)    -                                        heeded
//	of somebody who is down         -                                        heeded
//	any other                       nobody                                   heeded
//	any other                       at most the share in each pool           heeded
//	any other                       more in one of the pools, but no other   heeded: one may always
//	any other                       more in one of the pools                 withheld, as uncertain and up
//
// Who turned down was never told up until then, whatever is said of it meanwhile:
// a push check's report that ends leaves it unknown. A turn that is withheld ends
// with the next verdict that is not down, or is heeded by Tick once it fits.
type withdrawals struct {
	limit  config.MaxWithdraw
	recent map[uint32][]withdrawal // by pool; those of regions at none
	served set                     // of targets: told up, and not down since, by this tree or one before
	news   []Withholding
}

// withdrawal is a member, or checked region, that turned down.
type withdrawal struct {
	member uint32 // its place in the pool; among the checked regions
	at     time.Time
}

// withheld is a turn to down that is not heeded yet.
type withheld struct {
	target uint32
	turn   *health.Turn
}

// Withholding tells that a turn to down is withheld, as uncertain, since with it
// too many members would be withdrawn (max_withdraw), or that it no longer is.
type Withholding struct {
	Turn  health.Turn    // the turn to down
	Users []User         // whom it concerns
	Ended WithholdingEnd // how; Begun: not yet
}

// WithholdingEnd is what became of a Withholding.
type WithholdingEnd uint8

// The ends.
const (
	Begun     WithholdingEnd = iota // none yet
	Heeded                          // it counts as down now
	Recovered                       // its verdict is no longer down
	Forgotten                       // the tree that answers now does not have its target
)

func (e WithholdingEnd) String() string {
	return [...]string{"withheld", "heeded", "recovered", "forgotten"}[e]
}

// Withholdings tells which began and ended since the last call, each once.
func (t *Tree) Withholdings() []Withholding {
	t.writing.Lock()
	defer t.writing.Unlock()
	news := t.withdrawals.news
	t.withdrawals.news = nil
	return news
}

// heed is a turn as answers go by it.
func (d *draft) heed(turn health.Turn) health.Turn {
	w, target := &d.tree.withdrawals, uint32(turn.Index)
	before, verdict := d.withheldTurn(target), counted(&turn)
	switch {
	case verdict == health.Up:
		w.served.add(turn.Index)
		d.endWithholding(before, Recovered)
		return turn
	case verdict == health.Unknown:
		d.endWithholding(before, Recovered)
		return turn
	case w.heeds(&turn, before != nil) || d.isDown(target) || d.withdraw(target, turn.At):
		w.served.remove(turn.Index)
		d.endWithholding(before, Heeded)
		d.heedAt(before, time.Now()) // turn.At is when it was withheld
		return turn
	case before == nil:
		d.withhold(turn)
	}
	turn.To, turn.Held = health.Uncertain, health.Up
	return turn
}

// heeds reports whether a turn to down is heeded whoever was withdrawn.
func (w *withdrawals) heeds(turn *health.Turn, withheld bool) bool {
	return w.limit.Percent == 0 || !withheld && (turn.At.IsZero() || !w.served.has(turn.Index))
}

// heedLate heeds the withheld turns that fit by now, the longest withheld first.
func (d *draft) heedLate(now time.Time) {
	waiting := slices.Clone(d.withheld)
	slices.SortStableFunc(waiting, func(a, b withheld) int { return a.turn.At.Compare(b.turn.At) })
	for _, h := range waiting {
		if d.withdraw(h.target, now) {
			d.heedWithheld(h.turn)
			d.heedAt(h.turn, now)
		}
	}
}

// heedWithheld heeds a turn that is withheld.
func (d *draft) heedWithheld(turn *health.Turn) {
	d.tree.withdrawals.served.remove(turn.Index)
	d.endWithholding(turn, Heeded)
	d.turn(turn)
}

func byTarget(h withheld, target uint32) int { return cmp.Compare(h.target, target) }

// withheldTurn is the turn to down that is withheld for a target; nil: none.
func (st *state) withheldTurn(target uint32) *health.Turn {
	if i, ok := slices.BinarySearchFunc(st.withheld, target, byTarget); ok {
		return st.withheld[i].turn
	}
	return nil
}

func (d *draft) withhold(turn health.Turn) {
	target := uint32(turn.Index)
	d.own()
	i, _ := slices.BinarySearchFunc(d.withheld, target, byTarget)
	d.withheld = slices.Insert(slices.Clone(d.withheld), i, withheld{target, &turn})
	d.tellWithholding(turn, Begun)
}

// endWithholding ends that of a turn; nil: none.
func (d *draft) endWithholding(turn *health.Turn, end WithholdingEnd) {
	if turn == nil {
		return
	}
	d.own()
	i, _ := slices.BinarySearchFunc(d.withheld, uint32(turn.Index), byTarget)
	d.tellWithholding(*turn, end)
	d.withheld = slices.Delete(slices.Clone(d.withheld), i, i+1)
}

func (d *draft) tellWithholding(turn health.Turn, end WithholdingEnd) {
	w := &d.tree.withdrawals
	w.news = append(w.news, Withholding{turn, d.tree.Users(turn.Index), end})
}

// withdraw takes note of whom a target's turning down withdraws, if that is
// within bounds, and reports whether it is.
func (d *draft) withdraw(target uint32, now time.Time) bool {
	fresh := d.withdrawn(target)
	for in, members := range fresh {
		if !d.fits(in, members, now) {
			return false
		}
	}
	w := &d.tree.withdrawals
	for in, members := range fresh {
		kept := slices.DeleteFunc(w.recent[in], func(r withdrawal) bool { return slices.Contains(members, r.member) })
		for _, m := range members {
			kept = append(kept, withdrawal{m, now})
		}
		w.recent[in] = kept
	}
	return true
}

// withdrawn is whom a target's turning down withdraws: members by their pool,
// regions at none.
func (d *draft) withdrawn(target uint32) map[uint32][]uint32 {
	fresh := map[uint32][]uint32{}
	for _, u := range d.tree.users.of(target) {
		if d.withdraws(target, u) {
			fresh[u.pool] = append(fresh[u.pool], u.member)
		}
	}
	for _, region := range d.tree.watched[target] {
		if d.takesRegion(target, region) {
			fresh[none] = append(fresh[none], region)
		}
	}
	return fresh
}

// withdraws reports whether a member is eligible now, and would not be with the
// target down.
func (d *draft) withdraws(target uint32, u use) bool {
	p := &d.tree.pools[u.pool]
	if d.kind(p.first+u.member) != 0 {
		return false
	}
	m := &d.tree.members[p.first+u.member]
	for _, f := range []Family{IPv4, IPv6} {
		others := func(r ref) bool { return r.target != target && d.isUp(r) }
		if d.isEligible(p, int(u.member), f) && !slices.ContainsFunc(d.tree.asked(m, f), others) {
			return true
		}
	}
	return false
}

// takesRegion reports whether a region is not down, and would be with the target down.
func (d *draft) takesRegion(target, region uint32) bool {
	others := func(r ref) bool { return r.target != target && d.isUp(r) }
	return !d.isRegionDown(region) && !slices.ContainsFunc(d.tree.checked[region].refs, others)
}

// fits reports whether members of a pool, or regions, may be withdrawn now.
func (d *draft) fits(in uint32, members []uint32, now time.Time) bool {
	w := &d.tree.withdrawals
	w.recent[in] = slices.DeleteFunc(w.recent[in], func(r withdrawal) bool { return now.Sub(r.at) >= w.limit.Window })
	return !d.fitsFrom(in, members, now).After(now)
}

// fitsFrom is when members of a pool, or regions, may be withdrawn, from now on and
// if nobody else is until then.
func (d *draft) fitsFrom(in uint32, members []uint32, now time.Time) time.Time {
	w := &d.tree.withdrawals
	of := len(d.tree.checked)
	if in != none {
		of = d.undrained(ID(in))
	}
	room := max(0, max(1, of*w.limit.Percent/100)-len(members)) // for others; one may always where there are none
	var others []time.Time
	for _, r := range w.recent[in] {
		if !slices.Contains(members, r.member) {
			others = append(others, r.at.Add(w.limit.Window))
		}
	}
	if len(others) <= room {
		return now
	}
	slices.SortFunc(others, time.Time.Compare)
	return others[len(others)-room-1]
}
