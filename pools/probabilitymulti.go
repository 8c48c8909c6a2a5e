package pools

import (
	"encoding/binary"
	"math"
	"slices"
)

// draws shares p out among the members that an answer of v.wanted may have, in
// all ways in which pick may draw them:
//
//	everybody is drawn                                    each that has the family, for sure
//	each is as likely as any other, and one of the answer wanted / eligible each
//	the ways are no more draws than are left of mostDraws the ways, draw after draw
//	they are more                                         by race
//
// Ways that leave the same members to draw from are one, so that their number
// grows with the sets of members and not with the orders.
//
// Where several members of one answer lead to one pool, how likely it is walked is
// the sum of how likely they are drawn, at most 1.
func (o *distribution) draws(v *frame, p float64) {
	switch {
	case v.wanted == 0:
		for m := range v.canGive.all() {
			o.takes(v, m, p)
		}
	case o.drawsEvenly(v):
		each := min(1, float64(v.wanted)/float64(v.eligible.count()))
		for m := range v.eligible.all() {
			o.takes(v, m, p*each)
		}
	default:
		o.drawExactly(v, p)
	}
}

// drawBudget is how many draws are gone through for one question, the fewer the more words
// the sets have: five of twenty members take a fifth of it, and all of it a tenth of a second.
// Whoever asks a running server is waited for by all who would steer it.
const drawBudget = 1 << 19

func (o *distribution) drawExactly(v *frame, p float64) {
	clear(v.remainingRegions) // of what was drawn before, where others were admitted
	whole := drawState{sets: slices.Concat(v.eligible, v.canGive, v.remainingRegions), left: v.wanted, p: 1}
	taken := make([]float64, v.members)
	layer := []drawState{whole}
	for drawn := 0; len(layer) > 0; drawn++ {
		next := drawStates{at: map[string]int{}, taken: taken}
		for _, w := range layer {
			if o.left <= 0 {
				whole.load(v)
				o.approximate(v, p, v.wanted)
				return
			}
			o.left -= o.draw(v, w, drawn, &next) * int(v.words)
		}
		layer = next.list
	}
	for m, chance := range taken {
		if chance > 0 {
			o.takes(v, m, p*chance)
		}
	}
}

// approximate is draws of so many where there are too many ways. Drawing without replacement is a
// race of members that arrive after exponential times at the rates of their odds;
// who is there at the time at which on average that many are has been drawn. Of a
// hundred members and more, that errs by less than a hundredth. It knows nothing of
// spread. Those without odds, as under least-load the full ones, start when all others are in.
func (o *distribution) approximate(v *frame, p float64, wanted int) {
	rates := make([]float64, v.members)
	racing := 0
	o.scratch.chances(v, v.eligible, func(m int, chance float64) {
		if rates[m] = chance; chance > 0 {
			racing++
		}
	})
	if racing <= wanted {
		for m, rate := range rates {
			if rate > 0 {
				o.give(v, m, p)
				v.eligible.remove(m)
			}
		}
		if racing < wanted && v.eligible.any() {
			o.approximate(v, p, wanted-racing)
		}
		return
	}
	arrived := func(at float64) (sum float64) {
		for _, rate := range rates {
			sum -= math.Expm1(-rate * at)
		}
		return sum
	}
	early, late := 0.0, 1.0
	for late < 1e15 && arrived(late) < float64(wanted) {
		late *= 2
	}
	for range 60 {
		if middle := (early + late) / 2; arrived(middle) < float64(wanted) {
			early = middle
		} else {
			late = middle
		}
	}
	for m, rate := range rates {
		if rate > 0 {
			o.give(v, m, -p*math.Expm1(-rate*late))
		}
	}
}

// drawsEvenly reports whether all eligible members are as likely in an answer, and
// each is one of it.
func (o *distribution) drawsEvenly(v *frame) bool {
	switch v.policy {
	case roundRobin, all:
	case weighted, proximity, latency, geolocation:
		if !v.even || len(v.slow) > 0 || v.byNetwork {
			return false
		}
	default:
		return false
	}
	for m := range v.eligible.all() {
		if !v.canGive.has(m) || o.uses(v, m)[0] != (chance{1, 1}) {
			return false
		}
	}
	return !v.spread
}

// drawState is what is left after some draws.
type drawState struct {
	sets []uint64 // v.eligible, v.giving and, under spread, v.apart
	left int      // of the answers
	last int      // the member drawn last
	p    float64
}

// load makes v stand where w does.
func (w *drawState) load(v *frame) {
	at := copy(v.eligible, w.sets)
	at += copy(v.canGive, w.sets[at:])
	copy(v.remainingRegions, w.sets[at:])
}

// draw is a turn of the loop of Scratch.pick, for all that may be drawn, and tells
// how many those are.
func (o *distribution) draw(v *frame, w drawState, drawn int, next *drawStates) int {
	s := o.scratch
	w.load(v)
	if drawn > 0 && !v.redraws(false) {
		o.drawOne(v, w, v.drawable().after(w.last), 1, next)
		return 1
	}
	chances := chancesOf(func(f func(int, float64)) { s.chances(v, v.drawable(), f) })
	for _, c := range chances {
		w.load(v)
		v.drawable() // a new round, where one begins
		o.drawOne(v, w, c.of, c.p, next)
	}
	return len(chances)
}

// drawOne is Scratch.give of m, and what is left then.
func (o *distribution) drawOne(v *frame, w drawState, m int, p float64, next *drawStates) {
	s := o.scratch
	v.eligible.remove(m)
	s.passRegion(v, m)
	given := []chance{{m, 1}}
	if !v.canGive.has(m) {
		if s.familySubstitutes(v, m); !v.scratchSet.any() {
			next.add(v, w.left-1, m, w.p*p)
			return
		}
		given = chancesOf(func(f func(int, float64)) { s.chances(v, v.scratchSet, f) })
	}
	for _, c := range given {
		q := w.p * p * c.p
		next.taken[c.of] += q
		uses := o.uses(v, c.of)
		v.canGive.remove(c.of)
		for _, n := range uses {
			next.add(v, w.left-n.of, m, q*n.p)
		}
		v.canGive.add(c.of)
	}
}

// chance is how likely a member is, or a number.
type chance struct {
	of int
	p  float64
}

// chancesOf lists the chances that Scratch.chances tells, for sets that change meanwhile.
func chancesOf(tell func(func(m int, p float64))) (all []chance) {
	tell(func(m int, p float64) {
		if p > 0 {
			all = append(all, chance{m, p})
		}
	})
	return all
}

// uses is how many answers a member may use up, and how likely that is.
func (o *distribution) uses(v *frame, m int) (all []chance) {
	mem := &o.scratch.tree.members[v.first+uint32(m)]
	if mem.child == none && max(mem.n4, mem.n6) > 1 {
		for joined, p := range o.addressSubsets(v, m) {
			all = append(all, chance{len(joined), p})
		}
	}
	if all == nil {
		return []chance{{1, 1}}
	}
	return all
}

// drawStates are those after the same number of draws.
type drawStates struct {
	list  []drawState
	at    map[string]int // by what is left
	key   []byte         // scratch
	taken []float64      // by member: how likely it is in the answer, by all draws until now
}

// add adds a way that leads where v stands, unless nothing is drawn from there.
func (w *drawStates) add(v *frame, left, last int, p float64) {
	if left <= 0 || !v.eligible.any() {
		return
	}
	if v.redraws(false) {
		last = 0 // of no matter
	}
	w.key = binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(w.key[:0], uint32(left)), uint32(last))
	for _, set := range [3]bitset{v.eligible, v.canGive, v.remainingRegions} {
		for _, word := range set {
			w.key = binary.NativeEndian.AppendUint64(w.key, word)
		}
	}
	i, ok := w.at[string(w.key)]
	if !ok {
		i = len(w.list)
		w.at[string(w.key)] = i
		w.list = append(w.list, drawState{sets: slices.Concat(v.eligible, v.canGive, v.remainingRegions), left: left, last: last})
	}
	w.list[i].p += p
}
