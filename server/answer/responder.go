package answer

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"meridian/pools"
	"meridian/server/limit"
	"meridian/transfer"
	"meridian/transfer/tsig"
	"meridian/zones"
)

// Responder answers single messages. It is the state of one worker, not for concurrent use.
//
// It shares its slot with the engine. While the responder answers, the slot is nil; otherwise it
// holds the pinned snapshot, and Swap may remove it. So Swap sees the responders that may still
// read the old snapshot, and an idle worker keeps no old snapshot alive.
type Responder struct {
	engine     *Engine
	slot       atomic.Pointer[pinned]
	closed     atomic.Uint64 // batches ended
	at         *pinned       // between acquire and release
	by         *pinned       // that decides at the current name: at, or its canary
	now        int64         // between acquire and release: the time of the batch in Unix seconds; 0: not needed yet
	query      query
	chain      aliasChain
	draw       func() uint64
	drawn      uint64     // the draw of the current answer
	postponed  *postponed // the query that is answered again; nil: a new one
	signatures signatures
	tsig       *tsig.Response   // of a signed query; nil: the answer is not signed
	transfer   *Transfer        // that the message asks for, until TakeTransfer
	refused    *RefusedTransfer // the last one, until TakeRefusedTransfer
	update     *Update          // that the message asks for, until TakeUpdate
	counts     counterSet
	facts      facts
	sketch     *limit.Sketch // made with the first snapshot
	filter     *limit.Filter // between acquire and release; nil: there is no rule
	number     uint32        // of the responder, for counts of the filter

	quarantined *[]*quarantined // between acquire and release; nil: no packet is in quarantine

	over     int      // answers over the limit so far
	ring     *logRing // nil: it has never logged a query
	logDraws *rand.PCG

	observations *observationRing // nil: it has never observed a resolver
	reports      *reportRing      // nil: it has never received reports
	sampler      sampler

	Port      uint16         // of the source of the current message; 0: not known
	proxied   netip.AddrPort // the client in the PROXY header of the current message; see ProxiedClient
	Over      Transport      // of the current message, if it came by a stream; UDP: TCP
	took      [TransportCount]durations
	batches   uint32    // begun
	timedFrom time.Time // when the current batch began; zero: it is not timed
	Streamed  []byte    // answers to a TCP connection, until they are copied

	setData []byte // of an answer with records made for it: those of members, or a rotated set

	// Postpone takes a query to be answered by AnswerPostponed, because a signature is missing and making it takes as
	// long as many answers. It returns false if there are too many. nil: missing signatures are made at once.
	Postpone func(packet []byte, draw uint64) bool

	// Transfers says that the caller sends the transfers that TakeTransfer returns, and over a stream makes the updates
	// that TakeUpdate returns; false: both are refused.
	Transfers bool
	TLS       transfer.TLS // the connection of the current message, for rules of transfers; nil: it is not encrypted

	silent   bool // it counts and logs nothing: see Rehearsal
	slowOnly bool // never use the fast path: for tests that compare the two
}

// pinned is a snapshot with a scratch for its pools.
type pinned struct {
	active  *activeSnapshot
	scratch *pools.Scratch
	answers *counterSet // of active.answers

	canary *pinned      // of active.canary; nil: there is none
	zone   zones.ZoneID // of the current name, in a canary
}

// movedTo returns what a responder keeps of p for another snapshot: its counts and the state of round-robin, if only updates
// or the end of a canary lie between the two.
func (p *pinned) movedTo(next *activeSnapshot) *pinned {
	moved := &pinned{active: next, scratch: p.scratch, answers: p.answers}
	switch {
	case p.active == nil || p.active.answers != next.answers:
		return unpinned()
	case next.canary == nil:
		return moved
	case p.canary == nil || p.canary.active != next.canary.active:
		return unpinned()
	}
	moved.canary = p.canary
	return moved
}

// unpinned returns the slot value of an idle responder without a snapshot.
func unpinned() *pinned { return &pinned{} }

func newResponder(e *Engine, draw func() uint64) *Responder {
	r := &Responder{engine: e, draw: draw, logDraws: newPCG(), counts: newCounterSet(responderCount), number: e.numbers.Add(1)}
	if draw == nil {
		r.draw = newPCG().Uint64
	}
	r.slot.Store(unpinned())
	return r
}

// newPCG returns a fast source of draws with a secret seed.
func newPCG() *rand.PCG {
	var seed [16]byte
	_, _ = crand.Read(seed[:]) // it never fails
	return rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))
}

// Acquire pins the engine's current snapshot for a batch of answers.
//
// It empties the slot before it loads current, and Swap stores current before it reads the slot:
// in either order, Swap sees the empty slot and waits, or this load sees the new snapshot.
func (r *Responder) Acquire() {
	r.at = r.slot.Swap(nil)
	if now := r.engine.current.Load(); r.at.active != now {
		if r.at = r.at.movedTo(now); r.at.active == nil {
			r.at = r.pin(now)
		}
		if r.sketch == nil && now.rates != nil {
			r.sketch = limit.NewSketch()
		}
		if !r.silent {
			r.addRings(now)
		}
	}
	r.by = r.at
	if every := r.engine.samples.every.Load(); every != r.sampler.every && !r.silent {
		r.sampler.set(every, r.engine)
	}
	r.filter = r.engine.filters.current.Load()
	r.quarantined = r.engine.quarantine.current.Load()
	if r.now = 0; r.at.active.usesTime || r.at.active.signed != nil {
		r.now = r.engine.clock().Unix()
	}
	r.signatures.signer = r.at.active.signer
	r.signatures.request.Now, r.signatures.request.Make = r.now, r.Postpone == nil
}

// addRings makes the rings that the responder needs for a snapshot and does not have.
func (r *Responder) addRings(now *activeSnapshot) {
	if now.log != nil && r.ring == nil {
		r.ring = r.engine.logRings.rings.add(newLogRing())
	}
	if now.sample != nil && r.observations == nil {
		r.observations = r.engine.observations.rings.add(new(observationRing))
	}
	if now.agent != nil && now.agent.node != 0 && r.reports == nil {
		r.reports = r.engine.reports.rings.add(new(reportRing))
	}
}

// pin returns what a responder needs of a snapshot.
func (r *Responder) pin(now *activeSnapshot) *pinned {
	p := &pinned{active: now, scratch: newScratch(now)}
	if now.canary != nil {
		p.canary = r.pin(now.canary.active)
	}
	if r.silent {
		counts := newCounterSet(now.answers.size)
		p.answers = &counts
	} else {
		p.answers = now.answers.add()
	}
	return p
}

// newScratch makes the scratch for a snapshot, with round-robin at a random position.
func newScratch(s *activeSnapshot) *pools.Scratch {
	scratch := s.snapshot.Pools.Scratch()
	scratch.StartAtRandom()
	return scratch
}

// Release ends acquire and publishes the counts.
func (r *Responder) Release() {
	if q := &r.signatures.request; q.Hits|q.Misses != 0 {
		r.countSignatures()
	}
	r.counts.publish()
	r.at.answers.publish()
	if r.at.canary != nil {
		r.at.canary.answers.publish()
	}
	r.slot.Store(r.at)
	r.at, r.by = nil, nil
	r.closed.Add(1)
}

// Respond appends the answer to query, a whole DNS message from source, to out. It appends
// nothing if no reply is due. stream means TCP: no truncation at the UDP size.
func (r *Responder) Respond(out, query []byte, source netip.Addr, stream bool) []byte {
	r.Acquire()
	out = r.Answer(out, query, source.Unmap(), stream)
	r.Release()
	return out
}

// AskedKeepalive reports whether the last answered query has the option edns-tcp-keepalive (RFC 7828).
func (r *Responder) AskedKeepalive() bool { return r.query.edns.keepalive }

// Answer is Respond between acquire and release, for a batch of messages.
func (r *Responder) Answer(out, packet []byte, source netip.Addr, stream bool) []byte {
	r.facts = facts{transport: UDP}
	if stream {
		r.facts.transport = max(TCP, r.Over)
	} else if r.at.active.proxies != nil && r.postponed == nil {
		var ok bool
		if packet, source, ok = r.unwrap(packet, source); !ok {
			return out
		}
	}
	if source.Is6() {
		r.facts.family = fromIPv6
	}
	if len(packet) < HeaderSize || packet[2]&flagQR != 0 {
		r.counts.add(uint32(notQuery))
		r.countQuery(noAnswer)
		return out
	}
	if r.quarantined != nil && r.isQuarantined(packet) {
		return out
	}
	return r.answerQuery(out, packet, source, stream)
}

// answerQuery answers a message that is a query by its header, pads the answer and records it.
func (r *Responder) answerQuery(out, packet []byte, source netip.Addr, stream bool) []byte {
	begin := len(out)
	out = r.answerMessage(out, packet, source, stream)
	if r.query.edns.padded && r.facts.transport.Encrypted() && len(out) > begin {
		out = pad(out, begin)
	}
	if r.at.active.records && len(out) > begin {
		r.record(packet, out[begin:], source)
	}
	if !r.facts.waits { // otherwise it is counted when it is answered
		if r.sampler.seen++; r.sampler.seen == r.sampler.at {
			r.sample(out[begin:], source)
		}
	}
	return out
}

// record passes an answered query to the query log and the statistics of resolvers, as far as they want it.
func (r *Responder) record(packet, answer []byte, source netip.Addr) {
	if p := r.at.active.log; p != nil {
		r.logQuery(p, packet, answer, source)
	}
	if p := r.at.active.sample; p != nil && r.facts.decided {
		r.observe(p, source)
	}
}

// answerMessage answers a message with a header.
func (r *Responder) answerMessage(out, packet []byte, source netip.Addr, stream bool) (answer []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			answer = r.serverFailure(out, packet, source, fault)
		}
	}()
	sound := r.query.parse(packet, r.at.active.readsECS)
	r.facts.qtype = r.query.qtype
	if r.query.edns.subnet.present {
		r.beginSubnet(source)
	}
	if r.filter != nil {
		if out, done := r.filtered(out, sound, source, stream); done {
			return out
		}
	}
	refused := r.query.edns.cookie != nil && !r.checkCookie(source, sound, stream)
	if r.at.active.rates != nil && r.exceedsLimit(source, stream) {
		return r.limitedAnswer(out, sound)
	}
	if refused {
		return r.badCookie(out)
	}
	if sound && r.query.fastPathEligible() && !r.slowOnly {
		return r.fastPath(out, source, stream)
	}
	return r.slowPath(out, sound, source, stream)
}

// exceedsLimit counts a query over UDP against the rate limit, and reports whether it is over it and not answered as usual.
func (r *Responder) exceedsLimit(source netip.Addr, stream bool) bool {
	return !stream && r.overLimit(source) && r.at.active.config.RateLimit.Limits()
}

// CountEvent counts an event of a batch, between acquire and release.
func (r *Responder) CountEvent(c Event) { r.counts.add(uint32(c)) }

// count counts an answer.
func (r *Responder) count(rcode int, tc bool) {
	r.countQuery(rcode)
	if tc {
		r.counts.add(uint32(truncated))
	}
}

// countQuery counts a query with its response code, or noAnswer.
func (r *Responder) countQuery(rcode int) {
	r.counts.add(cell(r.facts.transport, r.facts.family, r.facts.qtype, rcode))
	if r.facts.canary {
		r.countCanary(rcode)
	}
}

// serverFailure answers a packet that caused a panic: one bad packet, or a bug of ours, must not
// affect the others. The scratch may be half written and is replaced.
func (r *Responder) serverFailure(out, packet []byte, source netip.Addr, fault any) []byte {
	r.count(dns.RcodeServerFailure, false)
	r.transfer, r.refused, r.update = nil, nil, nil
	r.engine.panicked(fault, packet, debug.Stack())
	r.quarantine(packet, source, fault)
	r.by.scratch = newScratch(r.by.active)
	base := len(out)
	out = append(out, packet[:HeaderSize]...)
	h := out[base:]
	h[2] = flagQR | h[2]&(opcodeMask|flagRD)
	h[3] = h[3]&flagCD | dns.RcodeServerFailure
	clear(h[4:])
	if q := &r.query; q.end > 0 {
		h[5] = 1
		out = append(out, packet[HeaderSize:q.end]...)
	}
	return out
}
