package plan

import (
	"cmp"
	"fmt"
	"slices"

	"meridian/pools"
)

// Impairment is a pool that does not answer normally, and the affected share of all traffic.
// Each query is in at most one impairment.
type Impairment struct {
	Pool  string `json:"pool"` // the pool of the names; both pools if the change binds them to another
	How   string `json:"how"`  // fail_open, fallback or no_answer
	Share Change `json:"share"`
}

// The kinds of impairment, the worst first.
const (
	noAnswer = iota
	failsOpen
	fallsBack
	impairments
)

// howNames returns the names of the impairments in JSON.
func howNames() [impairments]string { return [...]string{"no_answer", "fail_open", "fallback"} }

// affected returns the part of the class that the change moves or leaves impaired:
//
//	pool after the change                             affected
//	fails open or uses its fallback, as before        traffic that moves
//	fails open or uses its fallback, not before       all: clients that would move are impaired too
//	normal, or no answer                              traffic that moves, which includes a lost answer
func (d *delta) affected() float64 {
	switch d.modes[1] {
	case d.modes[0]:
	case pools.FailedOpen, pools.FallenBack:
		return 1
	}
	return d.moved
}

// impair adds the impairments of a class to a pair's sums.
func (p *pair) impair(weight float64, d *delta) {
	for side, shares := range [2][]float64{d.before, d.after} {
		of := func(how int, share float64) {
			change := &p.impaired[how]
			if side == 0 {
				change.Before += weight * share
			} else {
				change.After += weight * share
			}
		}
		of(noAnswer, shares[noneNumber])
		switch d.modes[side] {
		case pools.FailedOpen:
			of(failsOpen, 1-shares[noneNumber])
		case pools.FallenBack:
			of(fallsBack, 1-shares[noneNumber])
		}
	}
}

// impairments adds the sums of impair to the forecast, the largest after the change first.
func (f *forecaster) impairments(found *Forecast) {
	shares := [impairments]*Change{&found.NoAnswer, &found.FailOpen, &found.Fallback}
	for how, name := range howNames() {
		var all Change
		for _, p := range f.pairs {
			all.Before += p.impaired[how].Before
			all.After += p.impaired[how].After
			if share := p.impaired[how].over(f.all.weight); share.Before > epsilon || share.After > epsilon {
				found.Impaired = append(found.Impaired, Impairment{f.title(p), name, share})
			}
		}
		*shares[how] = all.over(f.all.weight)
	}
	slices.SortStableFunc(found.Impaired, func(a, b Impairment) int {
		return cmp.Or(compareParts(b.Share.After, a.Share.After), cmp.Compare(a.Pool, b.Pool))
	})
}

// Troubles returns a sentence for each kind of impairment after the change: the share of the
// traffic, and its pools.
func (f *Forecast) Troubles() []string {
	var all []string
	for how, say := range [impairments]string{
		noAnswer:  "%s of the traffic gets no answer",
		failsOpen: "%s of the traffic is answered by pools that fail open",
		fallsBack: "%s of the traffic is answered by fallbacks",
	} {
		share := [impairments]Change{f.NoAnswer, f.FailOpen, f.Fallback}[how]
		if share.After <= epsilon {
			continue
		}
		text := fmt.Sprintf(say, percent(share.After))
		if share.Before > epsilon {
			text += " (before: " + percent(share.Before) + ")"
		}
		all = append(all, text+": "+f.poolsThat(howNames()[how]))
	}
	return all
}

// poolsThat lists the first few pools with a kind of impairment.
func (f *Forecast) poolsThat(how string) string {
	var names []string
	for _, i := range f.Impaired {
		if i.How == how && i.Share.After > epsilon {
			names = append(names, i.Pool)
		}
	}
	return abbreviate(names)
}

// Effect returns the share that moves, and the affected share if it is larger.
func (f *Forecast) Effect() string {
	if f.Affected-f.Moved > epsilon {
		return percent(f.Affected) + " of the traffic is affected; " + percent(f.Moved) + " moves"
	}
	return percent(f.Moved) + " of the traffic moves"
}
