package answer

import (
	"net/netip"

	"meridian/config"
	"meridian/server/limit"
)

// Source returns the source of the packet of a question; ok is false if it is not known.
func (a *ExplainQuery) Source() (source netip.Addr, ok bool) {
	_, source = a.client()
	return source, a.Resolver.IsValid() || a.Client.IsValid()
}

// MatchFilter returns the rule of a filter that applies to a question; nil: none does. Without a known source, rules for
// sources do not match.
func MatchFilter(rules []config.FilterRule, asked ExplainQuery) *config.FilterRule {
	f := limit.NewFilter(rules, nil)
	if f == nil {
		return nil
	}
	source, ok := asked.Source()
	if !ok {
		source = netip.Addr{}
	}
	if rule := f.Match(asked.Name.Wire(), asked.Type, source); rule >= 0 {
		return &rules[rule]
	}
	return nil
}

// RateLimit describes how the limit of the rate applies to a source.
type RateLimit struct {
	Rate   int  `json:"rate"`             // answers a second to one address
	DryRun bool `json:"dry_run"`          // nothing is limited
	Exempt bool `json:"exempt,omitempty"` // the source has no limit
	Over   bool `json:"over,omitempty"`   // an answer now would be over the limit, without a valid cookie
}

// RateLimitOf describes how the limit of the rate applies to a source now; nil: there is no limit.
func (e *Engine) RateLimitOf(source netip.Addr) *RateLimit {
	s := e.current.Load()
	if s.rates == nil {
		return nil
	}
	l := &RateLimit{Rate: s.config.RateLimit.Rate, DryRun: s.config.RateLimit.DryRun}
	l.Exempt = s.exempt != nil && s.exempt.Contains(source)
	l.Over = !l.Exempt && s.rates.Over(source, e.clock())
	return l
}
