package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
)

// doqListener answers DNS over QUIC (RFC 9250) at one address.
type doqListener struct{ *quicListener }

// listenQUIC binds or inherits a socket and returns the bound address.
func (s *Server) listenQUIC(asked netip.AddrPort, beside []*listener) (connListener, netip.AddrPort, error) {
	conn, addr, err := s.listenPackets(handover.QUIC, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	codes := quicCodes{encrypted.DoQNoError, encrypted.DoQExcessiveLoad, encrypted.DoQUnspecified}
	return &doqListener{newQUICListener(s, answer.DoQ, codes, conn)}, addr, nil
}

// noStreams is the number of streams with one direction that a client may open: a query comes by one with two.
const noStreams = -1

// run accepts connections until drain.
func (l *doqListener) run() {
	l.serveAll(func(c *quicConn) { l.serve(c, func(stream *quic.Stream) { l.answer(c, stream) }) }, noStreams, "doq")
}

// answer answers the query of a stream.
func (l *doqListener) answer(c *quicConn, stream *quic.Stream) {
	_ = stream.SetReadDeadline(time.Now().Add(l.limits().Query)) // it never fails
	query, err := encrypted.ReadFramedQuery(stream)
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
		l.respond(c, stream, query)
	}
}

// quicTLS is the TLS of a connection, for the rules of transfers.
type quicTLS struct{ *quic.Conn }

// ConnectionState returns the state of its handshake.
func (q quicTLS) ConnectionState() tls.ConnectionState { return q.Conn.ConnectionState().TLS }

// respond sends the answer to a query, or the transfer that it asks for.
func (l *doqListener) respond(c *quicConn, stream *quic.Stream, query []byte) {
	var transfer *answer.Transfer
	var refused *answer.RefusedTransfer
	var keepalive bool
	out := append(l.server.tcpBuffers.get(), 0, 0)
	l.server.borrow(l.over, c.source, func(r *answer.Responder) {
		r.Transfers, r.TLS = true, quicTLS{c.Conn}
		defer func() { r.Transfers, r.TLS = false, nil }()
		out = r.Respond(out, query, c.source.Addr(), true)
		transfer, refused, keepalive = r.TakeTransfer(), r.TakeRefusedTransfer(), len(out) > encrypted.FrameHead && r.AskedKeepalive()
	})
	defer l.server.tcpBuffers.put(out)
	l.server.logRefused(refused, c.source.Addr(), l.over)
	write := func(frame []byte) bool {
		_ = stream.SetWriteDeadline(time.Now().Add(min(writeTime, l.limits().Idle))) // it never fails
		_, err := stream.Write(frame)
		return err == nil
	}
	sent := false
	switch size := len(out) - encrypted.FrameHead; {
	case keepalive: // RFC 9250 5.5.2
		c.end(encrypted.DoQProtocolError)
		return
	case transfer != nil:
		sent = l.server.sendTransfer(transfer, c.source.Addr(), write, c.touch)
	case size > 0:
		binary.BigEndian.PutUint16(out, uint16(size))
		sent = write(out)
	}
	if sent {
		_ = stream.Close() // fails only if the client has cancelled it
	} else {
		reset(stream, encrypted.DoQUnspecified)
	}
}
