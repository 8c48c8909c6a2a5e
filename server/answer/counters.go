package answer

import (
	"log/slog"
	"sync/atomic"

	"github.com/miekg/dns"

	"meridian/server/limit"
)

// Event identifies a Event of a server.
type Event uint8

const (
	truncated Event = iota
	failedOpen
	clientSubnets
	subnetsIgnored // of these: from a source that is not in ecs_from
	prohibited     // refused: the zone does not answer the client
	notQuery       // dropped: not a query
	TooLong        // dropped: longer than any query that is accepted
	NoReturn       // dropped: from port 0
	SendFailed     // dropped: the answer could not be sent
	Unsent         // dropped: no room in the send buffer
	slowAnswered   // answered by the slow path
	unsigned       // TC or SERVFAIL, because a signature was not made
	signatureHits
	signatureMisses
	signaturesMade
	cookiesNew // cookies by result: the client has no server cookie yet
	cookiesValid
	cookiesInvalid
	rateTruncated     // over the limit of the rate: answered with TC
	rateDropped       // dropped
	rateBadCookie     // answered with BADCOOKIE
	rateDryRun        // answered as usual
	quarantineDropped // the packet caused a panic before: dropped
	filterDropped     // matched a rule of the filter: dropped
	filterRefused     // answered with REFUSED
	filterTruncated   // answered with TC
	queryLogFull      // not logged: the ring of the responder is full
	observationsLost  // answers to observed resolvers that were not observed: the ring of the responder is full
	ProxyMissing      // no PROXY header from a source that must send one: dropped, or the connection is closed
	ProxyMalformed
	ProxyVersion1
	ProxyUntrusted // a PROXY header from another source: dropped
	reportsLost    // of resolvers: the ring of the responder is full
	panics
	TransfersRefused
	TransfersSent
	TransfersFailed
	UpdatesMade
	UpdatesRefused
	NotifiesAccepted
	NotifiesRefused
	canaryAnswered // a query that the canary decides
	canaryFailed   // of these: SERVFAIL
	eventCount
)

// The families of a query's source address.
const (
	fromIPv4 = iota
	fromIPv6
	familyCount
)

// queryTypes holds the types that are counted each on its own; all others are counted together.
var queryTypes = [...]uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeNS, dns.TypeSOA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypePTR,
	dns.TypeSRV, dns.TypeCAA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeSVCB, dns.TypeNAPTR, dns.TypeANY,
}

const (
	otherType = len(queryTypes)
	typeCount = otherType + 1
	// highestType is the highest of queryTypes.
	highestType = dns.TypeCAA
)

// typeIndex holds the index in queryTypes by type.
var typeIndex = func() (index [highestType + 1]uint8) {
	for i := range index {
		index[i] = uint8(otherType)
	}
	for i, t := range queryTypes {
		index[t] = uint8(i)
	}
	return index
}()

// QueryType returns the name of a counted type, or other.
func queryTypeName(i int) string {
	if i == otherType {
		return "other"
	}
	return dns.TypeToString[queryTypes[i]]
}

// rcodeCount is the number of response codes with a counter each: 0 to BADCOOKIE.
const rcodeCount = 24

// noAnswer is the index of a query without an answer among the response codes.
const noAnswer = rcodeCount

// A query is counted once, by everything that is known of it: a cell for each combination of transport, family, type
// and response code follows the events in a responder's counters.
const (
	cellCount      = int(TransportCount) * familyCount * typeCount * (rcodeCount + 1)
	responderCount = int(eventCount) + cellCount
)

// cell returns the counter of a query.
func cell(t Transport, family int, qtype uint16, rcode int) uint32 {
	kind := otherType
	if qtype <= highestType {
		kind = int(typeIndex[qtype])
	}
	return uint32(int(eventCount) + ((int(t)*familyCount+family)*typeCount+kind)*(rcodeCount+1) + rcode)
}

// sharedCounters holds the counts of events outside of responders, which are rare. It is safe for concurrent use.
type sharedCounters [eventCount]atomic.Uint64

// add counts n events.
func (s *sharedCounters) add(c Event, n uint64) { s[c].Add(n) }

// Counters holds the counts of a server since its start.
type Counters struct {
	Queries    uint64                              // messages received, over all transports
	UDP        uint64                              // of these, over UDP
	TCP        uint64                              // of these, over TCP
	Sources    [TransportCount][familyCount]uint64 // of these, by transport and family of the source
	Types      [typeCount]uint64                   // of these, by type; see queryTypeName
	Rcodes     [rcodeCount]uint64                  // answers, by extended response code
	Truncated  uint64                              // answers with TC set
	FailedOpen uint64                              // answers from a pool that fails open
	ECS        uint64                              // queries with a client-subnet option
	ECSIgnored uint64                              // of these: from a source whose client subnets are not used
	Prohibited uint64                              // queries refused because their zone does not answer the client
	Dropped    uint64                              // messages without an answer: not a query, or the answer could not be sent
	NotQuery   uint64                              // of these: not a query
	TooLong    uint64                              // of these: longer than any query that is accepted
	NoReturn   uint64                              // of these: from port 0
	SendFailed uint64                              // of these: the answer could not be sent
	Unsent     uint64                              // of these: UDP answers without room in the send buffer
	SlowPath   uint64                              // answers of the slow path
	Unobserved uint64                              // answers to observed resolvers that the statistics have no room for
	ReportLost uint64                              // reports of errors by resolvers that there was no room for
	Unlogged   uint64                              // queries that the query log should have, and has no room for
	Panics     uint64                              // queries answered SERVFAIL because of a panic

	TransfersRefused uint64 // requests for a zone that were refused
	NotifiesAccepted uint64 // notifications of primaries
	NotifiesRefused  uint64 // notifications of others
	TransfersSent    uint64 // zones sent to other servers
	TransfersFailed  uint64 // transfers of which the other server has not received all
	UpdatesMade      uint64 // dynamic updates, also those that changed nothing
	UpdatesRefused   uint64 // dynamic updates that were refused or failed

	Connections [TransportCount]Connections // by transport; UDP has none

	Signed          uint64                      // signatures made
	SignatureHits   uint64                      // signatures of answers that were in the cache
	SignatureMisses uint64                      // those that were not; a postponed query looks twice
	Cookies         [limit.CookieResults]uint64 // queries with a cookie, by result

	RateTruncated uint64 // answers over the limit of the rate that were truncated
	RateDropped   uint64 // those that were not sent
	RateBadCookie uint64 // those that were BADCOOKIE
	RateDryRun    uint64 // those that were sent, because it is a dry run

	Proxy ProxyErrors // of Dropped; connections are counted too

	Quarantined     uint64 // packets dropped because the same one caused a panic
	FilterDropped   uint64 // queries dropped by a rule of the filter
	FilterRefused   uint64 // those answered with REFUSED
	FilterTruncated uint64 // those answered with TC

	Canary       uint64 // queries that a canary has decided
	CanaryFailed uint64 // of these: answered with SERVFAIL

	Unsigned uint64 // answers with TC or SERVFAIL, because a signature was not made in time
}

// ProxyErrors holds the counts of packets and connections with a PROXY header that cannot be used.
type ProxyErrors struct {
	Missing   uint64 // from a source that must send one
	Malformed uint64
	Version1  uint64 // a header of version 1
	Untrusted uint64 // a header from a source that must not send one
}

// Sum returns the number of all.
func (p *ProxyErrors) Sum() uint64 { return p.Missing + p.Malformed + p.Version1 + p.Untrusted }

// rawCounts are the sums of the counters of responders.
type rawCounts [responderCount]uint64

// counters converts the sums of the counters of responders, and the shared counters, which may be older.
func (r *rawCounts) counters(shared *sharedCounters) Counters {
	event := func(c Event) uint64 { return r[c] + shared[c].Load() }
	n := Counters{
		Truncated: event(truncated), FailedOpen: event(failedOpen), ECS: event(clientSubnets), ECSIgnored: event(subnetsIgnored), Prohibited: event(prohibited),
		NotQuery: event(notQuery), TooLong: event(TooLong), NoReturn: event(NoReturn), SendFailed: event(SendFailed), Unsent: event(Unsent),
		SlowPath: event(slowAnswered), Unlogged: event(queryLogFull), Unobserved: event(observationsLost), ReportLost: event(reportsLost), Panics: event(panics),
		TransfersRefused: event(TransfersRefused), TransfersSent: event(TransfersSent), TransfersFailed: event(TransfersFailed),
		UpdatesMade: event(UpdatesMade), UpdatesRefused: event(UpdatesRefused),
		NotifiesAccepted: event(NotifiesAccepted), NotifiesRefused: event(NotifiesRefused),
		Signed: event(signaturesMade), SignatureHits: event(signatureHits), SignatureMisses: event(signatureMisses), Unsigned: event(unsigned),
	}
	for i := range n.Cookies {
		n.Cookies[i] = event(cookiesNew + Event(i))
	}
	n.RateTruncated, n.RateDropped, n.RateBadCookie, n.RateDryRun = event(rateTruncated), event(rateDropped), event(rateBadCookie), event(rateDryRun)
	n.Quarantined = event(quarantineDropped)
	n.Canary, n.CanaryFailed = event(canaryAnswered), event(canaryFailed)
	n.FilterDropped, n.FilterRefused, n.FilterTruncated = event(filterDropped), event(filterRefused), event(filterTruncated)
	n.Proxy = ProxyErrors{event(ProxyMissing), event(ProxyMalformed), event(ProxyVersion1), event(ProxyUntrusted)}
	n.Dropped = n.Proxy.Sum() + n.NotQuery + n.TooLong + n.NoReturn + n.SendFailed + n.Unsent + n.RateDropped + n.FilterDropped + n.Quarantined
	for i, count := range r[eventCount:] {
		n.addCell(i, count)
	}
	n.UDP, n.TCP = n.over(UDP), n.over(TCP)
	for _, t := range Transports() {
		n.Queries += n.over(t)
	}
	return n
}

// over returns the number of messages received over a transport.
func (c *Counters) over(t Transport) uint64 { return c.Sources[t][fromIPv4] + c.Sources[t][fromIPv6] }

// Encrypted returns the number of messages received over encrypted transports.
func (c *Counters) Encrypted() (n uint64) {
	for _, t := range Transports() {
		if t.Encrypted() {
			n += c.over(t)
		}
	}
	return n
}

// addCell adds the count of the i-th cell, see cell.
func (c *Counters) addCell(i int, count uint64) {
	rcode, rest := i%(rcodeCount+1), i/(rcodeCount+1)
	kind, rest := rest%typeCount, rest/typeCount
	c.Sources[rest/familyCount][rest%familyCount] += count
	c.Types[kind] += count
	if rcode != noAnswer {
		c.Rcodes[rcode] += count
	}
}

// LogValue returns the counters that summarize the server's work, for a log line.
func (c Counters) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("queries", c.Queries),
		slog.Uint64("tcp", c.TCP),
		slog.Uint64("encrypted", c.Encrypted()),
		slog.Uint64("fail_open", c.FailedOpen),
		slog.Uint64("truncated", c.Truncated),
		slog.Uint64("dropped", c.Dropped),
		slog.Uint64("unsent", c.Unsent),
		slog.Uint64("panics", c.Panics),
		slog.Uint64("tcp_evicted", c.Connections[TCP].Evicted),
		slog.Uint64("tcp_accept_errors", c.Connections[TCP].AcceptErrors),
	)
}

// QueryTypes returns the names of the counted types, by their index in Counters.Types.
func QueryTypes() []string {
	names := make([]string, typeCount)
	for i := range names {
		names[i] = queryTypeName(i)
	}
	return names
}
