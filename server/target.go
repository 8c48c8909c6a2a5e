package server

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// Selector is what an operator speaks of: a member (Pool and Member), all members
// of a pool (Pool alone), or all members that stand in a region (Region alone).
// As text it is pool/member, pool or region:NAME; no name has a slash or colon.
type Selector struct{ Pool, Member, Region string }

const regionPrefix = "region:"

// ParseSelector reads a target as DESIGN 4 writes it.
func ParseSelector(s string) (Selector, error) {
	if region, ok := strings.CutPrefix(s, regionPrefix); ok && region != "" {
		return Selector{Region: region}, nil
	}
	pool, member, slash := strings.Cut(s, "/")
	if pool == "" || slash && member == "" || strings.ContainsAny(member, "/:") || strings.Contains(pool, ":") {
		return Selector{}, fmt.Errorf("%q is not a target; pool/member, pool or region:NAME", s)
	}
	return Selector{Pool: pool, Member: member}, nil
}

func (t Selector) String() string {
	switch {
	case t.Region != "":
		return regionPrefix + t.Region
	case t.Member != "":
		return t.Pool + "/" + t.Member
	}
	return t.Pool
}

// MarshalText writes the target as JSON has it.
func (t Selector) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTarget.
func (t *Selector) UnmarshalText(text []byte) (err error) {
	*t, err = ParseSelector(string(text))
	return err
}

// covers reports whether t speaks of a member.
func (t Selector) covers(pool, member, region string) bool {
	if t.Region != "" {
		return region == t.Region
	}
	return t.Pool == pool && (t.Member == "" || t.Member == member)
}

// RequestError is why [Control] did not do as it was told: the running configuration
// does not have what was named (Unknown), or it stands otherwise than thought.
type RequestError struct {
	NotFound   bool
	What, Hint string
}

func (r *RequestError) Error() string { return r.What }

// notFound is a refusal that says what there is instead.
func notFound(what string, has []string) *RequestError {
	const most = 20
	hint := "there are none"
	switch n := len(has); {
	case n > most:
		hint = fmt.Sprintf("there are %s and %d more", strings.Join(has[:most], ", "), n-most)
	case n > 0:
		hint = "known: " + strings.Join(has, ", ")
	}
	return &RequestError{NotFound: true, What: what, Hint: hint}
}

// validate says that cfg does not have t, if so.
func (t Selector) validate(cfg *config.Config) error {
	if t.Region != "" {
		return findRegion(cfg, t.Region)
	}
	i := slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == t.Pool })
	if i < 0 && t.Member == "" && findRegion(cfg, t.Pool) == nil {
		return &RequestError{NotFound: true, What: fmt.Sprintf("no pool %q", t.Pool), Hint: "did you mean " + regionPrefix + t.Pool + "?"}
	}
	if i < 0 {
		return notFound(fmt.Sprintf("no pool %q", t.Pool), names(cfg.Pools, func(p *config.Pool) string { return p.Name }))
	}
	p := &cfg.Pools[i]
	if t.Member == "" || slices.ContainsFunc(p.Members, func(m config.Member) bool { return m.Name == t.Member }) {
		return nil
	}
	return notFound(fmt.Sprintf("pool %q has no member %q", t.Pool, t.Member),
		names(p.Members, func(m *config.Member) string { return p.Name + "/" + m.Name }))
}

func findRegion(cfg *config.Config, region string) error {
	if slices.ContainsFunc(cfg.Regions, func(r config.Region) bool { return r.Name == region }) {
		return nil
	}
	return notFound(fmt.Sprintf("no region %q", region), names(cfg.Regions, func(r *config.Region) string { return regionPrefix + r.Name }))
}

func names[T any](all []T, name func(*T) string) []string {
	list := make([]string, len(all))
	for i := range all {
		list[i] = name(&all[i])
	}
	return list
}
