package server

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/geo"
	"meridian/pools"
	"meridian/zones"
)

// ExplainQuery is a question to be explained.
type ExplainQuery struct {
	Name     config.Name
	Type     uint16
	Client   netip.Prefix // the question's client subnet; the zero value: none
	Resolver netip.Addr   // the packet's source; the zero value: Client's address
	Draw     *uint64      // the random number that all draws are made from; nil: a new one
	Time     time.Time    // when it is asked, for pools with sticky: ttl; the zero value: now
}

// Explanation is an answer and why it is so; its JSON is DESIGN section 4's.
type Explanation struct {
	Name        string             `json:"name"`
	Type        string             `json:"type"`
	Client      string             `json:"client"` // who decided: an address, or the network of a client subnet
	Source      string             `json:"source"` // what told: ecs, resolver; default when nothing places the client
	Location    ExplainedLocation  `json:"location"`
	Rcode       string             `json:"rcode"`
	Answers     []ExplainedRecord  `json:"answers"`
	Why         string             `json:"why,omitempty"` // why there is no answer, where there is none
	Scope       int                `json:"scope"`         // of the client subnet in the answer
	Draw        string             `json:"draw"`          // what all draws were made from, in hexadecimal: 64 bits, more than JavaScript's numbers hold
	PoolAnswers []pools.PoolAnswer `json:"asked"`         // how each pool that a name of the answer is bound to answers
	Steps       []ExplainedStep    `json:"steps"`
	Sources     []geo.SourceResult `json:"sources"` // what each source says of the client, in the order asked

	At time.Time `json:"at,omitzero"` // of a running server: when it was asked
}

// ExplainedStep is a step, and what a running server's prober knows.
type ExplainedStep struct {
	pools.Step
	// Addresses is what is known of those of the member, or of its region where that
	// is down, that are not known to be up, or start slowly.
	Addresses []AddressStatus `json:"addresses,omitempty"`

	Resolving *ResolvingStatus `json:"resolving,omitempty"` // of a member's target
}

// ExplainedLocation is where the client stands.
type ExplainedLocation struct {
	Continent   string  `json:"continent,omitempty"`
	Country     string  `json:"country"`
	Subdivision string  `json:"subdivision,omitempty"`
	City        string  `json:"city,omitempty"`
	ASN         uint32  `json:"asn,omitempty"`
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
	From        string  `json:"from"`              // what placed it: networks, database, built-in, default
	Network     string  `json:"network,omitempty"` // the entry that did

	// UnusedRadiusKm is the accuracy radius of the database's record in kilometres where its
	// coordinates are not used because of it; the country's location is used then.
	UnusedRadiusKm int `json:"unused_accuracy_radius_km,omitempty"`
}

// ExplainedRecord is a record of the answer section.
type ExplainedRecord struct {
	Name string `json:"name"`
	Type string `json:"type"`
	TTL  uint32 `json:"ttl"`
	Data string `json:"data"`
}

// Explain answers asked from snapshot, as it stands now, by the code that
// serves, with every decision recorded. Equal draws, the turns of round-robin among
// them, give equal answers. It may run beside serving.
func Explain(snapshot *zones.Snapshot, asked ExplainQuery) Explanation {
	s := newActiveSnapshot(snapshot)
	subnet, resolver := asked.client()
	q := question{
		serving: s, scratch: snapshot.Pools.Scratch(), qtype: asked.Type,
		subnet: &subnet, source: resolver, draw: asked.draw(), now: asked.time().Unix(), msg: new(dns.Msg), explain: true,
	}
	q.scratch.SeedTurns(q.draw)
	switch {
	case asked.Type == dns.TypeANY || !metaType(asked.Type):
		q.resolve(asked.Name.Wire())
	default:
		q.msg.Rcode = metaRcode(asked.Type)
	}
	who, source := s.decidedBy(asked, q.usesECS())
	place := snapshot.Geo.Locate(who.addr)
	if place.From == "default" {
		source = "default"
	}
	return Explanation{
		Name:        string(asked.Name),
		Type:        dns.Type(asked.Type).String(),
		Client:      asked.effectiveClient(who, source),
		Source:      source,
		Location:    explainedLocation(place),
		Rcode:       dns.RcodeToString[q.msg.Rcode],
		Answers:     explained(q.msg.Answer),
		Scope:       int(q.scope),
		Why:         q.explainEmpty(asked.Name),
		PoolAnswers: append([]pools.PoolAnswer{}, q.standings...), // never nil, for the JSON's sake
		Sources:     snapshot.Geo.Consult(who.addr),
		Draw:        fmt.Sprintf("%#016x", q.draw),
		Steps:       explainedSteps(q.steps),
	}
}

func (a *ExplainQuery) draw() uint64 {
	if a.Draw != nil {
		return *a.Draw
	}
	return rand.Uint64()
}

func (a *ExplainQuery) time() time.Time {
	if a.Time.IsZero() {
		return time.Now()
	}
	return a.Time
}

// explainedSteps is the steps as no prober knows of; never nil, for the JSON's sake.
func explainedSteps(steps []pools.Step) []ExplainedStep {
	all := make([]ExplainedStep, len(steps))
	for i, s := range steps {
		all[i] = ExplainedStep{Step: s}
	}
	return all
}

// Explain is Explain of the running configuration, with what its prober knows of
// the addresses that are not known to be up or start slowly, and its resolver of targets.
func (c *Control) Explain(asked ExplainQuery) Explanation {
	e, at := c.explain(asked)
	var targets []int
	for i := range e.Steps {
		targets = append(targets, targetsOf(e.Steps[i].Provisional)...)
	}
	at.fetchProbes(targets) // without an answer the steps have the verdicts alone
	for i := range e.Steps {
		s := &e.Steps[i]
		for _, a := range s.Provisional {
			s.Addresses = append(s.Addresses, at.addressStatus(a))
		}
		if s.Target != nil {
			s.Resolving = at.resolving(config.Name(s.Target.Name))
		}
	}
	return e
}

// explain explains from the generation that serves, whose files stay open for so long.
func (c *Control) explain(asked ExplainQuery) (Explanation, *view) {
	at := c.hold()
	defer at.control.release()
	e := Explain(at.snapshot, asked)
	e.At = time.Now()
	return e, at
}

// EffectiveClient is asked as it stays when somebody else stands where who decides it does:
// of cfg, by what where knows of it, and the network or address that decides. A client
// subnet that decides nothing for being private, and is the packet's source, is left out: it
// would decide once it is known where it stands.
func EffectiveClient(cfg *config.Config, where *geo.Locator, asked ExplainQuery) (ExplainQuery, netip.Prefix) {
	s := &activeSnapshot{snapshot: &zones.Snapshot{Geo: where}, config: &cfg.Server}
	who, source := s.decidedBy(asked, cfg.UsesECSAt(asked.Name))
	if source == "ecs" {
		return asked, asked.Client
	}
	if asked.Client.IsValid() && asked.Client.Contains(who.addr) {
		asked.Client, asked.Resolver = netip.Prefix{}, who.addr
	}
	return asked, netip.PrefixFrom(who.addr, who.addr.BitLen())
}

// client returns the client subnet of the question and the source of its packet, which is
// 0.0.0.0 if neither is known.
func (a *ExplainQuery) client() (subnet clientSubnet, source netip.Addr) {
	source = a.Resolver.Unmap()
	if a.Client.IsValid() {
		if !source.IsValid() {
			source = a.Client.Addr().Unmap()
		}
		subnet = clientSubnet{present: true, source: uint8(a.Client.Bits()), addr: a.Client.Masked().Addr()}
	}
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
	}
	return subnet, source
}

// decidedBy finds the client that decides, as for a query, and what it is known by. With ecs false
// the client subnet does not count.
func (s *activeSnapshot) decidedBy(asked ExplainQuery, ecs bool) (who clientScope, source string) {
	subnet, resolver := asked.client()
	subnet.present = subnet.present && ecs
	switch who = s.client(&subnet, resolver); {
	case who.scope == scopeDecided:
		return who, "ecs"
	case !asked.Resolver.IsValid() && !asked.Client.IsValid():
		return who, "default"
	}
	return who, "resolver"
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

// effectiveClient is who decided, as explanations write it.
func (a *ExplainQuery) effectiveClient(who clientScope, source string) string {
	if source == "ecs" && !a.Client.IsSingleIP() {
		return a.Client.Masked().String()
	}
	return who.addr.String()
}

// explained is the answer section; never nil, for the JSON's sake.
func explained(answer []dns.RR) []ExplainedRecord {
	records := make([]ExplainedRecord, 0, len(answer))
	for _, rr := range answer {
		head := rr.Header()
		records = append(records, ExplainedRecord{
			Name: head.Name,
			Type: dns.Type(head.Rrtype).String(),
			TTL:  head.Ttl,
			Data: strings.TrimPrefix(rr.String(), head.String()),
		})
	}
	return records
}
