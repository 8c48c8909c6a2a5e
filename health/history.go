package health

import (
	"fmt"
	"slices"
	"strings"

	"meridian/health/probe"
)

// historySize is the number of results, and of transitions, kept for each target.
const historySize = 10

// history holds the last results and transitions of a target.
type history struct {
	ring        [historySize]probe.Result
	added       int          // results since the start
	transitions []Transition // oldest first, at most historySize
}

func (h *history) add(r probe.Result) {
	h.ring[h.added%historySize] = r
	h.added++
}

// results returns a copy of the kept results, newest first.
func (h *history) results() []probe.Result {
	kept := min(h.added, historySize)
	out := make([]probe.Result, kept)
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

// transitionsFor returns a copy of the kept transitions, newest first, with a watch's index and target.
func (h *history) transitionsFor(index int, target Target) []Transition {
	out := slices.Clone(h.transitions)
	slices.Reverse(out)
	for i := range out {
		out[i].Index, out[i].Target = index, target
	}
	return out
}

// summary summarizes the last results, newest first: "3 failed, 7 passed".
func (h *history) summary() string {
	var runs []string
	results := h.results()
	for len(results) > 0 {
		o := results[0].Outcome
		run := slices.IndexFunc(results, func(r probe.Result) bool { return r.Outcome != o })
		if run < 0 {
			run = len(results)
		}
		runs = append(runs, fmt.Sprintf("%d %v", run, o))
		results = results[run:]
	}
	return strings.Join(runs, ", ")
}
