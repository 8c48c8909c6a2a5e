package answer

import (
	"net/netip"
	"sync"
	"time"

	"meridian/dnsname"
	"meridian/pools"
)

// logRings holds the log rings of all responders and the reader's memory.
type logRings struct {
	rings ringList[*logRing]

	reading sync.Mutex // one reader at a time; guards buffer
	buffer  []byte
}

// logQuery puts an answered query into the responder's log ring, if it is to be logged.
func (r *Responder) logQuery(p *logPolicy, packet, answer []byte, source netip.Addr) {
	if !p.wants(r.facts.located, r.facts.zone) || r.logDraws.Uint64() > p.below {
		return
	}
	q := &r.query
	entry := record{facts: r.facts, active: r.at.active, time: time.Now().UnixNano(), client: source, port: r.Port}
	if subnet := &q.edns.subnet; subnet.present && subnet.addr.IsValid() {
		entry.subnet, entry.bits, entry.echoed = subnet.addr, subnet.source, q.edns.echo
	}
	if !r.ring.put(&entry, packet, answer) {
		r.counts.add(uint32(queryLogFull))
	}
}

// LoggedQuery is a query with its answer, as the query log has it.
type LoggedQuery struct {
	Time            time.Time
	Client          netip.AddrPort // port 0: not known
	Transport       Transport
	Subnet          netip.Prefix // the client subnet of the query; invalid: none
	Echoed          bool         // the answer has the subnet, with Scope
	Scope           uint8
	Zone            dnsname.Name // empty: in no zone of ours
	Decided         bool         // a pool answered: Mode and Pool are set
	Mode            pools.Mode
	Pool            string // of Member; without one, the pool of the name
	Member, Region  string // of the member that gave the first address; empty: none
	Query, Response []byte // valid only during the call
}

// DrainQueryLog passes the logged queries that the responders have collected to emit.
func (e *Engine) DrainQueryLog(emit func(*LoggedQuery)) {
	l := &e.logRings
	l.reading.Lock()
	defer l.reading.Unlock()
	var logged LoggedQuery
	for _, ring := range l.rings.current() {
		l.buffer = ring.drain(l.buffer, func(r *record, query, answer []byte) {
			r.resolve(&logged)
			logged.Query, logged.Response = query, answer
			emit(&logged)
		})
	}
}

// resolve fills in q with the names of the record's numbers.
func (r *record) resolve(q *LoggedQuery) {
	*q = LoggedQuery{
		Time: time.Unix(0, r.time), Client: netip.AddrPortFrom(r.client, r.port), Transport: r.transport,
		Echoed: r.echoed, Scope: r.scope, Decided: r.decided, Mode: r.mode,
	}
	if r.subnet.IsValid() {
		q.Subnet = netip.PrefixFrom(r.subnet, int(r.bits))
	}
	if r.located {
		q.Zone = r.active.snapshot.Config.Zones[r.zone].Name
	}
	by := r.active
	if r.canary {
		by = r.active.canary.active
	}
	cfg, tree := by.snapshot.Config, by.snapshot.Pools
	if r.decided {
		q.Pool = cfg.Pools[r.pool].Name
	}
	if r.given {
		names := tree.NamesOf(r.first)
		q.Pool, q.Member, q.Region = names.Pool, names.Member, names.Region
		if q.Region == "" {
			q.Region = tree.NamesOf(r.last).Region
		}
	}
}
