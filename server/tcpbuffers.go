package server

import "bytes"

// tcpBuffers holds idle buffers for the input and output of TCP connections. A connection has one
// for its answers until they are written, and one for its queries while its client pipelines. A
// client that does not read costs no more than these two.
type tcpBuffers chan []byte

const (
	// tcpBufferSize has room for a chunk and one more answer of usual size.
	tcpBufferSize = streamChunk + 4<<10
	// idleTCPBuffers is the number of buffers kept.
	idleTCPBuffers = 64
)

func newTCPBuffers() tcpBuffers { return make(tcpBuffers, idleTCPBuffers) }

// get returns an empty buffer.
func (b tcpBuffers) get() []byte {
	select {
	case buffer := <-b:
		return buffer
	default:
		return make([]byte, 0, tcpBufferSize)
	}
}

// copy returns a copy of answers, in a larger buffer if they do not fit.
func (b tcpBuffers) copy(answers []byte) []byte {
	if len(answers) > tcpBufferSize {
		return bytes.Clone(answers)
	}
	return append(b.get(), answers...)
}

// put returns a buffer. It ignores one of another size.
func (b tcpBuffers) put(buffer []byte) {
	if cap(buffer) != tcpBufferSize {
		return
	}
	select {
	case b <- buffer[:0]:
	default:
	}
}
