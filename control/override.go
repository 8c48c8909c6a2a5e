package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"meridian/config"
	"meridian/pools"
)

// Override is an override of a target by an operator or a maintenance window, as in the API and the state file.
type Override struct {
	Target  Selector  `json:"target"`
	Kind    string    `json:"kind"`            // text form of pools.Kind
	Value   string    `json:"value,omitempty"` // of the kind weight: the percentage of its clients that the target keeps
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`   // expiry; zero: never
	Unknown bool      `json:"unknown,omitzero"` // the target is not in the running configuration
	Owner   string    `json:"owner,omitempty"`  // "maintenance NAME": it is of that window; empty: of an operator

	// A scheduled override does not apply before At. When it begins, the guards bind it, unless it was set with
	// Force or OverrideGuardrail.
	At                time.Time `json:"at,omitzero"` // zero: it applies
	Force             bool      `json:"force,omitempty"`
	OverrideGuardrail string    `json:"override_guardrail,omitempty"`
	Error             string    `json:"error,omitempty"` // why it has not begun at its time; it is tried again each minute
	retry             time.Time // after Error

	Replaced *Replaced `json:"replaced,omitempty"` // the override of the same target that this one replaced; nil: none

	Shared *Shared `json:"shared,omitempty"` // nil: it applies to this node only
	Local  bool    `json:"local,omitempty"`  // it applies to this node only, of a cluster

	// Confirmed and Unconfirmed are the nodes that apply a change which all nodes are to apply, and the others, when the
	// change is answered.
	Confirmed   []string `json:"confirmed,omitempty"`
	Unconfirmed []string `json:"unconfirmed,omitempty"`

	// Warning says that a change of it is not saved; empty: it is, or no state is configured.
	Warning string `json:"warning,omitempty"`

	// Clients is how many clients have left its members; nil: it is not measured, or it removes none.
	Clients *ClientsGone `json:"clients,omitempty"`
}

// Replaced is an override that another one replaced. It is not restored when that is removed.
type Replaced struct {
	Kind   string    `json:"kind"`
	Value  string    `json:"value,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	At     time.Time `json:"at,omitzero"`    // as in Override: zero unless it was scheduled
	Until  time.Time `json:"until,omitzero"` // as in Override
}

const (
	maxOverrides = 10_000
	maxReason    = 500 // octets
	maxYears     = 10
	maxOverride  = maxYears * 365 * 24 * time.Hour
)

// Kinds returns the kinds of overrides, in the order of the manual.
func Kinds() []pools.Kind {
	return []pools.Kind{pools.Drained, pools.ForcedUp, pools.ForcedDown, pools.ReducedWeight}
}

// ParseKind reads a kind of override. up and down are short for forced up and forced down.
func ParseKind(s string) (pools.Kind, error) {
	var known []string
	for _, k := range Kinds() {
		if k.String() == s || k.String() == "forced "+s {
			return k, nil
		}
		known = append(known, fmt.Sprintf("%q", k))
	}
	return 0, fmt.Errorf("%q is not a kind of override; want %s", s, strings.Join(known, ", "))
}

// overrides lists the active overrides: first those of maintenance windows, then at most one of operators for each target
// that all nodes of a cluster share, then at most one for each target of this node only, in each part the latest last. A
// later one has precedence. In any place it has at most one scheduled override for each target, shared and not, which does
// not apply yet. It is immutable: methods return a new list.
type overrides []Override

// with returns o with one more override of an operator, replacing one of the same target that is shared if it is.
func (o overrides) with(said Override) overrides {
	next := o.without(said.Target, said.isShared())
	if !said.isShared() {
		return append(next, said)
	}
	end := slices.IndexFunc(next, func(s Override) bool { return s.Owner == "" && !s.IsScheduled() && !s.isShared() })
	if end < 0 {
		end = len(next)
	}
	return slices.Insert(next, end, said)
}

// isShared reports whether all nodes of a cluster apply s.
func (s *Override) isShared() bool { return s.Shared != nil }

// replaced returns the operator's override of exactly t, shared or not, that is active at now.
func (o overrides) replaced(t Selector, shared bool, now time.Time) *Replaced {
	s := o.of(t, shared)
	if s == nil || s.ended(now) {
		return nil
	}
	return asReplaced(s)
}

// asReplaced returns an override as one that another one replaced; nil for none.
func asReplaced(s *Override) *Replaced {
	if s == nil {
		return nil
	}
	return &Replaced{Kind: s.Kind, Value: s.Value, Reason: s.Reason, Since: s.Since, At: s.At, Until: s.Until}
}

func (o overrides) without(t Selector, shared bool) overrides {
	return slices.DeleteFunc(slices.Clone(o), func(s Override) bool {
		return s.Owner == "" && !s.IsScheduled() && s.Target == t && s.isShared() == shared
	})
}

// at returns the overrides that have not expired at now.
func (o overrides) at(now time.Time) overrides {
	return slices.DeleteFunc(slices.Clone(o), func(s Override) bool { return s.ended(now) })
}

func (s *Override) ended(now time.Time) bool { return !s.Until.IsZero() && !now.Before(s.Until) }

// of returns the operator's override of exactly t, shared or not, or nil.
func (o overrides) of(t Selector, shared bool) *Override {
	for i := range o {
		if s := &o[i]; s.Target == t && s.Owner == "" && !s.IsScheduled() && s.isShared() == shared {
			return s
		}
	}
	return nil
}

// effective returns the override of exactly t that has precedence, or nil.
func (o overrides) effective(t Selector) *Override {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].Target == t && !o[i].IsScheduled() {
			return &o[i]
		}
	}
	return nil
}

// forTree converts the overrides for pools.
func (o overrides) forTree() []pools.Override {
	list := make([]pools.Override, 0, len(o))
	for i := range o {
		s := &o[i]
		if s.IsScheduled() {
			continue
		}
		kind, err := ParseKind(s.Kind)
		if err != nil {
			panic(err) // checked by Validate
		}
		percent, _ := parsePercent(s.Value) // the same
		p := forPools(s.Target, kind)
		p.Percent, p.Reason, p.Since, p.Until = percent, s.ownedReason(), s.Since, s.Until
		list = append(list, p)
	}
	return list
}

// ownedReason returns the reason, after the owner if there is one.
func (s *Override) ownedReason() string {
	if s.Owner == "" || s.Reason == "" {
		return s.Owner + s.Reason
	}
	return s.Owner + ": " + s.Reason
}

// Validate returns the error of an override that comes from outside.
func (s *Override) Validate() error {
	if _, err := ParseKind(s.Kind); err != nil {
		return err
	}
	if s.Target == (Selector{}) {
		return errors.New("no target; want pool/member, pool, region:NAME or address:IP")
	}
	if r := s.Replaced; r != nil {
		_, err := ParseKind(r.Kind)
		if err = errors.Join(err, validReason(r.Reason)); err != nil {
			return fmt.Errorf("what it replaced: %w", err)
		}
	}
	if s.IsScheduled() && !s.Until.IsZero() && !s.Until.After(s.At) {
		return fmt.Errorf("it ends at %v, before it begins", s.Until)
	}
	return errors.Join(validValue(s.Kind, s.Value), validReason(s.Reason), validReason(s.Owner), validReason(s.OverrideGuardrail))
}

// validValue returns the error of the value of an override.
func validValue(kind, value string) error {
	switch {
	case kind == pools.ReducedWeight.String():
		_, err := parsePercent(value)
		return err
	case value != "":
		return fmt.Errorf("a value %q for the kind %q; only weight has one", value, kind)
	}
	return nil
}

// parsePercent parses the value of a weight.
func parsePercent(s string) (float64, error) {
	digits, percent := strings.CutSuffix(s, "%")
	value, err := strconv.ParseFloat(digits, 64)
	if !percent || err != nil || !(value >= 0 && value <= 100) || strings.ContainsAny(digits, "xXpP_eE+-") {
		return 0, fmt.Errorf("%q is not a weight; want a percentage from 0%% to 100%%, such as 20%%", s)
	}
	return value, nil
}

// forPools returns the override of a target for package pools.
func forPools(t Selector, kind pools.Kind) pools.Override {
	return pools.Override{Pool: t.Pool, Member: t.Member, Region: t.Region, Address: t.Address, Kind: kind}
}

// Effect describes what an override does: "drained", or "at weight 20%".
func (s *Override) Effect() string {
	if s.Kind == pools.ReducedWeight.String() {
		return "at weight " + s.Value
	}
	return s.Kind
}

func validReason(reason string) error {
	switch {
	case len(reason) > maxReason:
		return fmt.Errorf("a reason of %d bytes; at most %d", len(reason), maxReason)
	case strings.ContainsFunc(reason, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }):
		return fmt.Errorf("the reason %+q has characters that do not print; write it on one line with plain spaces", reason)
	}
	return nil
}

// validSpan returns the error of an override's duration; 0 means without expiry.
func validSpan(lasts time.Duration) error {
	if lasts < 0 || lasts > maxOverride {
		return fmt.Errorf("a duration of %v; want more than 0, at most %v (%d years)", lasts, config.FormatDuration(maxOverride), maxYears)
	}
	return nil
}
