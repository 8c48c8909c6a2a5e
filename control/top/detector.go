package top

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// The detector's constants; see the comment of the package.
const (
	warmUp     = 60   // seconds after the start, for the usual rates only
	rateSpan   = 5    // the present rate is the mean of so many seconds
	beginAfter = 5    // seconds that a flood is over its limit before it begins
	endAfter   = 60   // seconds that it is below half of it before it ends
	factor     = 5.0  // times the usual rate
	minShare   = 0.1  // of all queries
	meanOver   = 600  // seconds: the usual rate is an exponential mean
	tracked    = 4096 // keys with a usual rate
	minSamples = 3    // that a key must have for its usual rate to be kept: fewer are chance
)

// Kind is the property that the queries of a flood share.
type Kind string

// The kinds, in the order of floods that begin in the same second: the first one explains the others.
const (
	BySource Kind = "source" // a network
	ByName   Kind = "name"
	ByZone   Kind = "zone" // random names of it: those that do not exist, or that a wildcard or a DNAME answers
	ByType   Kind = "type" // other than A, AAAA and HTTPS, which all clients ask for
)

// Kinds returns the kinds of floods.
func Kinds() []Kind { return []Kind{BySource, ByName, ByZone, ByType} }

// key is a property of queries.
type key struct {
	kind   Kind
	name   string // of ByName and ByZone, in wire form
	source netip.Prefix
	qtype  uint16
}

// String returns the value of the property.
func (k key) String() string {
	switch k.kind {
	case BySource:
		return k.source.String()
	case ByName:
		return nameText(k.name)
	case ByZone:
		return zoneText(k.name)
	}
	return dns.Type(k.qtype).String()
}

// matches reports whether q has the property.
func (k key) matches(q *query) bool {
	switch k.kind {
	case BySource:
		return q.source == k.source
	case ByName:
		return q.name == k.name
	case ByZone:
		return q.isRandom() && q.zone() == k.name
	}
	return q.qtype == k.qtype && q.name != ""
}

// eachKey calls visit with the properties of q.
func (q *query) eachKey(visit func(key)) {
	visit(key{kind: BySource, source: q.source})
	if q.name == "" {
		return
	}
	visit(key{kind: ByName, name: q.name})
	if q.isRandom() {
		visit(key{kind: ByZone, name: q.zone()})
	}
	if q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA && q.qtype != dns.TypeHTTPS {
		visit(key{kind: ByType, qtype: q.qtype})
	}
}

// Flood is a key with far more queries than usual, as JSON.
type Flood struct {
	Number  int       `json:"number"` // grows with each flood of the process
	Kind    Kind      `json:"kind"`   // source, name, zone, type
	Key     string    `json:"key"`    // the network, name, zone or type
	Since   time.Time `json:"since"`
	Rate    float64   `json:"queries_per_second"`
	Peak    float64   `json:"peak_queries_per_second"`
	Usual   float64   `json:"usual_queries_per_second"`
	Queries float64   `json:"queries"`           // since it began
	Command string    `json:"command,omitempty"` // stops it; empty: no rule of the filter would

	key   key
	below int // seconds below the rate that ends it
}

// Subject identifies the key of the flood.
func (f *Flood) Subject() string { return string(f.Kind) + " " + f.Key }

// detector finds floods. It is guarded by the table's mutex.
type detector struct {
	min     float64         // the least queries a second of a flood; 0: it finds none
	seconds int             // that it has seen
	usual   map[key]float64 // queries a second
	over    map[key]int     // seconds that a key has been over its limit
	active  []*Flood
	number  int // of the last flood
}

func newDetector(flood int) detector {
	return detector{min: float64(flood), usual: map[key]float64{}, over: map[key]int{}}
}

// floods returns the present floods, the one with the highest rate first.
func (d *detector) floods() []Flood {
	all := make([]Flood, len(d.active))
	for i, f := range d.active {
		all[i] = *f
	}
	slices.SortStableFunc(all, func(a, b Flood) int { return cmp.Compare(b.Rate, a.Rate) })
	return all
}

// Tick looks for floods in the seconds that are complete at now. It returns those that have begun and ended. Floods that begin
// have a number above lastRule: a rule of the filter may have it in its name. It is called only if a flood may begin.
func (t *Table) Tick(now time.Time, lastRule func() int) (begun, ended []Flood) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.secondAt(now)
	for t.ticked = max(t.ticked+1, end-kept+rateSpan); t.ticked < end; t.ticked++ {
		more, less := t.detector.step(t.lastLocked(t.ticked, rateSpan), t.ticked, t.began, lastRule)
		begun, ended = append(begun, more...), append(ended, less...)
	}
	t.ticked--
	return begun, ended
}

// Floods returns the present floods.
func (t *Table) Floods() []Flood {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.detector.floods()
}

// rates holds the present rate of each property.
type rates struct {
	of    map[key]rate
	total float64
}

// rate is the rate of a property over the last seconds.
type rate struct {
	mean    float64
	latest  float64 // of the last second alone
	samples int
}

// measure returns the rates of the seconds up to at, without the queries that skip selects.
func measure(seconds []*second, at int64, skip func(*query) bool) rates {
	r := rates{of: map[key]rate{}}
	span := float64(min(at+1, rateSpan))
	for _, s := range seconds {
		r.total += s.weight / span
		for i := range s.queries {
			q := &s.queries[i]
			if skip(q) {
				continue
			}
			q.eachKey(func(k key) {
				n := r.of[k]
				n.mean += q.weight / span
				n.samples++
				if s.at == at {
					n.latest += q.weight
				}
				r.of[k] = n
			})
		}
	}
	return r
}

// step looks at the second at, the last of seconds.
func (d *detector) step(seconds []*second, at int64, began time.Time, lastRule func() int) (begun, ended []Flood) {
	r := measure(seconds, at, func(*query) bool { return false })
	d.seconds++
	now := began.Add(time.Duration(at+1) * time.Second)
	ended = d.end(&r)
	if d.min > 0 && d.seconds > warmUp {
		begun = d.begin(&r, seconds, now, lastRule)
	}
	for _, f := range d.active {
		f.update(&r, seconds)
	}
	if d.min > 0 {
		if len(d.active) > 0 {
			r = measure(seconds, at, d.isOfFlood)
		}
		d.learn(&r)
	} else { // it starts again when floods are to be found
		clear(d.usual)
		clear(d.over)
		d.seconds = 0
	}
	return begun, ended
}

// limit returns the least rate of a flood of a key.
func (d *detector) limit(k key) float64 { return max(d.min, factor*d.usual[k]) }

// isActive reports whether a key is a flood.
func (d *detector) isActive(k key) bool {
	return slices.ContainsFunc(d.active, func(f *Flood) bool { return f.key == k })
}

// isOfFlood reports whether a query is one of a present flood.
func (d *detector) isOfFlood(q *query) bool {
	return slices.ContainsFunc(d.active, func(f *Flood) bool { return f.key.matches(q) })
}

// begin adds the floods that begin.
func (d *detector) begin(r *rates, seconds []*second, now time.Time, lastRule func() int) (begun []Flood) {
	maps.DeleteFunc(d.over, func(k key, _ int) bool { return !d.isOver(k, r) })
	var ready []key
	for k := range r.of {
		if !d.isOver(k, r) || d.isActive(k) {
			continue
		}
		if d.over[k]++; d.over[k] >= beginAfter {
			ready = append(ready, k)
		}
	}
	slices.SortFunc(ready, func(a, b key) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds(), a.kind), slices.Index(Kinds(), b.kind)), cmp.Compare(r.of[b].mean, r.of[a].mean), cmp.Compare(a.String(), b.String()))
	})
	for _, k := range ready {
		if d.isCovered(k, r, seconds) {
			continue
		}
		d.number = max(d.number, lastRule()) + 1
		f := &Flood{Number: d.number, Kind: k.kind, Key: k.String(), Since: now, Usual: d.usual[k], key: k}
		f.update(r, seconds)
		d.active = append(d.active, f)
		begun = append(begun, *f)
	}
	return begun
}

func (d *detector) isOver(k key, r *rates) bool {
	return r.of[k].mean >= max(d.limit(k), minShare*r.total)
}

// isCovered reports whether a property is no flood without the queries of the present floods.
func (d *detector) isCovered(k key, r *rates, seconds []*second) bool {
	rest := 0.0
	eachMatch(k, seconds, func(q *query) {
		if !d.isOfFlood(q) {
			rest += q.weight
		}
	})
	return rest/rateSpan < max(d.limit(k), minShare*r.total)
}

// eachMatch calls visit with the queries that have a property.
func eachMatch(k key, seconds []*second, visit func(*query)) {
	for _, s := range seconds {
		for i := range s.queries {
			if k.matches(&s.queries[i]) {
				visit(&s.queries[i])
			}
		}
	}
}

// update takes the present rate, and the command of the greatest one, when most queries show their common properties.
func (f *Flood) update(r *rates, seconds []*second) {
	f.Rate = r.of[f.key].mean
	f.Queries += r.of[f.key].latest
	if f.Rate > f.Peak {
		f.Peak = f.Rate
		f.Command = f.command(seconds)
	}
}

// end removes the floods that end, all of them if none is to be reported any more.
func (d *detector) end(r *rates) (ended []Flood) {
	d.active = slices.DeleteFunc(d.active, func(f *Flood) bool {
		if f.below++; r.of[f.key].mean >= d.limit(f.key)/2 {
			f.below = 0
		}
		if f.below < endAfter && d.min > 0 {
			return false
		}
		f.Rate = r.of[f.key].mean
		ended = append(ended, *f)
		return true
	})
	return ended
}

// learn moves the usual rates towards the present ones, without the queries of present floods. After the start a usual rate
// is the mean since then. That of a flood, and of what may begin as one, remains: otherwise a long flood would become usual.
func (d *detector) learn(r *rates) {
	floor := d.min / factor // no limit depends on lower rates
	d.learnNew(r, floor)
	span := float64(min(d.seconds, meanOver))
	for k, usual := range d.usual {
		if d.remains(k) {
			continue
		}
		next := usual + (r.of[k].mean-usual)/span
		if d.usual[k] = next; next < floor/10 && r.of[k].mean < floor {
			delete(d.usual, k)
		}
	}
	for least := floor; len(d.usual) > tracked && !math.IsInf(least, 1); least *= 2 {
		maps.DeleteFunc(d.usual, func(k key, usual float64) bool { return usual < least && !d.isActive(k) })
	}
}

// learnNew adds the usual rates of keys that have none.
func (d *detector) learnNew(r *rates, floor float64) {
	for k, n := range r.of {
		if _, known := d.usual[k]; !known && n.mean >= floor && n.samples >= minSamples && !d.remains(k) {
			d.usual[k] = min(n.mean, floor)
		}
	}
}

// remains reports whether the usual rate of a key is not to be changed now.
func (d *detector) remains(k key) bool { return d.over[k] > 0 || d.isActive(k) }
