package server

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	frameHead = 2 // the length before each message (RFC 1035 4.2.2)
	// streamChunk is how much is answered before it is written: what a slow reader
	// can make us hold is this and one more answer.
	streamChunk = 16 << 10
	// streamIn is how much is read at once; longer queries get their own room.
	streamIn = 2 << 10
	// writeTime is how long a client may take to make room for a chunk, where it
	// may be idle longer than that.
	writeTime = 5 * time.Second
	// streamDrain is how long a connection that stops is still read from: what
	// the kernel has is there at once.
	streamDrain = 50 * time.Millisecond
)

// streamBuffers are the memory of a connection while it is being answered.
type streamBuffers struct{ out []byte }

// stream is one TCP connection. One goroutine runs it; only drain is for others.
type stream struct {
	server   *Server
	conn     *net.TCPConn
	source   netip.Addr
	seat     uint      // where its responder is looked for first
	in       []byte    // received and not answered yet
	idle     time.Time // when the read deadline was set
	draining atomic.Bool
}

// seats deals out where streams look for a spare responder.
func (s *Server) seat() uint { return uint(s.shared.values[tcpAccepted].Load()) }

func newStream(s *Server, conn *net.TCPConn) *stream {
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	return &stream{
		server: s, conn: conn, source: peer.Addr().Unmap().WithZone(""), seat: s.seat(),
		in: make([]byte, 0, streamIn),
	}
}

// run reads and answers until the client ends, falls silent or reads nothing.
// Queries may come one behind the other (RFC 7766 6.2.1.1); the answers to all that
// came together are written together.
func (c *stream) run() {
	for c.receive() {
		if !c.answer() {
			return
		}
	}
}

// receive waits until there is a whole query.
func (c *stream) receive() bool {
	c.keepAlive()
	for !c.whole() {
		c.makeRoom()
		n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		if n == 0 && err != nil {
			return false
		}
		c.in = c.in[:len(c.in)+n]
	}
	return true
}

// whole reports whether in begins with a whole query.
func (c *stream) whole() bool {
	return len(c.in) >= frameHead && len(c.in) >= frameHead+int(binary.BigEndian.Uint16(c.in))
}

// makeRoom makes room in in for the query that it begins with, at least.
func (c *stream) makeRoom() {
	need := streamIn
	if len(c.in) >= frameHead {
		need = max(need, frameHead+int(binary.BigEndian.Uint16(c.in)))
	}
	if cap(c.in) < need {
		c.in = append(make([]byte, 0, need), c.in...)
	}
}

// keepAlive moves the read deadline on. It stands for a whole query, not for an octet,
// so that a client cannot hold a connection by dripping (RFC 7766 6.2.3).
// A deadline costs more than an answer: it is moved when an eighth of it has passed.
func (c *stream) keepAlive() {
	timeout := c.server.current.Load().config.TCP.Idle
	now := time.Now()
	if now.Sub(c.idle) < timeout/8 || c.draining.Load() {
		return
	}
	c.idle = now
	_ = c.conn.SetReadDeadline(now.Add(timeout)) // fails when closed, as Read will
	if c.draining.Load() {
		c.drain() // it came between
	}
}

// drain ends the connection once what was received is answered.
func (c *stream) drain() {
	c.draining.Store(true)
	_ = c.conn.SetReadDeadline(time.Now().Add(streamDrain))
}

// answer answers the whole queries that in begins with, and keeps the rest.
func (c *stream) answer() bool {
	r := c.server.crew.borrow(c.server, c.seat)
	defer c.server.crew.giveBack(r, c.seat)
	rest := c.in
	for len(rest) > 0 {
		out, left, ok := c.respond(r, rest)
		if len(out) > 0 && !c.write(out) || !ok {
			return false
		}
		if len(left) == len(rest) {
			break
		}
		rest = left
	}
	if cap(c.in) > streamIn && len(rest) <= streamIn {
		c.in = append(make([]byte, 0, streamIn), rest...)
	} else {
		c.in = c.in[:copy(c.in[:cap(c.in)], rest)]
	}
	return true
}

// respond answers whole queries at the beginning of in until a chunk is full. It
// reports false after a message too short to be one: whoever sends that speaks
// another protocol.
func (c *stream) respond(r *Responder, in []byte) (out, rest []byte, ok bool) {
	r.open()
	defer r.close()
	out = r.stream.out[:0]
	ok = true
	for ok && len(out) < streamChunk && len(in) >= frameHead {
		end := frameHead + int(binary.BigEndian.Uint16(in))
		if end > len(in) {
			break
		}
		ok = end >= frameHead+headerSize
		begin := len(out)
		out = r.respond(append(out, 0, 0), in[frameHead:end], c.source, true)
		if size := len(out) - begin - frameHead; size > 0 {
			binary.BigEndian.PutUint16(out[begin:], uint16(size))
		} else {
			out = out[:begin]
		}
		in = in[end:]
	}
	r.stream.keep(out)
	return out, in, ok
}

// keep keeps out's room for the next answers, unless it grew by a large one.
func (b *streamBuffers) keep(out []byte) {
	if cap(out) <= 2*streamChunk {
		b.out = out
	}
}

// write sends out; a client that does not read is not waited for long.
func (c *stream) write(out []byte) bool {
	patience := min(writeTime, c.server.current.Load().config.TCP.Idle)
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience)) // fails when closed, as Write will
	_, err := c.conn.Write(out)
	return err == nil
}
