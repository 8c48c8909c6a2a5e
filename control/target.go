package control

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
	"meridian/pools"
)

// Selector selects the members that a request is about.
type Selector = config.Selector

// ParseSelector parses the text form of a selector.
func ParseSelector(s string) (Selector, error) { return config.ParseSelector(s) }

// covers reports whether a selector selects a member.
func covers(t Selector, pool string, m *pools.MemberStatus) bool {
	switch {
	case t.Address.IsValid():
		return slices.ContainsFunc(m.Addresses, func(a pools.AddressStatus) bool { return a.Addr == t.Address })
	case t.Region != "":
		return config.MatchesStar(t.Region, m.Region)
	}
	return config.MatchesStar(t.Pool, pool) && (t.Member == "" || config.MatchesStar(t.Member, m.Member))
}

// RequestError is the reason why [Control] refused a request: the target is not in the running
// configuration (NotFound), or the state of the server does not permit it.
type RequestError struct {
	NotFound   bool
	Stale      bool   // it was for an older state
	Guardrail  string // the guardrail that it breaks; empty: none
	What, Hint string

	Unavailable bool // not now; the same request may succeed soon
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

// findTarget returns an error if a selector selects nothing in cfg.
func findTarget(t Selector, cfg *config.Config) error {
	switch {
	case (t.HasStar() || t.Address.IsValid()) && cfg.Selects(t):
		return nil
	case t.HasStar() || t.Address.IsValid():
		return &RequestError{NotFound: true, What: fmt.Sprintf("no member matches %s", t), Hint: "meridian status lists the members"}
	case t.Region != "":
		return findRegion(cfg, t.Region)
	}
	return findInPool(t, cfg)
}

// findInPool returns an error if cfg does not have a pool, or a member of it.
func findInPool(t Selector, cfg *config.Config) error {
	i := slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == t.Pool })
	if i < 0 && t.Member == "" && findRegion(cfg, t.Pool) == nil {
		return &RequestError{NotFound: true, What: fmt.Sprintf("no pool %q", t.Pool), Hint: "did you mean region:" + t.Pool + "?"}
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
	return notFound(fmt.Sprintf("no region %q", region), names(cfg.Regions, func(r *config.Region) string { return "region:" + r.Name }))
}

func names[T any](all []T, name func(*T) string) []string {
	list := make([]string, len(all))
	for i := range all {
		list[i] = name(&all[i])
	}
	return list
}
