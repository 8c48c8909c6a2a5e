package server

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
)

// doqListener answers DNS over QUIC (RFC 9250) at one address.
type doqListener struct {
	*quicListener
	streams atomic.Int64 // being served, of all connections
}

// listenQUIC binds or inherits a socket and returns the bound address.
func (s *Server) listenQUIC(asked netip.AddrPort, beside []*listener) (connListener, netip.AddrPort, error) {
	conn, addr, err := s.listenPackets(handover.QUIC, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	return &doqListener{quicListener: newQUICListener(s, answer.DoQ, quicCodes{encrypted.DoQNoError, encrypted.DoQExcessiveLoad}, conn)}, addr, nil
}

// noStreams is the number of streams with one direction that a client may open: a query comes by one with two.
const noStreams = -1

// run accepts connections until drain.
func (l *doqListener) run() {
	defer close(l.done)
	if !l.listen(noStreams, "doq") {
		return
	}
	for {
		c, err := l.next(context.Background())
		if err != nil {
			return
		}
		l.open.Go(func() { l.serve(c) })
	}
}

// serve answers the queries of a connection until it ends or drains.
func (l *doqListener) serve(c *quicConn) {
	defer c.closed()
	var serving sync.WaitGroup
	if l.limits().EarlyData {
		serving.Go(func() { c.awaitHandshake() })
	} else if !c.awaitHandshake() {
		return
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	serving.Go(func() {
		select {
		case <-c.draining:
			cancel()
		case <-ctx.Done():
		}
	})
	for {
		stream, err := c.AcceptStream(ctx)
		if err != nil {
			break
		}
		if !l.admit(c) {
			reset(stream, encrypted.DoQExcessiveLoad)
			continue
		}
		serving.Go(func() {
			l.answer(c, stream)
			l.streams.Add(-1)
			c.streams.Add(-1)
		})
	}
	serving.Wait()
	c.linger()
}

// linger closes a draining connection, after a time for its last answer to arrive.
func (c *quicConn) linger() {
	wait := time.NewTimer(quicLinger)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-c.Context().Done():
	}
	c.end(encrypted.DoQNoError)
}

// streamShare is how many streams each connection may have at any time. More are refused when all connections together
// have as many as if each of the largest number of connections used its share: clients that do not complete their
// queries take bounded memory, and leave others their share.
const streamShare = 4

// admit counts a new stream of a connection; false: it is refused.
func (l *doqListener) admit(c *quicConn) bool {
	if all := l.streams.Load(); all >= int64(streamShare*l.limits().Max) && c.streams.Load() >= streamShare {
		return false
	}
	l.streams.Add(1)
	c.streams.Add(1)
	return true
}

// reset abandons both directions of a stream.
func reset(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelRead(code)
	stream.CancelWrite(code)
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
	case !c.replayable(query):
		reset(stream, encrypted.DoQUnspecified)
	default:
		c.touch()
		l.respond(c, stream, query)
	}
}

// respond sends the answer to a query, or the transfer that it asks for.
func (l *doqListener) respond(c *quicConn, stream *quic.Stream, query []byte) {
	var transfer *answer.Transfer
	var keepalive bool
	out := append(l.server.tcpBuffers.get(), 0, 0)
	l.server.borrow(l.over, c.source, func(r *answer.Responder) {
		r.Transfers = true
		defer func() { r.Transfers = false }()
		out = r.Respond(out, query, c.source.Addr(), true)
		transfer, keepalive = r.TakeTransfer(), len(out) > encrypted.FrameHead && r.AskedKeepalive()
	})
	defer l.server.tcpBuffers.put(out)
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
