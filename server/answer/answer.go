package answer

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/pools"
	"meridian/zones"
)

// question is a question on the slow path, on its way through the zones to an answer. The methods
// are named after their DNS outcome.
type question struct {
	serving   *activeSnapshot
	at        *pinned    // serving, with its canary
	by        *pinned    // that decides at the current name: at, or its canary
	responder *Responder // counts; nil in an explanation
	qtype     uint16
	subnet    *clientSubnet
	source    netip.Addr // of the packet
	draw      uint64
	now       int64 // in Unix seconds
	hops      int   // pools that have answered with a CNAME so far

	signatures *signatures // nil: the client does not ask for signatures
	compactOK  bool        // the client takes NXDOMAIN from compact denial
	match      zones.Match // of the current name

	msg        *dns.Msg // Rcode, Authoritative and the sections are filled in
	found      bool     // a name was looked up
	scope      uint8    // of the client subnet
	decided    bool     // the answer passes through a balanced name
	bySubnet   bool     // client subnets are used at one
	drawn      int      // how many of the answer's last records are addresses chosen by a pool
	failedOpen bool
	prohibited bool     // the last name is in a zone that does not answer the client
	boundTo    pools.ID // the pool of the last balanced name, in the view of the client
	view       string   // of the client, in an explanation; empty: that of all other clients
	extra      extras
	dnames     dnameUses
	end        chainEnd

	explain   bool               // record steps
	canary    *ExplainedCanary   // nil: none could decide
	steps     []pools.Step       // of all decisions
	standings []pools.PoolAnswer // the answers of the pools
	noted     []ExplainedSignature
	notes     []string
	signer    *dnssec.Signer // of a running server
}

// chainEnd is the reason why a chain of aliases ends before its last name.
type chainEnd uint8

const (
	chainComplete chainEnd = iota
	chainLoops
	chainTooLong // more than maxChain names
)

// resolve fills in the answer for owner.
func (q *question) resolve(owner dnsname.Wire) {
	q.follow(owner)
	q.prove()
}

// follow answers for owner and follows aliases inside our zones. A chain ends if it leaves them, loops or grows too
// long.
func (q *question) follow(owner dnsname.Wire) {
	passed := map[string]bool{}
	for range maxChain {
		passed[string(owner.Folded())] = true
		next, more := q.find(owner)
		switch {
		case !more:
			return
		case passed[string(next.Folded())]:
			q.end = chainLoops
			return
		}
		owner = next
	}
	if q.serving.zones.Lookup(owner.Folded(), q.qtype).Kind != zones.Refused {
		q.end = chainTooLong
	}
}

// find looks owner up once. If it is an alias, next is its target.
func (q *question) find(owner dnsname.Wire) (next dnsname.Wire, more bool) {
	match := q.serving.zones.Lookup(owner.Folded(), q.qtype)
	if q.serving.prohibits(match, q.source) {
		q.found = true
		q.refused(true)
		return nil, false
	}
	if q.responder != nil && !q.found && !q.responder.takeFirst(&q.extra, match, q.source) {
		q.found, q.msg.Truncated = true, true
		return nil, false
	}
	if !q.found {
		q.noteCopy(match)
	}
	q.found, q.match = true, match
	switch match.Kind {
	case zones.Exact, zones.Wildcard:
		return q.data(owner, match)
	case zones.DName:
		return q.synthesis(owner, match.Node)
	case zones.Referral:
		q.referral(match.Node)
	case zones.NXDomain:
		q.nameError(owner)
	case zones.Refused:
		q.refused(false)
	case zones.Unavailable:
		q.unavailable(match.Zone)
	}
	return nil, false
}

// data answers from a node:
//
//	qtype            node has              outcome
//	A, AAAA          a pool                balanced: addresses, an alias or no data
//	HTTPS            a pool with https     balanced: the record, or an alias
//	T                members' T records    balanced: the records, an alias or no data
//	T                a pool with cnames    balanced: an alias or no data
//	ANY              anything              one record set (RFC 8482 4.1)
//	T                records of type T     answer
//	T                CNAME                 alias
//	A, AAAA, TXT     whoami                the addresses of the query
//	T                none of these         no data
func (q *question) data(owner dnsname.Wire, match zones.Match) (next dnsname.Wire, more bool) {
	data := q.serving.zones
	binding := data.Balanced(match.Node)
	if q.useStable(); binding != nil {
		binding = q.bindingFor(owner, binding)
	}
	if q.qtype == dns.TypeANY {
		q.any(owner, match, binding)
		return nil, false
	}
	if binding != nil && balances(binding, q.qtype) {
		if !q.balanced(owner, binding, q.qtype) {
			q.noData(owner)
		}
		return q.cname()
	}
	if set, ok := data.RRset(match.Node, q.qtype); ok {
		q.static(owner, set)
		return nil, false
	}
	if set, ok := data.RRset(match.Node, dns.TypeCNAME); ok {
		return q.alias(owner, set)
	}
	if data.IsWhoami(match.Node) && q.whoami(owner, q.qtype) {
		return nil, false
	}
	if !q.signed(owner) {
		q.noData(owner)
	}
	return nil, false
}

// bindingFor returns the binding of a balanced name for the client of the query.
func (q *question) bindingFor(owner dnsname.Wire, binding *zones.Binding) *zones.Binding {
	binding = q.inView(owner, binding)
	q.decided, q.bySubnet = true, q.bySubnet || binding.ECS
	if q.at.canary != nil {
		binding = q.split(owner, binding)
	}
	return binding
}

// static adds a static record set, in the order that its zone says.
func (q *question) static(owner dnsname.Wire, set zones.RRset) { q.add(owner, q.rotated(set), set) }

// answer adds a record set.
func (q *question) answer(owner dnsname.Wire, set zones.RRset) { q.add(owner, set, set) }

// add adds the records of ordered and the signatures of set, which has the same records.
func (q *question) add(owner dnsname.Wire, ordered, set zones.RRset) {
	q.msg.Authoritative = true
	q.msg.Answer = append(q.msg.Answer, ordered.RRs(owner.String())...)
	q.sign(&q.msg.Answer, owner, q.match.Node, set, set.TTL)
}

// balanced adds the addresses, or the alias, chosen by the pool, and reports whether there are
// any.
func (q *question) balanced(owner dnsname.Wire, binding *zones.Binding, rrtype uint16) bool {
	who := q.by.active.clientAt(binding, q.subnet, q.source)
	q.by.scratch.Time, q.by.scratch.TTL = q.now, binding.TTL
	draw := pools.DrawOfHop(q.draw, q.hops)
	if q.signs() {
		draw = q.by.active.variety.bound(q.zoneBy(), binding, q.signedOwner(owner), draw, q.now)
	}
	asked := pools.Request{
		Pool: binding.Pool, Family: family(rrtype), Both: service(binding, rrtype),
		Answers: binding.Answers, Client: who.addr, Draw: draw,
	}
	d := q.decideType(asked, binding, rrtype)
	if q.responder != nil {
		q.responder.countDecision(binding.Pool, d.Mode)
	}
	q.scope = max(q.scope, who.scopeOf(d))
	q.failedOpen = q.failedOpen || d.Mode == pools.FailedOpen
	q.msg.Authoritative = true
	head := dns.RR_Header{Name: owner.String(), Rrtype: rrtype, Class: dns.ClassINET, Ttl: q.by.active.ttl(binding, rrtype)}
	if cname := q.by.scratch.CName; cname != nil {
		head.Rrtype = dns.TypeCNAME
		q.addSigned(owner, &dns.CNAME{Hdr: head, Target: dnsname.Wire(cname).String()})
		return true
	}
	if service(binding, rrtype) {
		if q.signs() {
			slices.SortFunc(q.by.scratch.Addrs, netip.Addr.Compare)
		}
		q.addSigned(owner, q.service(head, binding.HTTPS))
		return true
	}
	if binding.Gives(rrtype) {
		return q.records(owner, head.Ttl, rrtype)
	}
	if !isAddress(rrtype) {
		return false
	}
	q.addAddresses(owner, head)
	return len(q.by.scratch.Addrs) > 0
}

// addAddresses adds the addresses in the scratch.
func (q *question) addAddresses(owner dnsname.Wire, head dns.RR_Header) {
	addrs := q.by.scratch.Addrs
	if len(addrs) == 0 {
		return
	}
	if q.signs() {
		addrs = addrs[:min(len(addrs), maxSignedAddresses)]
	} else {
		q.drawn = len(addrs)
	}
	for _, addr := range addrs {
		q.msg.Answer = append(q.msg.Answer, address(head, addr))
	}
	switch {
	case q.signs():
		q.sign(&q.msg.Answer, owner, q.match.Node, zones.RRset{Type: head.Rrtype, TTL: head.Ttl, Data: q.signatures.addressData(addrs)}, head.Ttl)
	case q.explain:
		q.sign(&q.msg.Answer, owner, q.match.Node, zones.RRset{Type: head.Rrtype, TTL: head.Ttl, Data: new(signatures).addressData(addrs)}, head.Ttl)
	}
}

// addSigned adds a record that is a set of its own.
func (q *question) addSigned(owner dnsname.Wire, rr dns.RR) {
	q.msg.Answer = append(q.msg.Answer, rr)
	if q.signs() || q.explain {
		h := rr.Header()
		record := packRecord(rr)
		end, _ := skipName(record, 0)
		q.sign(&q.msg.Answer, owner, q.match.Node, zones.RRset{Type: h.Rrtype, TTL: h.Ttl, Data: record[end+recordFixed-2:]}, h.Ttl)
	}
}

// signs reports whether the sets of the current name are signed.
func (q *question) signs() bool {
	return q.signatures != nil && q.serving.signedZone(q.match.Zone) != nil
}

// usesECS reports whether client subnets are used for the answer: at one of its balanced names, or
// by the server if it has none.
func (q *question) usesECS() bool {
	if q.decided {
		return q.bySubnet
	}
	return q.serving.config.ECS
}

// cname continues with the alias added by balanced, if any. A question for the alias itself ends
// there. The next pool uses a draw of its own: with the same one, two of four members would get
// nothing if one half of a half is drawn.
func (q *question) cname() (next dnsname.Wire, more bool) {
	if q.by.scratch.CName == nil || q.qtype == dns.TypeCNAME {
		return nil, false
	}
	q.hops++
	return dnsname.Wire(q.by.scratch.CName), true
}

func (q *question) decide(asked pools.Request) pools.Decision {
	tree := q.by.active.snapshot.Pools
	if !q.explain {
		return tree.Decide(asked, q.by.scratch)
	}
	d, steps := tree.Explain(asked, q.by.scratch)
	q.noteSteps(steps)
	return d
}

// noteSteps keeps the steps of a decision for an explanation.
func (q *question) noteSteps(steps []pools.Step) {
	q.steps = append(q.steps, steps...)
	q.standings = append(q.standings, q.by.scratch.PoolAnswers...)
}

// address returns an A or AAAA record.
func address(head dns.RR_Header, addr netip.Addr) dns.RR {
	if head.Rrtype == dns.TypeA {
		return &dns.A{Hdr: head, A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: head, AAAA: addr.AsSlice()}
}

// any adds one record set: the balanced addresses if there are any, otherwise the smallest static
// one (RFC 8482 4.1).
func (q *question) any(owner dnsname.Wire, match zones.Match, binding *zones.Binding) {
	data := q.serving.zones
	if binding != nil && (q.balanced(owner, binding, dns.TypeA) || q.balanced(owner, q.by.active.zones.ForType(binding, dns.TypeAAAA), dns.TypeAAAA) || q.anyRecords(owner, binding)) {
		return
	}
	if data.IsWhoami(match.Node) && q.whoami(owner, dns.TypeTXT) {
		return
	}
	sets := data.RRsets(match.Node)
	if len(sets) == 0 {
		q.noData(owner)
		return
	}
	smallest := sets[0]
	for _, set := range sets[1:] {
		if len(set.Data) < len(smallest.Data) {
			smallest = set
		}
	}
	q.static(owner, smallest)
}

// noData answers that the name exists without records of the type (RFC 2308 2.2).
func (q *question) noData(owner dnsname.Wire) {
	q.addSOA()
	q.deny(owner)
}

// addSOA adds the SOA for negative caching (RFC 2308 3).
func (q *question) addSOA() {
	data, zone := q.serving.zones, q.match.Zone
	q.msg.Authoritative = true
	q.msg.Ns = data.Negative(zone).RRs(data.Apex(zone).String())
}

// nameError answers that the name does not exist (RFC 2308 2.1). After aliases this applies to
// the last name (RFC 6604 2.1).
func (q *question) nameError(owner dnsname.Wire) {
	q.addSOA()
	q.msg.Rcode = dns.RcodeNameError
	q.deny(owner)
}

// referral adds the name servers of the zone below the cut at node, with glue. It is not
// authoritative, unless an alias of ours leads there (RFC 1035 4.1.1).
func (q *question) referral(node zones.NodeID) {
	data := q.serving.zones
	if servers, ok := data.RRset(node, dns.TypeNS); ok {
		q.msg.Ns = servers.RRs(data.NodeName(node).String())
	}
	q.signedReferral(node)
	for _, ns := range data.Glue(node) {
		count, glue := data.GlueRecords(ns)
		for at := 0; count > 0; count-- {
			rr, next, err := dns.UnpackRR(glue, at)
			if err != nil {
				panic("server: glue that does not unpack: " + err.Error()) // zones packed it
			}
			q.msg.Extra = append(q.msg.Extra, rr)
			at = next
		}
	}
}

// refused answers that no zone of ours contains the name, or that its zone does not answer the client. A chain of
// aliases ends here.
func (q *question) refused(prohibited bool) {
	q.prohibited = prohibited
	if len(q.msg.Answer) > 0 {
		return
	}
	q.msg.Rcode, q.extra.ede = dns.RcodeRefused, refusedEDE(prohibited)
	if q.responder != nil {
		q.responder.countRefused(prohibited)
	}
}
