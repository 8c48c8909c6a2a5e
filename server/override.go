package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"meridian/pools"
)

// Override is an operator's word on a target, as the API and the state file have it.
type Override struct {
	Target  Selector  `json:"target"`
	Kind    string    `json:"kind"` // as pools.Kind writes it
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`   // when it ends by itself; zero: never
	Unknown bool      `json:"unknown,omitzero"` // the running configuration has no such target

	Replaced *Replaced `json:"replaced,omitempty"` // what held of the very target when it was said; nil: nothing
}

// Replaced is an override in whose place another came. It does not come back when that
// is undone.
type Replaced struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // as of Override
}

const (
	maxOverrides = 10_000
	maxReason    = 500 // octets
	maxOverride  = 10 * 365 * 24 * time.Hour
)

// Kinds are those of overrides, in the order of the manual.
func Kinds() []pools.Kind { return []pools.Kind{pools.Drained, pools.ForcedUp, pools.ForcedDown} }

// ParseKind reads a kind of override.
func ParseKind(s string) (pools.Kind, error) {
	var known []string
	for _, k := range Kinds() {
		if k.String() == s {
			return k, nil
		}
		known = append(known, fmt.Sprintf("%q", k))
	}
	return 0, fmt.Errorf("%q is not a kind of override; %s", s, strings.Join(known, ", "))
}

// overrides is what operators have said and what still holds: at most one a
// target, the latest last. The methods make a new one.
type overrides []Override

// with is o with one more, in place of what was said of its target before.
func (o overrides) with(said Override) overrides {
	return append(o.without(said.Target), said)
}

// replaced is what holds at now of exactly t.
func (o overrides) replaced(t Selector, now time.Time) *Replaced {
	s := o.of(t)
	if s == nil || s.ended(now) {
		return nil
	}
	return &Replaced{s.Kind, s.Reason, s.Since, s.Until}
}

func (o overrides) without(t Selector) overrides {
	return slices.DeleteFunc(slices.Clone(o), func(s Override) bool { return s.Target == t })
}

// at is those that have not ended at now.
func (o overrides) at(now time.Time) overrides {
	return slices.DeleteFunc(slices.Clone(o), func(s Override) bool { return s.ended(now) })
}

func (s *Override) ended(now time.Time) bool { return !s.Until.IsZero() && !now.Before(s.Until) }

// of is what is said of exactly t; nil: nothing.
func (o overrides) of(t Selector) *Override {
	for i := range o {
		if o[i].Target == t {
			return &o[i]
		}
	}
	return nil
}

// forTree is the overrides as pools takes them.
func (o overrides) forTree() []pools.Override {
	list := make([]pools.Override, len(o))
	for i, s := range o {
		kind, err := ParseKind(s.Kind)
		if err != nil {
			panic(err) // valid saw it
		}
		list[i] = pools.Override{
			Pool: s.Target.Pool, Member: s.Target.Member, Region: s.Target.Region,
			Kind: kind, Reason: s.Reason, Since: s.Since, Until: s.Until,
		}
	}
	return list
}

// valid says what is wrong with one that comes from outside.
func (s *Override) valid() error {
	if _, err := ParseKind(s.Kind); err != nil {
		return err
	}
	if s.Target == (Selector{}) {
		return errors.New("no target; pool/member, pool or region:NAME")
	}
	if r := s.Replaced; r != nil {
		_, err := ParseKind(r.Kind)
		if err = errors.Join(err, validReason(r.Reason)); err != nil {
			return fmt.Errorf("what it replaced: %w", err)
		}
	}
	return validReason(s.Reason)
}

func validReason(reason string) error {
	switch {
	case len(reason) > maxReason:
		return fmt.Errorf("a reason of %d bytes; at most %d", len(reason), maxReason)
	case strings.ContainsFunc(reason, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }):
		return fmt.Errorf("the reason %+q has characters that do not print; write it on one line, with plain spaces", reason)
	}
	return nil
}

// validSpan says what is wrong with how long an override is to last; 0: until undone.
func validSpan(lasts time.Duration) error {
	if lasts < 0 || lasts > maxOverride {
		return fmt.Errorf("a duration of %v; more than 0, at most %v", lasts, maxOverride)
	}
	return nil
}
