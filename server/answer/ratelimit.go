package answer

import (
	"net/netip"
	"runtime"

	"github.com/gaissmai/bart"

	"meridian/config"
	"meridian/server/limit"
)

// ratesFor returns the limits of a configuration: those in use, if they are the same; nil: there is no limit, which
// costs a query nothing.
func (e *Engine) ratesFor(c *config.Server) *limit.Rates {
	rate := limit.Rate{PerSecond: c.RateLimit.Rate, Instant: c.RateLimit.Instant, Workers: c.Workers}
	if rate.PerSecond == 0 {
		e.rate = rate
		return nil
	}
	if rate.Workers == 0 {
		rate.Workers = runtime.NumCPU() // not GOMAXPROCS, which is different during a reload
	}
	rate.Workers *= max(1, len(c.Listen)) // each address has its own
	if before := e.current.Load(); before != nil && e.rate == rate {
		return before.rates
	}
	e.rate = rate
	return limit.NewRates(rate)
}

// LimitedNetwork returns the network of the last source over its limit; the zero value: none.
func (e *Engine) LimitedNetwork() netip.Prefix {
	if rates := e.current.Load().rates; rates != nil {
		return rates.Limited()
	}
	return netip.Prefix{}
}

// networksOf returns a table of networks; nil: there are none.
func networksOf(networks []netip.Prefix) *bart.Lite {
	if len(networks) == 0 {
		return nil
	}
	table := new(bart.Lite)
	for _, network := range networks {
		table.Insert(network)
	}
	return table
}

// overLimit reports whether an answer to the query over UDP would be over the limit of its source. A valid cookie shows
// that the source is not forged. Fast path: nearly all sources ask little.
func (r *Responder) overLimit(source netip.Addr) bool {
	return r.sketch.Count(limit.Network(source), r.at.active.rates) && r.hotOverLimit(source)
}

// hotOverLimit is overLimit for a source that may ask much.
func (r *Responder) hotOverLimit(source netip.Addr) bool {
	s, now := r.at.active, r.engine.clock()
	r.sketch.Advance(now)
	switch {
	case r.query.edns.proved, r.postponed != nil:
		return false
	case s.exempt != nil && s.exempt.Contains(source), s.rates.Allow(source, now):
		return false
	}
	if !s.config.RateLimit.Limits() {
		r.counts.add(uint32(rateDryRun))
	}
	return true
}

// limitedAnswer answers a query over the limit:
//
//	query                                  answer
//	malformed, no plain QUERY, or signed   none
//	not the slip-th one                    none
//	with a cookie that is not valid        BADCOOKIE with a valid one
//	any other                              TC: the client repeats the query over TCP
func (r *Responder) limitedAnswer(out []byte, sound bool) []byte {
	slip := r.at.active.config.RateLimit.Slip
	r.over++
	switch {
	case !sound || !r.query.plain() || slip == 0 || r.over%slip != 0:
		r.counts.add(uint32(rateDropped))
		r.countQuery(noAnswer)
		return out
	case r.query.edns.cookie != nil:
		r.counts.add(uint32(rateBadCookie))
		return r.badCookie(out)
	}
	r.counts.add(uint32(rateTruncated))
	r.query.edns.nsid, r.query.edns.echo = false, false // the answer is not larger than the query
	var a reply
	a.begin(r.at.active, out, &r.query, false)
	a.spills = true
	r.count(int(a.rcode), true)
	return a.finish(r.at.active, &r.query)
}
