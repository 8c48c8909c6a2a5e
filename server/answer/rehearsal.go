package answer

import (
	"net/netip"
	"time"

	"meridian/dnsname"
	"meridian/zones"
)

// Rehearsal answers queries before clients ask them again, so that the signatures are in the cache. It is for one
// goroutine. What it answers is not counted and not logged.
type Rehearsal struct {
	r   *Responder
	out []byte
}

// Rehearsal returns a rehearsal of answers from the current snapshot.
func (e *Engine) Rehearsal() *Rehearsal {
	r := newResponder(e, e.draw)
	r.silent = true
	return &Rehearsal{r: e.responders.register(r)}
}

// Ahead is how far ahead of now a rehearsal answers.
type Ahead struct {
	Signatures time.Duration // the slots of signatures
	Decisions  time.Duration // what pools decide, and the bounded draws
}

// Answer answers a query with the draw that it had, as at a time ahead of now.
func (h *Rehearsal) Answer(packet []byte, source netip.Addr, draw uint64, ahead Ahead) {
	r := h.r
	r.Acquire()
	defer r.Release()
	before := r.signatures.request.Made
	if r.at.active.signed == nil {
		return
	}
	r.signatures.request.Now += int64(ahead.Signatures / time.Second)
	r.now += int64(ahead.Decisions / time.Second)
	r.facts = facts{transport: UDP}
	r.postponed = &postponed{draw}
	h.out = r.answerMessage(h.out[:0], packet, source, true)
	r.postponed = nil
	r.engine.Count(signaturesMade, r.signatures.request.Made-before)
}

// OwnSignatures reports whether the sets of a name have signatures that no other name has, although the zone does not
// hold the name: there may be any number of such names. It is for use between Acquire and Release.
func (r *Responder) OwnSignatures(name dnsname.Wire, qtype uint16) bool {
	s := r.at.active
	match := s.zones.Lookup(name, qtype)
	return s.denials != nil && s.denials[match.Zone] == compactDenial && (match.Kind == zones.Wildcard || match.Kind == zones.NXDomain)
}

// End removes what the rehearsal holds.
func (h *Rehearsal) End() { h.r.engine.Remove(h.r) }
