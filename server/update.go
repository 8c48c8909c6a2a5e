package server

import (
	"encoding/binary"

	"meridian/server/answer"
)

// maxUDPUpdates is the number of updates over UDP that wait for the disk.
const maxUDPUpdates = 64

// makeUpdate makes an update that came by a stream, and answers when it is on disk.
func (c *stream) makeUpdate(u *answer.Update) bool {
	out := u.Response(make([]byte, frameHead, 512), u.Apply())
	binary.BigEndian.PutUint16(out, uint16(len(out)-frameHead))
	return c.write(out)
}

// makeUpdate makes an update that came by UDP, and answers when it is on disk. Without a free slot the client tries again.
func (s *Server) makeUpdate(u *answer.Update, p *postponed) {
	select {
	case s.updates <- struct{}{}:
	default:
		s.Count(answer.UpdatesRefused, 1)
		p.worker.waiting.Done()
		return
	}
	go func() {
		defer p.worker.waiting.Done()
		defer func() { <-s.updates }()
		p.worker.sendPostponed(u.Response(nil, u.Apply()), p)
	}()
}
