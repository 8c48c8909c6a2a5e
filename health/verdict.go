package health

// Verdict is the health state of a target.
type Verdict uint8

// The verdicts. Unknown counts as up; Uncertain counts as the verdict before it.
const (
	Unknown Verdict = iota
	Up
	Down
	Uncertain // no recent conclusive result, or a provisional verdict
)

func (v Verdict) String() string { return [...]string{"unknown", "up", "down", "uncertain"}[v] }
