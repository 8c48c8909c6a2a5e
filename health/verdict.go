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
