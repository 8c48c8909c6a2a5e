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
	// streamIn is how much is read at once; longer queries get room as they come.
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
	server *Server
	conn   *net.TCPConn
	source netip.Addr
	client netip.Addr                // whom the limit for each client counts it with
	seat   uint                      // where its responder is looked for first
	in     []byte                    // received and not answered yet
	idle   time.Time                 // when the read deadline was set
	end    atomic.Pointer[time.Time] // of draining; nil before
}

// seat deals out where streams look for a spare responder.
func (s *Server) seat() uint { return uint(s.shared.values[tcpAccepted].Load()) }

func newStream(s *Server, conn *net.TCPConn) *stream {
	source := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	return &stream{
		server: s, conn: conn, source: source, client: clientNetwork(source), seat: s.seat(),
		in: make([]byte, 0, streamIn),
	}
}

// clientNetwork is the address of the network that counts as one client: by
// IPv6 a single one has a whole /64 of addresses to come from (RFC 6177).
func clientNetwork(source netip.Addr) netip.Addr {
	const one = 64
	if source.Is4() {
		return source
	}
	network, _ := source.Prefix(one) // fails for a longer prefix than the family's only
	return network.Addr()
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
		if len(c.in) == cap(c.in) {
			c.grow()
		}
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

// grow makes room for more of the query that in, which is full, begins with: no
// more than twice what came, so that a length alone takes no memory.
func (c *stream) grow() {
	whole := frameHead + int(binary.BigEndian.Uint16(c.in))
	c.in = append(make([]byte, 0, min(2*cap(c.in), whole)), c.in...)
}

// keepAlive moves the read deadline on. It stands for a whole query, not for an octet,
// so that a client cannot hold a connection by dripping (RFC 7766 6.2.3).
// A deadline costs more than an answer: it is moved when an eighth of it has passed.
func (c *stream) keepAlive() {
	timeout := c.server.current.Load().config.TCP.Idle
	now := time.Now()
	if now.Sub(c.idle) < timeout/8 || c.end.Load() != nil {
		return
	}
	c.idle = now
	_ = c.conn.SetReadDeadline(now.Add(timeout)) // fails when closed, as Read will
	c.drainAnew()
}

// drain ends the connection once what was received is answered, at end at the latest.
func (c *stream) drain(end time.Time) {
	c.end.Store(&end)
	c.drainAnew()
}

// drainAnew sets the deadlines of draining where that has begun. Whoever sets
// another one calls it behind that: draining may have come between.
func (c *stream) drainAnew() {
	if end := c.end.Load(); end != nil {
		_ = c.conn.SetReadDeadline(time.Now().Add(streamDrain))
		_ = c.conn.SetWriteDeadline(*end)
	}
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

// write sends out; a client that does not read is not waited for long, and all
// that is written while draining has one end.
func (c *stream) write(out []byte) bool {
	if c.end.Load() == nil {
		patience := min(writeTime, c.server.current.Load().config.TCP.Idle)
		_ = c.conn.SetWriteDeadline(time.Now().Add(patience)) // fails when closed, as Write will
		c.drainAnew()
	}
	_, err := c.conn.Write(out)
	return err == nil
}
