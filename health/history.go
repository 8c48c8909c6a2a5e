package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is what one probe found.
type Result struct {
	Outcome Outcome
	Reason  string        // a sentence with the evidence, e.g. `connect: connection refused`
	Latency time.Duration // from the start of the probe to its outcome
	At      time.Time     // when the probe began
	Expires time.Time     // when the peer's certificate ends, or another of its chain; zero: none was seen
}

// historySize is how many results, and how many turns, are kept for each target.
const historySize = 10

// history keeps the last results and turns of a target.
type history struct {
	ring        [historySize]Result
	added       int          // results since the start
	transitions []Transition // oldest first, at most historySize
}

func (h *history) add(r Result) {
	h.ring[h.added%historySize] = r
	h.added++
}

// results is a copy of what is kept, newest first.
func (h *history) results() []Result {
	kept := min(h.added, historySize)
	out := make([]Result, kept)
	for i := range out {
		out[i] = h.ring[(h.added-1-i)%historySize]
	}
	return out
}

func (h *history) addTransition(t Transition) {
	if len(h.transitions) == historySize {
		h.transitions = slices.Delete(h.transitions, 0, 1)
	}
	h.transitions = append(h.transitions, t)
}

// turned is a copy of the turns that are kept, newest first, as a watch sees its target.
func (h *history) turned(index int, target Target) []Transition {
	out := slices.Clone(h.transitions)
	slices.Reverse(out)
	for i := range out {
		out[i].Index, out[i].Target = index, target
	}
	return out
}

// summary is the last results in short, newest first: "3 failed, 7 passed".
func (h *history) summary() string {
	var rows []string
	results := h.results()
	for len(results) > 0 {
		o := results[0].Outcome
		row := slices.IndexFunc(results, func(r Result) bool { return r.Outcome != o })
		if row < 0 {
			row = len(results)
		}
		rows = append(rows, fmt.Sprintf("%d %v", row, o))
		results = results[row:]
	}
	return strings.Join(rows, ", ")
}
