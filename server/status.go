package server

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/pools"
)

// Status is how a running server stands, as JSON has it.
type Status struct {
	At        time.Time    `json:"at"`
	StartedAt time.Time    `json:"began"`  // when the process did
	Config    string       `json:"config"` // the file
	Listen    []string     `json:"listen"`
	State     StateStatus  `json:"state"`
	Reload    ReloadStatus `json:"reload"`

	LastGood *LastGoodStatus `json:"last_good,omitempty"` // where it serves in place of an invalid configuration

	Prober ProberStatus `json:"prober"`

	// BuildPanics counts the panics while a configuration or pools were built. What was
	// there before keeps serving.
	BuildPanics uint64 `json:"build_panics"`

	Overrides []Override   `json:"overrides"`
	Loads     []LoadStatus `json:"loads"`

	Latency *LatencyStatus `json:"latency,omitempty"` // where round trips are measured

	Regions []RegionStatus `json:"regions"` // those that have a check
	Pools   []PoolStatus   `json:"pools"`
}

// ProberStatus is how the prober itself fares.
type ProberStatus struct {
	At      time.Time `json:"at"`      // when it last did something: a second ago, or less
	Stalled bool      `json:"hangs"`   // it has not for long: no verdict turns
	Panics  uint64    `json:"panics"`  // each recovered
	Targets int       `json:"targets"` // that it probes or hears of
	Probing int       `json:"probing"` // probes under way
}

// Prober tells how the prober fares, also when that hangs.
func (c *Control) Prober() ProberStatus {
	p := c.instance.prober.Heartbeat()
	return ProberStatus{p.At, p.Stalled(time.Now()), p.Panics, p.Targets, p.Probing}
}

// StateStatus is whether verdicts and overrides outlive the process.
type StateStatus struct {
	Dir         string       `json:"folder"`              // empty: the configuration names none, they do not
	Persisted   bool         `json:"kept"`                // false: nor do they while the folder cannot be written to
	Quarantined *Quarantined `json:"set_aside,omitempty"` // what the process before had kept and this one could not read
}

// Quarantined is a state file that was no state when the process began.
type Quarantined struct {
	At    time.Time `json:"at"`
	File  string    `json:"file"`  // where it is now
	Error string    `json:"fault"` // what is wrong with it
}

// PoolStatus is how a pool stands.
type PoolStatus struct {
	Pool      string            `json:"pool"`
	Policy    string            `json:"policy"`
	DualStack string            `json:"dual_stack"` // independent or together
	Mode      map[string]string `json:"mode"`       // by family: how it answers a name
	Live      map[string]bool   `json:"live"`       // by family: as its parents see it
	Eligible  map[string]int    `json:"eligible"`   // by family: how many of its members are
	Need      int               `json:"need"`       // how many must be for it to be live
	Members   []MemberStatus    `json:"members"`    // those that were asked for

	LostRegions []pools.LostRegion   `json:"lost_regions,omitempty"` // whose clients are spread
	ModeSince   map[string]time.Time `json:"mode_since"`             // by family; in this process
	LiveSince   map[string]time.Time `json:"live_since"`             // by family: since when it is live, or is not; likewise
}

// MemberStatus is how a member stands.
type MemberStatus struct {
	Member    string          `json:"member"`
	Region    string          `json:"region,omitempty"`
	Pool      string          `json:"pool,omitempty"`   // the pool that it is; empty: an endpoint
	Target    config.Name     `json:"target,omitempty"` // the name whose addresses it has; empty: none
	CName     config.Name     `json:"cname,omitempty"`  // the name that it is answered as; empty: none
	Weight    int             `json:"weight"`
	State     string          `json:"state"`          // see pools.MemberStatus
	Since     time.Time       `json:"since,omitzero"` // of the state; zero: as long as the configuration
	Why       string          `json:"why"`
	Next      string          `json:"next"` // what comes next
	Override  *Override       `json:"override,omitempty"`
	Load      *pools.StepLoad `json:"load,omitempty"` // where it is reported
	Eligible  map[string]bool `json:"eligible"`       // by family
	Addresses []AddressStatus `json:"addresses"`

	EjectionDeferred bool `json:"ejection_deferred,omitempty"` // it is down, and its pool treats it as up: max_ejection

	Resolving *ResolvingStatus `json:"resolving,omitempty"` // of a target
}

// ResolvingStatus is how the resolving of a target fares. While it fails, the
// addresses stay that were found last.
type ResolvingStatus struct {
	Since    time.Time `json:"since"`                  // of the addresses, or that there are none
	Failing  time.Time `json:"failing_since,omitzero"` // zero: the last lookup did not fail
	Failures int       `json:"failures,omitempty"`     // in a row
	Why      string    `json:"why,omitempty"`          // the last one failed
	Next     time.Time `json:"next,omitzero"`          // when it is looked up again; past: just now
}

// RegionStatus is how a region stands that has a check.
type RegionStatus struct {
	Region    string          `json:"region"`
	Down      bool            `json:"down"` // and with it all members that stand in it
	Since     time.Time       `json:"since,omitzero"`
	Why       string          `json:"why"`
	Next      string          `json:"next"` // what comes next
	Addresses []AddressStatus `json:"addresses"`
}

// AddressStatus is how an address of an endpoint or a region stands.
type AddressStatus struct {
	Address         netip.Addr   `json:"address"`
	Check           string       `json:"check,omitempty"` // empty: none, it is always up; all below is empty too
	Verdict         string       `json:"verdict"`
	Effective       string       `json:"held,omitempty"` // where the verdict is uncertain: what answers go by
	Since           time.Time    `json:"since,omitzero"` // when the verdict turned
	Why             string       `json:"why,omitempty"`  // what the probe that turned it found
	Next            string       `json:"next,omitempty"` // what comes next
	SlowStartWeight float64      `json:"share"`          // of its clients, 0 to 1: below 1 while it starts slowly
	Streak          int          `json:"row"`            // results in a row like the last one
	Due             time.Time    `json:"due,omitzero"`   // when it is probed again; zero: just now
	Results         []Result     `json:"results"`        // the last ones, newest first
	Transitions     []Transition `json:"turns"`          // the last ones, newest first

	Expires time.Time `json:"expires,omitzero"`  // when the certificate that a probe saw last does
	Warning string    `json:"warning,omitempty"` // what is to be done although no verdict turns by it

	// Inconclusive is since when all probes have failed for a reason of this machine, which
	// changes no state; zero: the last probe was conclusive.
	Inconclusive time.Time `json:"inconclusive_since,omitzero"`

	Parts []PartStatus `json:"parts,omitempty"` // where the check is made of others: those, in the order written
}

// PartStatus is how a check stands that another is made of. A part that is made of
// others in turn, and is there twice, has its own parts at the first place alone.
type PartStatus struct {
	Critical    bool `json:"critical,omitempty"`
	ObserveOnly bool `json:"observe_only,omitempty"`
	AddressStatus
}

// Result is what a probe found.
type Result struct {
	At      time.Time     `json:"at"`
	Outcome string        `json:"outcome"`
	Reason  string        `json:"reason"`
	Latency time.Duration `json:"latency"` // in nanoseconds
}

// Transition is a change of a verdict.
type Transition struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// Status tells how the members of a target stand; the zero Target: all of them.
func (c *Control) Status(t Selector) (*Status, error) {
	at := c.currentView()
	cfg := at.snapshot.Config
	all := t == Selector{}
	if !all {
		if err := t.validate(cfg); err != nil {
			return nil, err
		}
	}
	s := &Status{
		At: time.Now(), StartedAt: c.startedAt, Config: cfg.File,
		State: c.instance.state(false), Reload: at.reload, LastGood: c.LastGood(), BuildPanics: c.panics.Load(), Prober: c.Prober(), Overrides: append([]Override{}, at.overrides...), Loads: at.loadStatus(), Latency: at.latency,
		Regions: []RegionStatus{}, Pools: []PoolStatus{},
	}
	for _, a := range c.instance.server.Addrs() {
		s.Listen = append(s.Listen, a.String())
	}
	var stand []pools.PoolStatus
	for p := range at.snapshot.Pools.Status() {
		p.Members = slices.DeleteFunc(p.Members, func(m pools.MemberStatus) bool { return !all && !t.covers(p.Pool, m.Member, m.Region) })
		if all || len(p.Members) > 0 {
			stand = append(stand, p)
		}
	}
	regions := at.snapshot.Pools.Regions()
	if !at.fetchProbes(targetIDs(stand, regions)) && c.currentView().watch != at.watch { // a reload has ended that one
		return c.Status(t)
	}
	for i := range regions {
		s.Regions = append(s.Regions, at.regionStatus(&regions[i]))
	}
	ejections := at.ejections()
	for i := range stand {
		pool := poolStatus(&stand[i])
		for m := range stand[i].Members {
			member := at.memberStatus(&stand[i].Members[m], s.Regions)
			if e := ejections[memberName{pool.Pool, member.Member}]; e != nil {
				member.describeEjection(e)
			}
			pool.Members = append(pool.Members, member)
		}
		s.Pools = append(s.Pools, pool)
	}
	return s, nil
}

// ejections is what max_ejection makes of members that are down.
func (at *view) ejections() map[memberName]*pools.Ejection {
	all := at.snapshot.Pools.Ejections()
	found := make(map[memberName]*pools.Ejection, len(all))
	for i := range all {
		found[memberName{all[i].Pool, all[i].Member}] = &all[i]
	}
	return found
}

func poolStatus(p *pools.PoolStatus) PoolStatus {
	return PoolStatus{
		Pool: p.Pool, Policy: p.Policy, DualStack: p.DualStack, Need: p.Need, Members: []MemberStatus{}, LostRegions: p.Lost,
		Mode:     byFamily(func(f pools.Family) string { return p.Mode[f].String() }),
		Live:     byFamily(func(f pools.Family) bool { return p.Live[f] }),
		Eligible: byFamily(func(f pools.Family) int { return p.Eligible[f] }),

		ModeSince: byFamily(func(f pools.Family) time.Time { return p.ModeSince[f] }),
		LiveSince: byFamily(func(f pools.Family) time.Time { return p.LiveSince[f] }),
	}
}

func byFamily[T any](of func(pools.Family) T) map[string]T {
	return map[string]T{pools.IPv4.String(): of(pools.IPv4), pools.IPv6.String(): of(pools.IPv6)}
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
		s.Override = at.overrides.of(Selector{m.Override.Pool, m.Override.Member, m.Override.Region})
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
	check := at.snapshot.Pools.Targets()[a.Target].Check
	s.Check = check.Name
	known, ok := at.known[a.Target]
	if !ok { // it is ending, or the prober hangs
		return s
	}
	s.fill(known)
	s.complete(check, &known, time.Now())
	return s
}

// fill takes over what the prober knows. The verdict is what answers go by, so
// that it may be one event older than the rest.
func (s *AddressStatus) fill(known health.Status) {
	s.Since, s.Why, s.Next, s.Streak, s.Due = known.Since, known.Cause.Reason, known.Outlook, known.Streak, known.Next
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
		part.fill(p.Status)
		s.Parts = append(s.Parts, part)
	}
}
