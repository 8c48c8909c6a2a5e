package control

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/health"
	"meridian/pools"
)

// MemberStatus is the status of a member.
type MemberStatus struct {
	Member    string          `json:"member"`
	Region    string          `json:"region,omitempty"`
	Pool      string          `json:"pool,omitempty"`   // its nested pool; empty: an endpoint
	Target    config.Target   `json:"target,omitempty"` // the name it is resolved from; empty: none
	CName     dnsname.Name    `json:"cname,omitempty"`  // its CNAME target; empty: none
	Weight    int             `json:"weight"`
	State     string          `json:"state"`          // see pools.MemberStatus
	Since     time.Time       `json:"since,omitzero"` // of the state; zero: since the configuration was loaded
	Why       string          `json:"why"`
	Next      string          `json:"next"` // the next expected change
	Override  *Override       `json:"override,omitempty"`
	Load      *pools.StepLoad `json:"load,omitempty"` // set if load is reported
	Eligible  map[string]bool `json:"eligible"`       // by family
	Addresses []AddressStatus `json:"addresses"`

	EjectionDeferred bool `json:"ejection_deferred,omitempty"` // it is down, but treated as up by max_ejection

	Resolving *ResolvingStatus `json:"resolving,omitempty"` // of a target
}

// ResolvingStatus is the status of the lookups of a target. While they fail, the last addresses
// stay in use.
type ResolvingStatus struct {
	Since    time.Time `json:"since"`                  // of the addresses, or of their absence
	Failing  time.Time `json:"failing_since,omitzero"` // zero: the last lookup succeeded
	Failures int       `json:"failures,omitempty"`     // consecutive ones
	Why      string    `json:"why,omitempty"`          // error of the last one
	Next     time.Time `json:"next,omitzero"`          // next lookup; in the past: running
	// SubnetIgnored is set if the resolver ignores the client subnet of the target.
	SubnetIgnored bool `json:"subnet_ignored,omitempty"`

	From string       `json:"from,omitempty"` // the node of the cluster that gives the addresses; empty: this one
	Own  []netip.Addr `json:"own,omitempty"`  // found by this node itself, if another one gives others
}

// RegionStatus is the status of a region that has a check.
type RegionStatus struct {
	Region    string          `json:"region"`
	Down      bool            `json:"down"` // the region and all its members are down
	Since     time.Time       `json:"since,omitzero"`
	Why       string          `json:"why"`
	Next      string          `json:"next"` // the next expected change
	Addresses []AddressStatus `json:"addresses"`
}

// AddressStatus is the status of an address of an endpoint or a region.
type AddressStatus struct {
	Address         netip.Addr   `json:"address"`
	Check           string       `json:"check,omitempty"` // empty: always up, and the fields below are empty
	Verdict         string       `json:"verdict"`
	Effective       string       `json:"effective,omitempty"` // for an uncertain health state: the state that answers use
	Since           time.Time    `json:"since,omitzero"`      // time of the last health state change
	Why             string       `json:"why,omitempty"`       // reason of that change
	Next            string       `json:"next,omitempty"`      // the next expected change
	SlowStartWeight float64      `json:"share"`               // share of its clients, 0 to 1: below 1 during slow start
	Streak          int          `json:"streak"`              // consecutive equal results
	Due             time.Time    `json:"due,omitzero"`        // next probe; zero: running
	IdleSince       time.Time    `json:"idle_since,omitzero"` // when Interval became longer, because no query asks for it; zero: it is not
	Interval        string       `json:"interval,omitempty"`  // between probes; empty: it has none
	Results         []Result     `json:"results"`             // the latest, newest first
	Transitions     []Transition `json:"transitions"`         // the latest, newest first

	Expires time.Time `json:"expires,omitzero"`  // expiry of the last seen certificate
	Warning string    `json:"warning,omitempty"` // a problem that does not change the health state

	// Inconclusive is the time since when all probes have failed for a local reason, which
	// changes no health state; zero: the last probe was conclusive.
	Inconclusive time.Time `json:"inconclusive_since,omitzero"`

	// Votes and Vantages are what the regions and the vantages of the cluster find of the address, each "up", "down", or
	// "unknown" if it does not vote; nil: this node decides alone.
	Votes    map[string]string `json:"votes,omitempty"`
	Vantages map[string]string `json:"vantages,omitempty"`

	Parts []PartStatus `json:"parts,omitempty"` // the parts of a composite check, in the configured order
}

// PartStatus is the status of a part of a composite check. A composite part that occurs twice
// lists its own parts only once.
type PartStatus struct {
	Critical    bool `json:"critical,omitempty"`
	ObserveOnly bool `json:"observe_only,omitempty"`
	AddressStatus
}

// Result is the result of a probe.
type Result struct {
	At      time.Time     `json:"at"`
	Outcome string        `json:"outcome"`
	Reason  string        `json:"reason"`
	Latency time.Duration `json:"latency"` // in nanoseconds
}

// Transition is a health state change.
type Transition struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

func (at *view) memberStatus(m *pools.MemberStatus, regions []RegionStatus) MemberStatus {
	s := MemberStatus{
		Member: m.Member, Region: m.Region, Pool: m.Nested, Target: m.Target, CName: m.CName, Weight: m.Weight, State: m.State, Load: m.Load,
		Eligible:  byFamily(func(f pools.Family) bool { return m.Eligible[f] }),
		Addresses: []AddressStatus{},
	}
	for _, a := range m.Addresses {
		s.Addresses = append(s.Addresses, at.addressStatus(a))
	}
	s.Resolving = at.resolving(m.Target)
	if m.Override != nil {
		s.Override = at.overrides.effective(Selector{Pool: m.Override.Pool, Member: m.Override.Member, Region: m.Override.Region, Address: m.Override.Address})
	}
	var region *RegionStatus
	if i := slices.IndexFunc(regions, func(r RegionStatus) bool { return r.Region == m.Region }); i >= 0 {
		region = &regions[i]
	}
	s.describe(m, region)
	return s
}

func (at *view) regionStatus(r *pools.RegionStatus) RegionStatus {
	s := RegionStatus{Region: r.Region, Down: r.Down, Addresses: []AddressStatus{}}
	verdict := health.Down
	for _, a := range r.Addresses {
		s.Addresses = append(s.Addresses, at.addressStatus(a))
		if !r.Down && a.Verdict != health.Down {
			verdict = a.Verdict
		}
	}
	s.Since, s.Why, s.Next = describeAddresses(s.Addresses, verdict.String())
	return s
}

func (at *view) addressStatus(a pools.AddressStatus) AddressStatus {
	s := AddressStatus{Address: a.Addr, Verdict: a.Verdict.String(), SlowStartWeight: 1, Results: []Result{}, Transitions: []Transition{}}
	if a.Target < 0 {
		return s
	}
	check := at.Snapshot.Pools.Targets()[a.Target].Check
	s.Check = check.Name
	known, ok := at.known[a.Target]
	if !ok { // it is being removed, or the prober is stalled
		return s
	}
	s.Fill(known)
	s.complete(check, &known, time.Now())
	if known.Agreed != nil && at.cluster != nil {
		s.Votes, s.Vantages = verdictTexts(known.Agreed.Votes), verdictTexts(at.cluster.Opinions(known.Agreed.ID))
	}
	return s
}

// Fill copies the prober's data. The verdict is the one that answers use, so it may be one event
// older than the rest.
func (s *AddressStatus) Fill(known health.Status) {
	s.Since, s.Why, s.Next, s.Streak, s.Due = known.Since, known.Cause.Reason, known.Outlook, known.Streak, known.Next
	s.IdleSince = known.IdleSince
	if known.Interval > 0 {
		s.Interval = config.FormatDuration(known.Interval)
	}
	if known.Verdict == health.Uncertain {
		s.Effective = known.Effective.String()
	}
	if known.Verdict == health.Unknown {
		s.Why = cmp.Or(inconclusive(&known), s.Why, "no result yet") + "; counts as up"
	}
	s.Inconclusive = known.Inconclusive
	if known.SlowStartWeight > 0 {
		s.SlowStartWeight = float64(known.SlowStartWeight) / 256
	}
	for _, r := range known.Last {
		if s.Expires.IsZero() {
			s.Expires = r.Expires
		}
		s.Results = append(s.Results, Result{r.At, r.Outcome.String(), r.Reason, r.Latency})
	}
	for _, t := range known.Transitions {
		s.Transitions = append(s.Transitions, Transition{t.At, t.From.String(), t.To.String(), t.Reason})
	}
	for _, p := range known.Parts {
		part := PartStatus{p.Critical, p.ObserveOnly, AddressStatus{
			Address: p.Addr, Check: p.Check, Verdict: p.Verdict.String(), SlowStartWeight: 1, Results: []Result{}, Transitions: []Transition{},
		}}
		part.Fill(p.Status)
		s.Parts = append(s.Parts, part)
	}
}
