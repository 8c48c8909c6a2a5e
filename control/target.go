package control

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// Selector selects a member (Pool and Member), all members of a pool (Pool alone), or all members
// of a region (Region alone). Its text form is pool/member, pool or region:NAME; names contain no
// slash or colon.
type Selector struct{ Pool, Member, Region string }

const regionPrefix = "region:"

// ParseSelector parses the text form of a selector.
func ParseSelector(s string) (Selector, error) {
	if region, ok := strings.CutPrefix(s, regionPrefix); ok && region != "" {
		return Selector{Region: region}, nil
	}
	pool, member, slash := strings.Cut(s, "/")
	if pool == "" || slash && member == "" || strings.ContainsAny(member, "/:") || strings.Contains(pool, ":") {
		return Selector{}, fmt.Errorf("%q is not a target; want pool/member, pool or region:NAME", s)
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

// MarshalText returns the text form.
func (t Selector) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText parses the text form.
func (t *Selector) UnmarshalText(text []byte) (err error) {
	*t, err = ParseSelector(string(text))
	return err
}

// covers reports whether t selects a member.
func (t Selector) covers(pool, member, region string) bool {
	if t.Region != "" {
		return region == t.Region
	}
	return t.Pool == pool && (t.Member == "" || t.Member == member)
}

// RequestError is the reason why [Control] refused a request: the target is not in the running
// configuration (NotFound), or the state of the server does not permit it.
type RequestError struct {
	NotFound   bool
	What, Hint string
}

func (r *RequestError) Error() string { return r.What }

// notFound returns an error that lists the existing names.
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

// validate returns an error if t is not in cfg.
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
