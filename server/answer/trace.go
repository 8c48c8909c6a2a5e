package answer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/geo"
	"meridian/pools"
	"meridian/snapshot"
)

// ExplainQuery is a question to be explained.
type ExplainQuery struct {
	Name     dnsname.Name
	Type     uint16
	Client   netip.Prefix   // the client subnet of the question; zero value: none
	Resolver netip.Addr     // the source of the packet; zero value: the address of Client
	Draw     *uint64        // the seed of all random draws; nil: a new one
	Signer   *dnssec.Signer // of a running server; nil: unknown what is in its cache
	Time     time.Time      // the time of the question, for pools with sticky: ttl; zero value: now
	Canary   *Canary        // of a running server; nil: none
}

// ExplainedRecord is a record of the answer section.
type ExplainedRecord struct {
	Name string `json:"name"`
	Type string `json:"type"`
	TTL  uint32 `json:"ttl"`
	Data string `json:"data"`
}

// Traced is an answer with the decisions behind it.
type Traced struct {
	Msg         *dns.Msg         // Rcode, Authoritative and the sections
	Client      netip.Addr       // the address that decides
	Source      string           // how Client is known: ecs, resolver, or default if it is not
	Scope       uint8            // of the client subnet
	Draw        uint64           // the seed of all random draws
	Why         string           // the reason for an empty answer
	EDE         uint16           // the extended error (RFC 8914); 0: none
	Notes       []string         // what else decided the answer: settings for the source of the query
	View        string           // of the client, at a name with views; empty: none
	Canary      *ExplainedCanary // nil: none could decide
	Steps       []pools.Step
	PoolAnswers []pools.PoolAnswer
	Answers     []ExplainedRecord // Msg.Answer
	Signatures  []ExplainedSignature
}

// Trace answers asked from snapshot in its current state, by the code of the slow path, and
// records every decision. Equal draws give equal answers; they also seed round-robin.
func Trace(snapshot *snapshot.Snapshot, asked ExplainQuery) Traced {
	s := newActiveSnapshot(snapshot)
	at := &pinned{active: s, scratch: snapshot.Pools.Scratch()}
	if c := asked.Canary; c != nil {
		s.useCanary(&activeCanary{*c, newActiveSnapshot(c.Snapshot)})
		at.canary = &pinned{active: s.canary.active, scratch: c.Snapshot.Pools.Scratch()}
	}
	subnet, resolver := asked.client()
	ignored := s.ignoresSubnet(&asked)
	subnet.present = subnet.present && !ignored
	q := question{
		serving: s, at: at, by: at, qtype: asked.Type,
		subnet: &subnet, source: resolver, draw: asked.draw(), now: asked.time().Unix(), msg: new(dns.Msg), explain: true, signer: asked.Signer,
	}
	for p := at; p != nil; p = p.canary {
		p.scratch.SeedTurns(q.draw)
	}
	switch {
	case asked.Type == dns.TypeANY || !metaType(asked.Type):
		q.resolve(asked.Name.Wire())
	default:
		q.msg.Rcode, q.extra.ede = metaRcode(asked.Type)
	}
	if ignored {
		q.note("the client subnet is not used: %s is not in server.ecs_from", resolver)
	}
	who, source := s.decidedBy(asked, q.usesECS())
	return Traced{
		Msg: q.msg, EDE: q.extra.ede, Notes: q.notes, View: q.view, Canary: q.canary, Client: who.addr, Source: source, Scope: q.scope, Draw: q.draw, Why: q.explainEmpty(asked.Name),
		Steps: q.steps, PoolAnswers: q.standings, Answers: explained(q.msg.Answer), Signatures: q.noted,
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

// EffectiveClient reduces asked to the part that decides, given the server settings of cfg and
// the locations of where, and returns the deciding network or address. A private client subnet
// does not decide; it is removed if it contains the packet's source, because it would decide as
// soon as it has a location.
func EffectiveClient(cfg *config.Config, where *geo.Locator, asked ExplainQuery) (ExplainQuery, netip.Prefix) {
	s := &activeSnapshot{snapshot: &snapshot.Snapshot{Geo: where}, config: &cfg.Server, ecsFrom: networksOf(cfg.Server.ECSFrom)}
	who, source := s.decidedBy(asked, cfg.UsesECSAt(asked.Name))
	if source == "ecs" {
		return asked, asked.Client
	}
	if asked.Client.IsValid() && asked.Client.Contains(who.addr) {
		asked.Client, asked.Resolver = netip.Prefix{}, who.addr
	}
	return asked, netip.PrefixFrom(who.addr, who.addr.BitLen())
}

// client returns the client subnet of the question and the source of its packet, or 0.0.0.0 if
// neither is known.
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

// ignoresSubnet reports whether the client subnet is not used because of the packet's source. Of a question without a
// resolver, it is used: the question is about the client.
func (s *activeSnapshot) ignoresSubnet(asked *ExplainQuery) bool {
	return s.ecsFrom != nil && asked.Client.IsValid() && asked.Resolver.IsValid() && !s.ecsFrom.Contains(asked.Resolver.Unmap())
}

// note records a setting that decided the answer.
func (q *question) note(format string, args ...any) {
	q.notes = append(q.notes, fmt.Sprintf(format, args...))
}

// decidedBy returns the deciding client, as for a query, and how it is known. If ecs is false,
// the client subnet is ignored.
func (s *activeSnapshot) decidedBy(asked ExplainQuery, ecs bool) (who clientScope, source string) {
	subnet, resolver := asked.client()
	subnet.present = subnet.present && ecs && !s.ignoresSubnet(&asked)
	switch who = s.client(&subnet, resolver); {
	case who.scope == scopeDecided:
		return who, "ecs"
	case !asked.Resolver.IsValid() && !asked.Client.IsValid():
		return who, "default"
	}
	return who, "resolver"
}

// explained converts the answer section. It never returns nil: JSON needs a list.
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
