package answer

import (
	"net/netip"
	"time"
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

// Answer answers a query with the draw that it had, with the signatures of a time ahead of now.
func (h *Rehearsal) Answer(packet []byte, source netip.Addr, draw uint64, ahead time.Duration) {
	r := h.r
	r.Acquire()
	defer r.Release()
	before := r.signatures.request.Made
	if r.at.active.signed == nil {
		return
	}
	r.signatures.request.Now += int64(ahead / time.Second)
	r.facts = facts{transport: UDP}
	r.postponed = &postponed{draw}
	h.out = r.answerMessage(h.out[:0], packet, source, true)
	r.postponed = nil
	r.engine.Count(signaturesMade, r.signatures.request.Made-before)
}

// End removes what the rehearsal holds.
func (h *Rehearsal) End() { h.r.engine.Remove(h.r) }
