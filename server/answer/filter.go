package answer

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/server/limit"
)

// filters holds the rules of the filter: those added at run time, then those of the configuration.
type filters struct {
	mu         sync.Mutex // guards the rules, and is held while current is replaced
	added      []config.FilterRule
	configured []config.FilterRule
	current    atomic.Pointer[limit.Filter] // nil: there is no rule
}

// SetFilters sets the rules that are added to those of the configuration. They come before them.
func (e *Engine) SetFilters(added []config.FilterRule) {
	f := &e.filters
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added = added
	f.compileLocked()
}

// configure sets the rules of the configuration.
func (f *filters) configure(rules []config.FilterRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.configured = rules
	f.compileLocked()
}

func (f *filters) compileLocked() {
	f.current.Store(limit.NewFilter(slices.Concat(f.added, f.configured), f.current.Load()))
}

// Filters returns the rules of the filter in their order, the added ones first.
func (e *Engine) Filters() []limit.FilterStatus { return e.filters.current.Load().Status() }

// filtered answers a query that a rule of the filter applies to; done is false if none does:
//
//	action     query                                  answer
//	truncate   over TCP                               as usual
//	drop       any other                              none
//	any        malformed, no plain QUERY, or signed   none
//	refuse     any other                              REFUSED, with the extended error Prohibited
//	truncate   any other                              TC: the client repeats the query over TCP
func (r *Responder) filtered(out []byte, sound bool, source netip.Addr, stream bool) (answer []byte, done bool) {
	if r.postponed != nil { // it has passed
		return out, false
	}
	q := &r.query
	name := q.name
	if q.end == 0 {
		name = nil
	}
	rule := r.filter.Match(name, q.qtype, source)
	if rule < 0 {
		return out, false
	}
	r.filter.Count(rule, r.number)
	action := r.filter.Action(rule)
	switch {
	case stream && action == config.FilterTruncate:
		return out, false
	case !sound || !q.plain() || action == config.FilterDrop:
		r.counts.add(uint32(filterDropped))
		r.countQuery(noAnswer)
		return out, true
	}
	return r.filteredAnswer(out, action, source, stream), true
}

// filteredAnswer answers a plain query with REFUSED or TC.
func (r *Responder) filteredAnswer(out []byte, action config.FilterAction, source netip.Addr, stream bool) []byte {
	q, s := &r.query, r.at.active
	if q.edns.cookie != nil {
		r.checkCookie(source, true, stream)
	}
	q.edns.nsid, q.edns.echo = false, false // the source may be forged: the answer is small
	var a reply
	a.begin(s, out, q, stream)
	if a.spills = action == config.FilterTruncate; a.spills {
		r.counts.add(uint32(filterTruncated))
	} else {
		r.counts.add(uint32(filterRefused))
		a.rcode, a.extra.ede = dns.RcodeRefused, dns.ExtendedErrorCodeProhibited
	}
	r.count(int(a.rcode), a.spills)
	return a.finish(s, q)
}
