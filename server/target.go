package server

import (
	"fmt"
	"slices"
	"strings"

	"meridian/config"
)

// Target is what an operator speaks of: a member (Pool and Member), all members
// of a pool (Pool alone), or all members that stand in a region (Region alone).
// As text it is pool/member, pool or region:NAME; no name has a slash or colon.
type Target struct{ Pool, Member, Region string }

const regionPrefix = "region:"

// ParseTarget reads a target as DESIGN 4 writes it.
func ParseTarget(s string) (Target, error) {
	if region, ok := strings.CutPrefix(s, regionPrefix); ok && region != "" {
		return Target{Region: region}, nil
	}
	pool, member, slash := strings.Cut(s, "/")
	if pool == "" || slash && member == "" || strings.ContainsAny(member, "/:") || strings.Contains(pool, ":") {
		return Target{}, fmt.Errorf("%q is not a target; pool/member, pool or region:NAME", s)
	}
	return Target{Pool: pool, Member: member}, nil
}

func (t Target) String() string {
	switch {
	case t.Region != "":
		return regionPrefix + t.Region
	case t.Member != "":
		return t.Pool + "/" + t.Member
	}
	return t.Pool
}

// MarshalText writes the target as JSON has it.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTarget.
func (t *Target) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTarget(string(text))
	return err
}

// covers reports whether t speaks of a member.
func (t Target) covers(pool, member, region string) bool {
	if t.Region != "" {
		return region == t.Region
	}
	return t.Pool == pool && (t.Member == "" || t.Member == member)
}

// Refused is why [Control] did not do as it was told: the running configuration
// does not have what was named (Unknown), or it stands otherwise than thought.
type Refused struct {
	Unknown    bool
	What, Hint string
}

func (r *Refused) Error() string { return r.What }

// unknown is a refusal that says what there is instead.
func unknown(what string, has []string) *Refused {
	const most = 20
	hint := "there are none"
	switch n := len(has); {
	case n > most:
		hint = fmt.Sprintf("there are %s and %d more", strings.Join(has[:most], ", "), n-most)
	case n > 0:
		hint = "known: " + strings.Join(has, ", ")
	}
	return &Refused{Unknown: true, What: what, Hint: hint}
}

// find says that cfg does not have t, if so.
func (t Target) find(cfg *config.Config) error {
	if t.Region != "" {
		return findRegion(cfg, t.Region)
	}
	i := slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == t.Pool })
	if i < 0 && t.Member == "" && findRegion(cfg, t.Pool) == nil {
		return &Refused{Unknown: true, What: fmt.Sprintf("no pool %q", t.Pool), Hint: "did you mean " + regionPrefix + t.Pool + "?"}
	}
	if i < 0 {
		return unknown(fmt.Sprintf("no pool %q", t.Pool), names(cfg.Pools, func(p *config.Pool) string { return p.Name }))
	}
	p := &cfg.Pools[i]
	if t.Member == "" || slices.ContainsFunc(p.Members, func(m config.Member) bool { return m.Name == t.Member }) {
		return nil
	}
	return unknown(fmt.Sprintf("pool %q has no member %q", t.Pool, t.Member),
		names(p.Members, func(m *config.Member) string { return p.Name + "/" + m.Name }))
}

func findRegion(cfg *config.Config, region string) error {
	if slices.ContainsFunc(cfg.Regions, func(r config.Region) bool { return r.Name == region }) {
		return nil
	}
	return unknown(fmt.Sprintf("no region %q", region), names(cfg.Regions, func(r *config.Region) string { return regionPrefix + r.Name }))
}

func names[T any](all []T, name func(*T) string) []string {
	list := make([]string, len(all))
	for i := range all {
		list[i] = name(&all[i])
	}
	return list
}
