package server

import (
	"bytes"
	"net/netip"
	"runtime"
	"time"

	"meridian/server/answer"
)

// maxPostponed is the number of UDP queries that wait for signatures. A query beyond it is answered with TC, so that
// its client comes by TCP: a flood from spoofed addresses does not.
const maxPostponed = 1024

// postponed is a UDP query that waits for a signature. Making one takes as long as many answers, which must not wait
// for it: workers only look into the cache.
type postponed struct {
	worker  *udpWorker
	source  netip.AddrPort
	client  netip.AddrPort // the same, or that of the packet's PROXY header
	control []byte         // of the answer: our address
	packet  []byte
	draw    uint64
}

// postpone takes the query that the worker is answering. It returns false if too many wait already.
func (w *udpWorker) postpone(packet []byte, draw uint64) bool {
	return w.postponeFor(w.responder, packet, draw, w.returnPath)
}

// postponeFor is postpone for a query whose answer takes this way.
func (w *udpWorker) postponeFor(r *answer.Responder, packet []byte, draw uint64, returnPath func() (netip.AddrPort, []byte)) bool {
	if len(w.server.postponed) == cap(w.server.postponed) { // saves the copies
		return false
	}
	source, control := returnPath()
	client := r.ProxiedClient()
	if !client.IsValid() {
		client = source
	}
	p := &postponed{worker: w, source: source, client: client, control: bytes.Clone(control), packet: bytes.Clone(packet), draw: draw}
	w.waiting.Add(1)
	select {
	case w.server.postponed <- p:
		return true
	default:
		w.waiting.Done()
		return false
	}
}

// answerPostponed answers postponed queries until the queue is closed.
func (s *Server) answerPostponed() {
	var out []byte
	for p := range s.postponed {
		r := s.Borrow()
		r.Port = p.client.Port()
		r.Acquire()
		source := p.client.Addr().WithZone("").Unmap()
		out = r.AnswerPostponed(out[:0], p.packet, source, p.draw)
		id, hot := s.hot.identify(r, out)
		update := r.TakeUpdate()
		r.Release()
		s.Return(r)
		if update != nil {
			s.makeUpdate(update, p)
			continue
		}
		p.worker.sendPostponed(out, p)
		if hot {
			s.hot.add(hotQuery{id, p.packet, source, p.draw, time.Now().Add(hotLifetime)})
		}
		p.worker.waiting.Done()
		runtime.Gosched() // the workers wait for one signature, not for all in the queue
	}
}

// sendPostponed sends the answer to a postponed query.
func (w *udpWorker) sendPostponed(out []byte, p *postponed) {
	if len(out) == 0 {
		return
	}
	if _, _, err := w.conn.WriteMsgUDPAddrPort(out, p.control, p.source); err != nil {
		w.server.Count(answer.SendFailed, 1)
	}
}
