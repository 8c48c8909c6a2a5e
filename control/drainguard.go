package control

import (
	"fmt"
	"strings"

	"meridian/config"
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
			if before[b.Pool].answers(b) && !after[b.Pool].answers(b) {
				lost = append(lost, boundName(b, view).String())
			}
		}
	}
	return lostAnswers(doing, again, lost)
}

// String returns the name, and the type and the view that it is bound for, if it is for one.
func (b BoundName) String() string {
	text := string(b.Name)
	if b.Type != "" {
		text += " " + b.Type
	}
	if b.View != "" {
		text += " (view " + b.View + ")"
	}
	return text
}

// inFamilies reports whether a pool gives an answer, by pools.Family.
type inFamilies [2]bool

// answers reports whether the pool gives an answer to some query for a name.
func (f inFamilies) answers(b *config.BalancedName) bool {
	switch {
	case b.OnlyAAAA:
		return f[pools.IPv6]
	case b.AAAA != nil:
		return f[pools.IPv4]
	}
	return f[pools.IPv4] || f[pools.IPv6]
}

// answering returns the families that each pool gives an answer in.
func answering(tree *pools.Tree) map[string]inFamilies {
	found := map[string]inFamilies{}
	for p := range tree.Status() {
		found[p.Pool] = inFamilies{pools.IPv4: p.Mode[pools.IPv4] != pools.Dead, pools.IPv6: p.Mode[pools.IPv6] != pools.Dead}
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
