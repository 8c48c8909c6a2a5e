package control

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/geo"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/snapshot"
)

// Explanation holds an answer and the reasons for it. Its JSON is documented in
// docs/reference/api.md.
type Explanation struct {
	Name       string                      `json:"name"`
	Type       string                      `json:"type"`
	Client     string                      `json:"client"` // the deciding client: an address, or the network of a client subnet
	Source     string                      `json:"source"` // how the client is known: ecs, resolver; default if it has no location
	Location   ExplainedLocation           `json:"location"`
	Rcode      string                      `json:"rcode"`
	Answers    []answer.ExplainedRecord    `json:"answers"`
	Signatures []answer.ExplainedSignature `json:"signatures,omitempty"` // of the sets of the answer, in a signed zone
	Why        string                      `json:"why,omitempty"`        // the reason for an empty answer
	Notes      []string                    `json:"notes,omitempty"`      // settings for the source of the query that decided
	View       string                      `json:"view,omitempty"`       // of the client, at a name with views
	Canary     *answer.ExplainedCanary     `json:"canary,omitempty"`     // a generation that decides for a share of the clients

	ExtendedError *ExplainedError `json:"extended_error,omitempty"` // of the answer to a query with EDNS

	Scope       int                `json:"scope"` // of the client subnet in the answer
	Draw        string             `json:"draw"`  // the seed of all draws, in hexadecimal: 64 bits, more than JavaScript's numbers hold
	PoolAnswers []pools.PoolAnswer `json:"asked"` // the answer of each pool bound to a name of the answer
	Steps       []ExplainedStep    `json:"steps"`
	Sources     []geo.SourceResult `json:"sources"` // the result of each source of client locations, in order

	Filter *Filter `json:"filter,omitempty"` // the rule of the filter that keeps the query from this answer

	RateLimit *answer.RateLimit `json:"rate_limit,omitempty"` // of the packet's source, from a running server with a limit

	At time.Time `json:"at,omitzero"` // from a running server: the time of the question
}

// ExplainedStep is a step with the prober's data from a running server.
type ExplainedStep struct {
	pools.Step
	// Addresses lists the addresses of the member, or of its region if that is down, that are not
	// up or are in slow start.
	Addresses []AddressStatus `json:"addresses,omitempty"`

	Resolving *ResolvingStatus `json:"resolving,omitempty"` // of a member's target
}

// ExplainedError is an extended DNS error (RFC 8914).
type ExplainedError struct {
	Code uint16 `json:"code"`
	Name string `json:"name"`
}

func explainedError(code uint16) *ExplainedError {
	if code == 0 {
		return nil
	}
	return &ExplainedError{code, dns.ExtendedErrorCodeToString[code]}
}

// ExplainedLocation is the location of the client.
type ExplainedLocation struct {
	Continent   string  `json:"continent,omitempty"`
	Country     string  `json:"country"`
	Subdivision string  `json:"subdivision,omitempty"`
	City        string  `json:"city,omitempty"`
	ASN         uint32  `json:"asn,omitempty"`
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
	From        string  `json:"from"`              // the source of the location: networks, database, built-in, default
	Network     string  `json:"network,omitempty"` // the matching entry

	// UnusedRadiusKm is the accuracy radius of the database record in kilometres if it is too
	// large to use the coordinates; the location of the country is used instead.
	UnusedRadiusKm int `json:"unused_accuracy_radius_km,omitempty"`
}

// Explain answers asked from snapshot in its current state, and gives the reasons. It is safe to
// call while the server answers.
func Explain(snapshot *snapshot.Snapshot, asked answer.ExplainQuery) Explanation {
	traced := answer.Trace(snapshot, asked)
	by := snapshot
	if traced.Canary != nil && traced.Canary.Answers {
		by = asked.Canary.Snapshot
	}
	source, place := traced.Source, by.Geo.Locate(traced.Client)
	if place.From == "default" {
		source = "default"
	}
	return Explanation{
		Name:       string(asked.Name),
		Type:       dns.Type(asked.Type).String(),
		Client:     effectiveClient(asked.Client, traced.Client, source),
		Source:     source,
		Location:   explainedLocation(place),
		Rcode:      dns.RcodeToString[traced.Msg.Rcode],
		Answers:    traced.Answers,
		Signatures: traced.Signatures,
		Scope:      int(traced.Scope),
		Why:        traced.Why,
		Notes:      traced.Notes,
		View:       traced.View,
		Canary:     traced.Canary,

		ExtendedError: explainedError(traced.EDE),

		PoolAnswers: append([]pools.PoolAnswer{}, traced.PoolAnswers...), // never nil: JSON needs a list
		Sources:     by.Geo.LookupAll(traced.Client),
		Draw:        fmt.Sprintf("%#016x", traced.Draw),
		Steps:       explainedSteps(traced.Steps),
		Filter:      filterOf(snapshot.Config.Server.Filter, asked),
	}
}

// filterOf returns the rule that applies to a question; nil: none does.
func filterOf(rules []config.FilterRule, asked answer.ExplainQuery) *Filter {
	rule := answer.MatchFilter(rules, asked)
	if rule == nil {
		return nil
	}
	f := asFilter(rule)
	return &f
}

// explainedSteps converts steps without data from a prober. It never returns nil: JSON needs a
// list.
func explainedSteps(steps []pools.Step) []ExplainedStep {
	all := make([]ExplainedStep, len(steps))
	for i, s := range steps {
		all[i] = ExplainedStep{Step: s}
	}
	return all
}

// Explain explains a question for the running configuration, with the prober's data of addresses
// that are not up or are in slow start, and the lookup status of targets.
func (c *Control) Explain(asked answer.ExplainQuery) Explanation {
	e, at := c.explain(asked)
	defer at.Release()
	var targets []int
	for i := range e.Steps {
		targets = append(targets, targetsOf(e.Steps[i].Provisional)...)
	}
	at.fetchProbes(targets) // if the prober does not reply, the steps have only the health states
	for i := range e.Steps {
		s := &e.Steps[i]
		for _, a := range s.Provisional {
			s.Addresses = append(s.Addresses, at.addressStatus(a))
		}
		if s.Target != nil {
			s.Resolving = at.resolving(config.Target(s.Target.Name))
		}
	}
	return e
}

// explain explains from the current generation, or from the canary if that answers the client. The caller must release the
// view of that generation.
func (c *Control) explain(asked answer.ExplainQuery) (Explanation, *view) {
	at := c.hold()
	defer at.Release()
	asked.Signer = c.server.Signer()
	if k := at.canary; k != nil && k.Acquire() {
		defer k.Release()
		asked.Canary = k.Of
	}
	e := Explain(at.Snapshot, asked)
	e.At = time.Now()
	c.explainLimits(&e, asked)
	return e, at.explainedBy(e.Canary)
}

// explainLimits adds the rule of the filter, also an added one, and the limit of the rate.
func (c *Control) explainLimits(e *Explanation, asked answer.ExplainQuery) {
	var rules []config.FilterRule
	for _, s := range c.server.Filters() {
		rules = append(rules, s.FilterRule)
	}
	e.Filter = filterOf(rules, asked)
	if source, ok := asked.Source(); ok {
		e.RateLimit = c.server.RateLimitOf(source)
	}
}

// ExplainIfDown explains a question as Explain does, for the running configuration with these targets down.
func (c *Control) ExplainIfDown(asked answer.ExplainQuery, down []Selector) (Explanation, error) {
	sides, err := c.Assume(Assumption{Targets: down, Kind: pools.AssumedDown})
	if err != nil {
		return Explanation{}, err
	}
	defer sides.Release()
	e := Explain(sides.After, asked)
	e.At = time.Now()
	return e, nil
}

func explainedLocation(l geo.Location) ExplainedLocation {
	e := ExplainedLocation{
		Continent: l.Continent, Country: l.Country, Subdivision: l.Subdivision, City: l.City, ASN: l.ASN,
		Latitude: l.Lat, Longitude: l.Lon, From: l.From, UnusedRadiusKm: l.Imprecise,
	}
	if l.Network.IsValid() {
		e.Network = l.Network.String()
	}
	return e
}

// effectiveClient returns the deciding client as text.
func effectiveClient(subnet netip.Prefix, client netip.Addr, source string) string {
	if source == "ecs" && !subnet.IsSingleIP() {
		return subnet.Masked().String()
	}
	return client.String()
}
