package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
)

const (
	// doqWork is how many queries are answered between two polls of the network, on all connections of a listener. It takes
	// about 0.1 ms.
	doqWork = 4
	// doqSmall is the size of an answer that fits into a packet: the library keeps it, and the server does not wait.
	doqSmall = 1 << 10
	// doqGap is how long a connection waits for the beginning of a query after its end has arrived.
	doqGap = time.Millisecond
)

// doqListener answers DNS over QUIC (RFC 9250) at one address.
type doqListener struct {
	*quicListener
	unpolled atomic.Int32 // queries since the network was last polled
}

// listenQUIC binds or inherits a socket and returns the bound address.
func (s *Server) listenQUIC(asked netip.AddrPort, beside []*listener) (connListener, netip.AddrPort, error) {
	conn, addr, err := s.listenPackets(handover.QUIC, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	codes := quicCodes{encrypted.DoQNoError, encrypted.DoQExcessiveLoad, encrypted.DoQUnspecified}
	return &doqListener{quicListener: newQUICListener(s, answer.DoQ, codes, conn)}, addr, nil
}

// noStreams is the number of streams with one direction that a client may open: a query comes by one with two.
const noStreams = -1

// run accepts connections until drain.
func (l *doqListener) run() {
	l.serveAll(func(c *quicConn) { l.serve(c, func(stream *quic.Stream) func() { return l.begin(c, stream) }) }, noStreams, "doq")
}

// begin answers the query of a stream if it has arrived: most have, and another goroutine would cost more than the answer.
// It returns the work that may wait for the client; nil: there is none.
func (l *doqListener) begin(c *quicConn, stream *quic.Stream) (rest func()) {
	buffer := l.server.tcpBuffers.get()
	if !c.arrived(stream, buffer) {
		l.server.tcpBuffers.put(buffer)
		return func() {
			if rest := l.answer(c, stream, nil); rest != nil {
				rest()
			}
		}
	}
	if rest = l.answer(c, stream, buffer); rest == nil {
		l.server.tcpBuffers.put(buffer)
	}
	return rest
}

// arrived reports whether a stream has arrived as a whole, and can be read without waiting. Its end may arrive before its
// beginning, which is then almost there. It overwrites buffer.
func (c *quicConn) arrived(stream *quic.Stream, buffer []byte) bool {
	select {
	case <-c.HandshakeComplete():
	default:
		return false // mayAnswer may wait
	}
	var ended atomic.Bool
	stream.SetReceiveFinalSizeCallback(func(int64) { ended.Store(true) })
	if !ended.Load() {
		return false
	}
	_ = stream.SetReadDeadline(time.Now().Add(doqGap)) // it never fails
	_, err := stream.Peek(buffer[:encrypted.MaxFrame])
	return errors.Is(err, io.EOF) // the largest query, or a larger one, has no end within the buffer, and waits elsewhere
}

// answer reads the query of a stream into buffer, or a larger one, and answers it. It returns the work that may wait for the
// client; nil: there is none.
func (l *doqListener) answer(c *quicConn, stream *quic.Stream, buffer []byte) (rest func()) {
	_ = stream.SetReadDeadline(time.Now().Add(l.limits().Query)) // it never fails
	query, err := encrypted.ReadFramedQuery(stream, buffer)
	var cancelled *quic.StreamError
	switch {
	case errors.Is(err, encrypted.ErrProtocol):
		c.end(encrypted.DoQProtocolError)
	case errors.Is(err, encrypted.ErrTooLarge):
		reset(stream, encrypted.DoQExcessiveLoad)
	case errors.As(err, &cancelled):
		reset(stream, encrypted.DoQCancelled) // RFC 9250 4.3.1
	case err != nil:
		reset(stream, encrypted.DoQUnspecified) // the end of the query did not arrive in time
	case !c.mayAnswer(query):
		reset(stream, encrypted.DoQUnspecified)
	default:
		c.touch()
		return l.respond(c, stream, query)
	}
	return nil
}

// quicTLS is the TLS of a connection, for the rules of transfers.
type quicTLS struct{ *quic.Conn }

// ConnectionState returns the state of its handshake.
func (q quicTLS) ConnectionState() tls.ConnectionState { return q.Conn.ConnectionState().TLS }

// respond sends the answer to a query if it is small. It returns the work to send another, or the transfer that the query
// asks for; nil: there is none.
func (l *doqListener) respond(c *quicConn, stream *quic.Stream, query []byte) (rest func()) {
	var transfer *answer.Transfer
	var refused *answer.RefusedTransfer
	var keepalive bool
	out := append(l.server.tcpBuffers.get(), 0, 0)
	l.server.borrow(l.over, c.source, l.mustPoll(), func(r *answer.Responder) {
		r.Transfers, r.TLS = true, quicTLS{c.Conn}
		defer func() { r.Transfers, r.TLS = false, nil }()
		out = r.Respond(out, query, c.source.Addr(), true)
		transfer, refused, keepalive = r.TakeTransfer(), r.TakeRefusedTransfer(), len(out) > encrypted.FrameHead && r.AskedKeepalive()
	})
	l.server.logRefused(refused, c.source.Addr(), l.over)
	switch size := len(out) - encrypted.FrameHead; {
	case keepalive: // RFC 9250 5.5.2
		c.end(encrypted.DoQProtocolError)
	case transfer != nil:
		return func() {
			write := func(frame []byte) bool { return l.write(stream, frame) }
			finish(stream, l.server.sendTransfer(transfer, c.source.Addr(), write, c.touch))
		}
	case size == 0:
		finish(stream, false)
	default:
		binary.BigEndian.PutUint16(out, uint16(size))
		if len(out) > doqSmall || stream.TryWriteAll(out) != nil {
			return func() {
				finish(stream, l.write(stream, out))
				l.server.tcpBuffers.put(out)
			}
		}
		finish(stream, true)
	}
	l.server.tcpBuffers.put(out)
	return nil
}

// mustPoll counts a query, and reports whether the network must be polled before it.
func (l *doqListener) mustPoll() bool {
	if l.unpolled.Add(1) < doqWork {
		return false
	}
	l.unpolled.Store(0)
	return true
}

// write sends a message. It waits only a limited time for a client that does not read.
func (l *doqListener) write(stream *quic.Stream, frame []byte) bool {
	_ = stream.SetWriteDeadline(time.Now().Add(min(writeTime, l.limits().Idle))) // it never fails
	_, err := stream.Write(frame)
	return err == nil
}

// finish ends a stream, to which the whole answer was sent or not.
func finish(stream *quic.Stream, sent bool) {
	if sent {
		_ = stream.Close() // fails only if the client has cancelled it
	} else {
		reset(stream, encrypted.DoQUnspecified)
	}
}
