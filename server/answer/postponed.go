package answer

import "net/netip"

// postponed is a query that a worker has postponed.
type postponed struct{ draw uint64 }

// AnswerPostponed is Answer for a query that another responder has postponed with this draw, and has counted for its
// zone and members.
func (r *Responder) AnswerPostponed(out, packet []byte, source netip.Addr, draw uint64) []byte {
	r.postponed = &postponed{draw}
	defer func() { r.postponed = nil }()
	return r.Answer(out, packet, source, false)
}

// newDraw returns the draw for the current answer.
func (r *Responder) newDraw() uint64 {
	if r.postponed != nil {
		r.drawn = r.postponed.draw
	} else {
		r.drawn = r.draw()
	}
	return r.drawn
}
