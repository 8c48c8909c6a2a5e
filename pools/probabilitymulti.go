package pools

import (
	"encoding/binary"
	"math"
	"slices"

	"meridian/pools/internal/bitset"
)

// draws divides p among the members that an answer of v.wanted may have, over
// all sequences in which pick may draw them:
//
//	all are drawn                                             each that has the family: 1
//	all have the same probability, and count as one answer    wanted / eligible each
//	the sequences fit into what remains of drawBudget         exact, draw after draw
//	they do not fit                                           by approximate
//
// Sequences that leave the same members to draw from are merged, so that their number
// grows with the sets of members and not with the orders.
//
// If several members of one answer lead to one pool, the probability that it is walked is
// the sum of their probabilities, at most 1.
func (o *distribution) draws(v *frame, p float64) {
	switch {
	case v.wanted == 0:
		for m := range v.canGive.All() {
			o.takes(v, m, p)
		}
	case o.drawsEvenly(v):
		each := min(1, float64(v.wanted)/float64(v.eligible.Count()))
		for m := range v.eligible.All() {
			o.takes(v, m, p*each)
		}
	default:
		o.drawExactly(v, p)
	}
}

// drawBudget is how many draws are computed for one request, fewer for sets of more words:
// five of twenty members take a fifth of it, and all of it takes a tenth of a second.
// A live explain blocks override changes, so the work is bounded.
const drawBudget = 1 << 19

func (o *distribution) drawExactly(v *frame, p float64) {
	clear(v.remainingRegions) // of earlier draws, with other admissions
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

// arrivalTime returns when on average that many members have arrived.
func arrivalTime(rates []float64, wanted int) float64 {
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
	return late
}

// approximate computes draws with too many sequences. Drawing without replacement is a
// race of members that arrive after exponential times with their probabilities as rates;
// the drawn members are those that have arrived when on average that many have. With a
// hundred members or more, the error is less than a hundredth. It ignores
// spread. Members of probability 0, such as full ones under least-load, start after all others have arrived.
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
				v.eligible.Remove(m)
			}
		}
		if racing < wanted && v.eligible.Any() {
			o.approximate(v, p, wanted-racing)
		}
		return
	}
	late := arrivalTime(rates, wanted)
	for m, rate := range rates {
		if rate > 0 {
			o.give(v, m, -p*math.Expm1(-rate*late))
		}
	}
}

// drawsEvenly reports whether all eligible members have the same probability, and
// each counts as one answer.
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
	for m := range v.eligible.All() {
		if !v.canGive.Has(m) || o.uses(v, m)[0] != (chance{1, 1}) {
			return false
		}
	}
	return !v.spread
}

// drawState has the members that are left after some draws.
type drawState struct {
	sets []uint64 // v.eligible, v.canGive and, under spread, v.remainingRegions
	left int      // of the answers
	last int      // the member drawn last
	p    float64
}

// load restores v from w.
func (w *drawState) load(v *frame) {
	at := copy(v.eligible, w.sets)
	at += copy(v.canGive, w.sets[at:])
	copy(v.remainingRegions, w.sets[at:])
}

// draw is one iteration of the loop of Scratch.pick, for all members that may be drawn, and
// returns their number.
func (o *distribution) draw(v *frame, w drawState, drawn int, next *drawStates) int {
	s := o.scratch
	w.load(v)
	if drawn > 0 && !v.redraws(false) {
		o.drawOne(v, w, v.drawable().After(w.last), 1, next)
		return 1
	}
	chances := chancesOf(func(f func(int, float64)) { s.chances(v, v.drawable(), f) })
	for _, c := range chances {
		w.load(v)
		v.drawable() // starts a new round, if one begins
		o.drawOne(v, w, c.of, c.p, next)
	}
	return len(chances)
}

// drawOne is Scratch.answerMember of m, and adds the state that follows.
func (o *distribution) drawOne(v *frame, w drawState, m int, p float64, next *drawStates) {
	s := o.scratch
	v.eligible.Remove(m)
	s.passRegion(v, m)
	given := []chance{{m, 1}}
	if !v.canGive.Has(m) {
		if s.familySubstitutes(v, m); !v.scratchSet.Any() {
			next.add(v, w.left-1, m, w.p*p)
			return
		}
		given = chancesOf(func(f func(int, float64)) { s.chances(v, v.scratchSet, f) })
	}
	for _, c := range given {
		q := w.p * p * c.p
		next.taken[c.of] += q
		uses := o.uses(v, c.of)
		v.canGive.Remove(c.of)
		for _, n := range uses {
			next.add(v, w.left-n.of, m, q*n.p)
		}
		v.canGive.Add(c.of)
	}
}

// chance is the probability of a member, or of a number.
type chance struct {
	of int
	p  float64
}

// chancesOf collects what Scratch.chances yields, for sets that change during the loop.
func chancesOf(each func(func(m int, p float64))) (all []chance) {
	each(func(m int, p float64) {
		if p > 0 {
			all = append(all, chance{m, p})
		}
	})
	return all
}

// uses returns how many answers a member may use up, and their probabilities.
func (o *distribution) uses(v *frame, m int) (all []chance) {
	mem := &o.scratch.tree.members[v.first+uint32(m)]
	if mem.child == none && max(mem.n4, mem.n6) > 1 && o.scratch.recordType == 0 {
		for joined, p := range o.addressSubsets(v, m) {
			all = append(all, chance{len(joined), p})
		}
	}
	if all == nil {
		return []chance{{1, 1}}
	}
	return all
}

// drawStates are the states after the same number of draws.
type drawStates struct {
	list  []drawState
	at    map[string]int // by what is left
	key   []byte         // scratch
	taken []float64      // by member: the probability that the answer contains it, over all draws so far
}

// add adds a sequence that leads to the state of v, unless nothing is drawn from there.
func (w *drawStates) add(v *frame, left, last int, p float64) {
	if left <= 0 || !v.eligible.Any() {
		return
	}
	if v.redraws(false) {
		last = 0 // not needed
	}
	w.key = binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(w.key[:0], uint32(left)), uint32(last))
	for _, set := range [3]bitset.Set{v.eligible, v.canGive, v.remainingRegions} {
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
