package pools

import (
	"cmp"
	"slices"
	"time"

	"meridian/health"
)

// late is that a target counts as down since later than it turned down:
// max_withdraw withheld that until then. It ends with the next verdict that is
// not down.
type late struct {
	target uint32
	at     time.Time
}

func byLateTarget(l late, target uint32) int { return cmp.Compare(l.target, target) }

// heedAt notes when a turn that was withheld was heeded; nil: none was.
func (d *draft) heedAt(turn *health.Turn, at time.Time) {
	if turn == nil {
		return
	}
	d.own()
	target := uint32(turn.Index)
	i, found := slices.BinarySearchFunc(d.late, target, byLateTarget)
	d.late = slices.Clone(d.late)
	if !found {
		d.late = slices.Insert(d.late, i, late{})
	}
	d.late[i] = late{target, at}
}

// forgetLate is for a target that does not count as down.
func (d *draft) forgetLate(target uint32) {
	if i, found := slices.BinarySearchFunc(d.late, target, byLateTarget); found {
		d.own()
		d.late = slices.Delete(slices.Clone(d.late), i, i+1)
	}
}

// heededAt is since when a target counts as down whose turn was withheld before;
// zero: it was not, or does not.
func (st *state) heededAt(target uint32) time.Time {
	if !st.isDown(target) {
		return time.Time{}
	}
	if i, found := slices.BinarySearchFunc(st.late, target, byLateTarget); found {
		return st.late[i].at
	}
	return time.Time{}
}

// Withheld tells the turns to down that are withheld now, in the order of Targets.
func (t *Tree) Withheld() []Withholding {
	st := t.state.Load()
	all := make([]Withholding, len(st.withheld))
	for i, h := range st.withheld {
		all[i] = Withholding{*h.turn, t.Users(h.turn.Index), Begun}
	}
	return all
}

// Ends is withholdings of a tree before, with what became of them in t, where they
// are not withheld:
//
//	t has the target  it counts as  ended
//	no                -             forgotten
//	yes               down          heeded
//	yes               up            recovered
func (t *Tree) Ends(before []Withholding) []Withholding {
	if len(before) == 0 {
		return nil
	}
	st, indexes := t.state.Load(), make(map[targetName]uint32, len(t.targets))
	for i, target := range t.targets {
		indexes[targetName{target.Check.Name, target.Addr}] = uint32(i)
	}
	ended := slices.Clone(before)
	for i := range ended {
		target := &ended[i].Turn.Target
		switch index, found := indexes[targetName{target.Check.Name, target.Addr}]; {
		case !found:
			ended[i].Ended = Forgotten
		case st.isDown(index):
			ended[i].Ended = Heeded
		default:
			ended[i].Ended = Recovered
		}
	}
	return ended
}

// Fits is when the turn to down of a target, which is withheld, fits max_withdraw
// at the earliest: if nobody else is withdrawn from now until then.
func (t *Tree) Fits(target int, now time.Time) time.Time {
	t.writing.Lock()
	defer t.writing.Unlock()
	d := &draft{state: t.state.Load()}
	fits := now
	for in, members := range d.withdrawn(uint32(target)) {
		if from := d.fitsFrom(in, members, now); from.After(fits) {
			fits = from
		}
	}
	return fits
}
