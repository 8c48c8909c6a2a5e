package health

// Verdict is what the probes say of a target.
type Verdict uint8

// The verdicts. Unknown counts as up; Uncertain counts as whatever the verdict
// before it did.
const (
	Unknown Verdict = iota
	Up
	Down
	Uncertain // the probes say something that is not heeded, or have said nothing for too long
)

func (v Verdict) String() string { return [...]string{"unknown", "up", "down", "uncertain"}[v] }

// Outcome is what one probe says of its target.
type Outcome uint8

// The outcomes.
const (
	Inconclusive Outcome = iota // the probe could not be made, for a cause on this machine
	Failed
	Passed
)

func (o Outcome) String() string { return [...]string{"inconclusive", "failed", "passed"}[o] }

// tally is a verdict and how far the results lead towards the next one.
type tally struct {
	verdict Verdict
	last    Outcome // Passed or Failed; Inconclusive before the first of them
	row     int     // how many results in a row equal last
}

// after is the tally after one more result, under a check's rise and fall.
//
//	verdict  outcome       in a row   verdict after
//	-------  ------------  ---------  -------------
//	any      inconclusive  any        as before; the row goes on
//	unknown  passed        any        up    (the first result alone decides)
//	unknown  failed        any        down  (the same)
//	up       failed        < fall     up
//	up       failed        >= fall    down
//	down     passed        < rise     down
//	down     passed        >= rise    up
//	up       passed        any        up
//	down     failed        any        down
func (t tally) after(o Outcome, rise, fall int) tally {
	if o == Inconclusive {
		return t
	}
	if o == t.last {
		t.row++
	} else {
		t.last, t.row = o, 1
	}
	switch {
	case t.verdict == Unknown && o == Passed:
		t.verdict = Up
	case t.verdict == Unknown:
		t.verdict = Down
	case t.verdict == Up && o == Failed && t.row >= fall:
		t.verdict = Down
	case t.verdict == Down && o == Passed && t.row >= rise:
		t.verdict = Up
	}
	return t
}
