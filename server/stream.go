package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"meridian/server/answer"
	"meridian/server/encrypted"
)

const (
	frameHead = encrypted.FrameHead // the length before each message (RFC 1035 4.2.2, RFC 9250 4.2)
	// streamChunk is the amount of answers computed before a write: for a client that does not
	// read, the server holds this and one more answer.
	streamChunk = 12 << 10
	// streamIn is the read size for a client that does not pipeline. Buffers for longer queries
	// grow as they arrive.
	streamIn = 2 << 10
	// streamKernelBuffer is the size of the kernel's buffers in each direction. Linux doubles it.
	streamKernelBuffer = 32 << 10
	// slotWork limits the work of a connection with one slot, and without a poll of the network:
	// each query counts 1, and each slot slotCost, for its system calls. It takes about 0.1 ms.
	slotWork = 272
	slotCost = 16
	// writeTime is the time limit for a client to make room for a chunk, unless its idle limit is
	// shorter.
	writeTime = 5 * time.Second
	// streamDrain is how long a draining connection is still read: data in the kernel is
	// available at once.
	streamDrain = 50 * time.Millisecond
)

// stream is a connection of TCP or of TLS over it. One goroutine runs it; other goroutines only drain it, read active
// and abort it.
type stream struct {
	openConn
	server    *Server
	transport answer.Transport
	tcp       *net.TCPConn
	conn      net.Conn // tcp, or TLS over it
	port      uint16
	proxied   bool                    // it begins with a PROXY header
	in        []byte                  // received and not answered yet; in small, or in a larger buffer
	small     []byte                  // streamIn bytes of room
	idle      time.Time               // when the read deadline was set
	ending    atomic.Pointer[ending]  // nil: not draining
	waits     bool                    // run ended while it waited for the client
	transfer  *answer.Transfer        // to be sent after the answers before it; nil: none
	update    *answer.Update          // to be made after the answers before it; nil: none
	refused   *answer.RefusedTransfer // by the last batch, to be logged; nil: none
	// unpolled is the work since the network was last polled for this connection, see slotWork.
	unpolled int
}

// ending says how a connection ends that is not ended by its client.
type ending struct {
	at   time.Time // end of draining
	pass passFunc  // passes the connection to another process; nil: there is none
}

func newStream(s *Server, conn *net.TCPConn) *stream {
	remote := sourceOf(conn.RemoteAddr())
	source := remote.Addr()
	// The kernel's memory for clients that do not read must be bounded, too.
	_ = conn.SetReadBuffer(streamKernelBuffer) // fails only on a closed connection
	_ = conn.SetWriteBuffer(streamKernelBuffer)
	c := &stream{
		openConn: openConn{source: source, client: clientNetwork(source)},
		server:   s, transport: answer.TCP, tcp: conn, conn: conn, port: remote.Port(),
		small: make([]byte, 0, streamIn),
	}
	c.abort = func() { _ = conn.Close() } // its goroutine then ends
	c.drain = c.startDraining
	c.in = c.small
	c.touch()
	return c
}

// sourceOf returns the address of a connection as a source of queries; the zero value for one without an IP address.
func sourceOf(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		at = a.AddrPort()
	case *net.UDPAddr:
		at = a.AddrPort()
	default:
		return at
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// clientOf returns the client of a connection, see clientNetwork. Connections without an IP address are one client.
func clientOf(a net.Addr) netip.Addr { return clientNetwork(sourceOf(a).Addr()) }

// clientNetwork returns the address of the network that counts as one client: with IPv6 a single
// client has a whole /64 of addresses (RFC 6177).
func clientNetwork(source netip.Addr) netip.Addr {
	const one = 64
	if source.Is4() {
		return source
	}
	network, _ := source.Prefix(one) // fails only for a prefix longer than the address
	return network.Addr()
}

// run reads and answers until the client closes, is idle or does not read. Queries may be
// pipelined (RFC 7766 6.2.1.1); the answers to queries that arrive together are written together.
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
	for begun := false; !c.whole(); {
		if !begun && len(c.in) > 0 {
			begun = true
			c.limitQuery()
		}
		if len(c.in) == cap(c.in) {
			c.grow()
		}
		n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		if n == 0 && err != nil {
			c.waits = errors.Is(err, os.ErrDeadlineExceeded)
			return false
		}
		c.in = c.in[:len(c.in)+n]
		if c.server.isUntrusted(c.in, c.source) {
			return false
		}
	}
	c.readReceived()
	c.touch()
	return true
}

// touch makes this connection the one with the shortest idle time.
func (c *stream) touch() { c.seen(c.server) }

// whole reports whether in begins with a whole query.
func (c *stream) whole() bool {
	return len(c.in) >= frameHead && len(c.in) >= frameHead+int(binary.BigEndian.Uint16(c.in))
}

// grow enlarges in, which is full, for the rest of its first query. It at most doubles the size,
// so that a length alone allocates no memory.
func (c *stream) grow() {
	whole := frameHead + int(binary.BigEndian.Uint16(c.in))
	full := c.in
	c.in = append(make([]byte, 0, min(2*cap(full), whole)), full...)
	c.server.tcpBuffers.put(full)
}

// keepAlive extends the read deadline. The deadline is for a whole query, so that a client cannot
// hold a connection by sending single bytes (RFC 7766 6.2.3). Setting it costs more than an
// answer: it is extended only after an eighth of it has passed.
func (c *stream) keepAlive() {
	timeout := c.server.limitsOf(c.transport).Idle
	now := time.Now()
	if now.Sub(c.idle) < timeout/8 || c.ending.Load() != nil {
		return
	}
	c.idle = now
	_ = c.conn.SetReadDeadline(now.Add(timeout)) // fails only if closed, as Read will
	c.resetDrainDeadlines()
}

// limitQuery sets the read deadline for the rest of a query that has begun to arrive over TLS.
func (c *stream) limitQuery() {
	limit := c.server.Settings().Encrypted.Query
	if c.transport == answer.TCP || c.ending.Load() != nil || limit >= time.Until(c.idle.Add(c.server.limitsOf(c.transport).Idle)) {
		return
	}
	c.idle = time.Time{} // keepAlive sets the deadline of the next query
	_ = c.conn.SetReadDeadline(time.Now().Add(limit))
	c.resetDrainDeadlines()
}

// startDraining ends the connection once the received queries are answered, at the end at the latest, or passes it to another
// process before it is read again.
func (c *stream) startDraining(e ending) {
	if c.proxied {
		e.pass = nil // the client is known in this process only
	}
	c.ending.Store(&e)
	c.resetDrainDeadlines()
}

// resetDrainDeadlines sets the deadlines again if the connection is draining. It must be called after
// setting another deadline, because draining may have started in between.
func (c *stream) resetDrainDeadlines() {
	if e := c.ending.Load(); e != nil {
		until := time.Now().Add(streamDrain)
		if e.pass != nil {
			until = longAgo
		}
		_ = c.conn.SetReadDeadline(until)
		_ = c.conn.SetWriteDeadline(e.at)
	}
}

// answer answers the whole queries at the beginning of in, and keeps the rest.
func (c *stream) answer() bool {
	rest := c.in
	for ok := true; len(rest) > 0; {
		var out, left []byte
		out, left, ok = c.compute(rest)
		c.server.logRefused(c.refused, c.source, c.transport)
		if len(out) > 0 && !c.write(out) || !ok {
			return false
		}
		c.server.tcpBuffers.put(out)
		if t := c.transfer; t != nil {
			c.transfer = nil
			if !c.send(t) {
				return false
			}
		}
		if u := c.update; u != nil {
			c.update = nil
			if !c.makeUpdate(u) {
				return false
			}
		}
		if len(left) == len(rest) {
			break
		}
		rest = left
	}
	c.keep(rest)
	return true
}

// keep moves rest, the unanswered end of in, to the beginning of the buffer for the next read:
//
//	in was                                     next
//	full, and small                            a large buffer: the client pipelines
//	not that much, or a single long query      small
//	other                                      the same
func (c *stream) keep(rest []byte) {
	received := c.in
	switch {
	case cap(received) == streamIn && len(received) == streamIn:
		c.in = append(c.server.tcpBuffers.get(), rest...)
	case cap(received) > streamIn && len(rest) <= streamIn && (len(received) < streamIn || cap(received) > tcpBufferSize):
		c.in = append(c.small[:0], rest...)
		c.server.tcpBuffers.put(received)
	default:
		c.in = received[:copy(received[:cap(received)], rest)]
	}
}

// compute answers queries at the beginning of in, as many as one slot allows. It holds the slot
// and a responder only for that time: a client that does not read its answers holds neither, and
// only a buffer of the size of its answers.
func (c *stream) compute(in []byte) (out, rest []byte, ok bool) {
	c.unpolled += slotCost
	if c.server.tcpSlots.acquire(c.unpolled >= slotWork) {
		c.unpolled = slotCost
	}
	defer c.server.tcpSlots.release()
	r := c.server.Borrow()
	defer c.server.Return(r)
	rest, ok = c.respond(r, in)
	return c.server.tcpBuffers.copy(r.Streamed), rest, ok
}

// respond appends the answers to whole queries at the beginning of in to r.streamed, until a
// chunk is full or the work of a slot is done. It returns false after a message that is too short
// for a query: the client uses another protocol.
func (c *stream) respond(r *answer.Responder, in []byte) (rest []byte, ok bool) {
	r.StartTiming()
	r.Port, r.Over, r.Transfers = c.port, c.transport, true
	if conn, ok := c.conn.(*tls.Conn); ok {
		r.TLS = conn
	}
	defer func() { r.Transfers, r.TLS = false, nil }()
	r.Acquire()
	defer r.Release()
	ok = true
	answered := 0
	out := r.Streamed[:0]
	for ; ok && c.transfer == nil && c.update == nil && c.unpolled < slotWork && len(out) < streamChunk && len(in) >= frameHead; c.unpolled++ {
		end := frameHead + int(binary.BigEndian.Uint16(in))
		if end > len(in) {
			break
		}
		ok = end >= frameHead+answer.HeaderSize
		begin := len(out)
		out = r.Answer(append(out, 0, 0), in[frameHead:end], c.source, true)
		if size := len(out) - begin - frameHead; size > 0 {
			binary.BigEndian.PutUint16(out[begin:], uint16(size))
		} else {
			out = out[:begin]
		}
		c.transfer, c.update = r.TakeTransfer(), r.TakeUpdate()
		in = in[end:]
		answered++
	}
	r.Streamed, c.refused = out, r.TakeRefusedTransfer()
	r.EndTiming(c.transport, answered)
	return in, ok
}

// write sends out. It waits only a limited time for a client that does not read; while draining,
// all writes share one deadline.
func (c *stream) write(out []byte) bool {
	if c.ending.Load() == nil {
		patience := min(writeTime, c.server.limitsOf(c.transport).Idle)
		_ = c.conn.SetWriteDeadline(time.Now().Add(patience)) // fails only if closed, as Write will
		c.resetDrainDeadlines()
	}
	_, err := c.conn.Write(out)
	return err == nil
}
