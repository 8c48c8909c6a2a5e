package control

import (
	"fmt"
	"strings"

	"meridian/dnsname"
	"meridian/pools"
)

// maxNamed is the maximum number of names in an error.
const maxNamed = 5

// checkOverride returns an error if an override would leave a name without an answer: a member
// that is drained or forced down is not answered even if the pool fails open.
func (at *view) checkOverride(said *Override, under func() (*sides, error)) error {
	if !said.removes() {
		return nil
	}
	again := "set it"
	switch said.Kind {
	case pools.Drained.String():
		again = "drain it"
	case pools.ForcedDown.String():
		again = "force it down"
	}
	return checkAnswers(said.doing(), again, under)
}

// checkAnswers returns an error if a change leaves names without an answer that have one now. again is how to repeat it.
func checkAnswers(doing, again string, under func() (*sides, error)) error {
	s, err := under()
	if err != nil {
		return err
	}
	cfg, before, after := s.before.Config, answering(s.before.Pools), answering(s.after.Pools)
	var lost []string
	for i := range cfg.Zones {
		for b, view := range cfg.Zones[i].Bindings() {
			if before[b.Pool] && !after[b.Pool] {
				lost = append(lost, nameInView(b.Name, view))
			}
		}
	}
	return lostAnswers(doing, again, lost)
}

// nameInView returns a name, and the view if it is bound for the clients of one.
func nameInView(name dnsname.Name, view string) string {
	if view == "" {
		return string(name)
	}
	return fmt.Sprintf("%s (view %s)", name, view)
}

// answering returns the pools that give an answer in some family.
func answering(tree *pools.Tree) map[string]bool {
	found := map[string]bool{}
	for p := range tree.Status() {
		found[p.Pool] = p.Mode[pools.IPv4] != pools.Dead || p.Mode[pools.IPv6] != pools.Dead
	}
	return found
}

// lostAnswers returns the error of a change that leaves names without an answer; nil: none. again is how to
// repeat it.
func lostAnswers(doing, again string, lost []string) error {
	if len(lost) == 0 {
		return nil
	}
	listed := strings.Join(lost[:min(maxNamed, len(lost))], ", ")
	if more := len(lost) - maxNamed; more > 0 {
		listed += fmt.Sprintf(" and %d more", more)
	}
	return &RequestError{
		What: fmt.Sprintf("%s would leave no answer for %s", doing, listed),
		Hint: again + ` all the same with --yes; in the API: "force": true`,
	}
}

// removes reports whether an override takes members out of the answers.
func (s *Override) removes() bool {
	percent, _ := parsePercent(s.Value)
	return s.Kind == pools.Drained.String() || s.Kind == pools.ForcedDown.String() || s.Kind == pools.ReducedWeight.String() && percent == 0
}

// doing describes setting an override.
func (s *Override) doing() string {
	switch s.Kind {
	case pools.Drained.String():
		return "draining " + s.Target.String()
	case pools.ForcedUp.String():
		return fmt.Sprintf("forcing %s up", s.Target)
	case pools.ForcedDown.String():
		return fmt.Sprintf("forcing %s down", s.Target)
	}
	return fmt.Sprintf("setting the weight of %s to %s", s.Target, s.Value)
}
