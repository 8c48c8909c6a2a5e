package server

import "sync/atomic"

// streamShare is how many streams each connection may have at any time. More are refused when all connections together
// have as many as if each of the largest number of connections used its share: clients that do not complete their
// queries take bounded memory, and leave others their share.
const streamShare = 4

// streamCount is the number of streams being served, of all connections of a listener.
type streamCount struct{ all atomic.Int64 }

// admit counts a new stream of a connection, which has own of them, with the largest number of connections; false: it is
// refused.
func (s *streamCount) admit(own *atomic.Int64, connections int) bool {
	if all := s.all.Load(); all >= int64(streamShare*connections) && own.Load() >= streamShare {
		return false
	}
	s.all.Add(1)
	own.Add(1)
	return true
}

// end ends the counting of an admitted stream.
func (s *streamCount) end(own *atomic.Int64) {
	s.all.Add(-1)
	own.Add(-1)
}
