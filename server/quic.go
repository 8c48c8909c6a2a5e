package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"meridian/config"
	"meridian/handover"
	"meridian/server/answer"
)

const (
	// quicStreamWindow is how much of a stream the server holds before it is read: a query is smaller.
	quicStreamWindow = 8 << 10
	// quicConnWindow is how much of all streams of a connection the server holds.
	quicConnWindow = 64 << 10
	// quicLinger is how long a draining connection stays after its last answer, so that the answer arrives before the
	// end of the connection.
	quicLinger = 100 * time.Millisecond
)

// quicListener accepts the QUIC connections of one address, within the limits of config.Encrypted. All of them share a
// socket, because a connection may change its address.
type quicListener struct {
	server     *Server
	over       answer.Transport
	codes      quicCodes
	socketUDP  *net.UDPConn
	transport  *quic.Transport
	handshakes *handshakes
	conns      *tcpConns
	open       sync.WaitGroup // connections
	streams    streamCount
	stopping   chan struct{} // closed when it drains
	done       chan struct{} // closed when run has ended

	mu       sync.Mutex          // guards the fields below
	accepted *quic.EarlyListener // nil: it does not accept yet
	draining bool
}

// quicCodes are the error codes of a protocol over QUIC that end a connection, and that of a stream which is not served
// because its connection drains.
type quicCodes struct {
	noError, excessiveLoad quic.ApplicationErrorCode
	refused                quic.StreamErrorCode
}

// listenPackets binds or inherits the socket of a use, and returns the bound address.
func (s *Server) listenPackets(use handover.Use, asked netip.AddrPort, beside []*listener) (*net.UDPConn, netip.AddrPort, error) {
	conn, err := takePackets(s.options.Inherited, use, asked)
	if conn == nil && err == nil {
		conn, err = bindPackets(asked, beside)
	}
	if err != nil {
		return nil, asked, bindError(asked, "QUIC", beside, err)
	}
	s.warnOfSmallBuffers(conn, asked)
	return conn, netip.AddrPortFrom(asked.Addr(), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()), nil
}

// takePackets returns the inherited socket of an address; nil: there is none.
func takePackets(inherited *handover.Sockets, use handover.Use, asked netip.AddrPort) (conn *net.UDPConn, err error) {
	for i, f := range inherited.Take(use, asked) {
		if i == 0 {
			conn, err = inheritedPackets(f)
		}
		_ = f.Close() // the connection has a descriptor of its own
	}
	return conn, err
}

// bindPackets binds asked. It shares the port only with the listeners in beside.
func bindPackets(asked netip.AddrPort, beside []*listener) (*net.UDPConn, error) {
	config, err := sharing(beside)
	if err != nil {
		return nil, err
	}
	return bindUDP(config, asked)
}

func newQUICListener(s *Server, over answer.Transport, codes quicCodes, conn *net.UDPConn) *quicListener {
	l := &quicListener{
		server: s, over: over, codes: codes, socketUDP: conn, handshakes: newHandshakes(), conns: newTCPConns(),
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	l.transport = &quic.Transport{
		Conn:                conn,
		VerifySourceAddress: func(a net.Addr) bool { return l.handshakes.crowded(clientOf(a), l.limits()) },
		ConnContext:         l.beginHandshake,
	}
	return l
}

func (l *quicListener) limits() *config.Encrypted { return &l.server.Settings().Encrypted }

// config returns the settings of a new connection, with these streams of the client that have one direction.
func (l *quicListener) config(oneWay int64) *quic.Config {
	limits := l.limits()
	return &quic.Config{
		HandshakeIdleTimeout: limits.Query, MaxIdleTimeout: limits.Idle, Allow0RTT: limits.EarlyData && l.over == answer.DoQ,
		MaxIncomingStreams: int64(limits.Streams), MaxIncomingUniStreams: oneWay,
		InitialStreamReceiveWindow: quicStreamWindow, MaxStreamReceiveWindow: quicStreamWindow,
		InitialConnectionReceiveWindow: quicConnWindow, MaxConnectionReceiveWindow: quicConnWindow,
		DisablePathMTUDiscovery: true, // answers are small
	}
}

// listen begins to accept connections with these protocols; false: it drains already, or the socket fails.
func (l *quicListener) listen(oneWay int64, protocols ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return false
	}
	// The library prints a warning of its own about buffers, which warnOfSmallBuffers has logged.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // fails only for an odd name
	settings := l.config(oneWay)
	settings.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return l.config(oneWay), nil }
	var err error
	if l.accepted, err = l.transport.ListenEarly(l.server.tls.Config(tls.VersionTLS13, protocols...), settings); err != nil {
		l.failed(err)
		return false
	}
	return true
}

// failed logs that the listener does not accept connections.
func (l *quicListener) failed(err error) {
	l.server.options.Logger.Error("QUIC connections are not accepted any more", "transport", l.over.String(),
		"address", l.socketUDP.LocalAddr().String(), "error", err, "hint", "restart the server")
}

// serveAll serves each connection until drain, with these streams of the client that have one direction.
func (l *quicListener) serveAll(serve func(*quicConn), oneWay int64, protocols ...string) {
	defer close(l.done)
	if !l.listen(oneWay, protocols...) {
		return
	}
	for {
		c, err := l.next(context.Background())
		if err != nil {
			return
		}
		l.open.Go(func() { serve(c) })
	}
}

// next returns the next connection, or an error when the listener ends. At a limit, it closes the longest-idle connection
// first.
func (l *quicListener) next(ctx context.Context) (*quicConn, error) {
	for {
		conn, err := l.accepted.Accept(ctx)
		if err != nil {
			if !errors.Is(err, quic.ErrServerClosed) && ctx.Err() == nil {
				l.failed(err)
			}
			return nil, err
		}
		c := newQUICConn(l, conn)
		if l.conns.open(l.server, l.over, l.socketUDP.LocalAddr(), &c.openConn) {
			c.idle.Reset(l.limits().Idle)
			return c, nil
		}
		c.idle.Stop()
		c.abort()
	}
}

// serve answers the streams of a connection until it ends or drains. Function begin does the part of the work for a stream that
// needs no waiting, and returns the rest; nil: there is none.
func (l *quicListener) serve(c *quicConn, begin func(*quic.Stream) (rest func())) {
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
		rest := begin(stream)
		if rest == nil {
			continue
		}
		if !l.streams.admit(&c.streams, l.limits().Max) {
			reset(stream, quic.StreamErrorCode(l.codes.excessiveLoad))
			continue
		}
		serving.Go(func() {
			rest()
			l.streams.end(&c.streams)
		})
	}
	serving.Wait()
	c.linger()
}

// linger closes a draining connection, after a time for its last answer to arrive. It refuses the streams of that time.
func (c *quicConn) linger() {
	ctx, cancel := context.WithTimeout(c.Context(), quicLinger)
	defer cancel()
	for {
		stream, err := c.AcceptStream(ctx)
		if err != nil {
			break
		}
		reset(stream, c.listener.codes.refused)
	}
	c.end(c.listener.codes.noError)
}

// reset abandons both directions of a stream.
func reset(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelRead(code)
	stream.CancelWrite(code)
}

// drain stops accepting, and lets the connections end when their received queries are answered, at end at the latest.
func (l *quicListener) drain(end time.Time) {
	l.refuse()
	l.conns.close(func(c *openConn) { c.drain(ending{at: end}) })
}

// refuse stops accepting.
func (l *quicListener) refuse() {
	l.mu.Lock()
	l.draining = true
	accepted := l.accepted
	l.mu.Unlock()
	close(l.stopping)
	if accepted != nil {
		_ = accepted.Close()
	}
	<-l.done
}

// close waits for the connections if the listener was running, and closes the socket.
func (l *quicListener) close(running bool) {
	if running {
		l.open.Wait()
		_ = l.transport.Close()
	}
	_ = l.socketUDP.Close()
}

// socket returns the socket that receives packets.
func (l *quicListener) socket() syscall.Conn { return l.socketUDP }

// quicConn is a connection of QUIC.
type quicConn struct {
	openConn
	*quic.Conn
	listener *quicListener
	source   netip.AddrPort
	idle     *time.Timer   // looks whether the connection is idle
	streams  atomic.Int64  // being served
	draining chan struct{} // closed when no more streams are accepted
	once     sync.Once     // closes draining
}

func newQUICConn(l *quicListener, conn *quic.Conn) *quicConn {
	source := sourceOf(conn.RemoteAddr())
	c := &quicConn{
		openConn: openConn{source: source.Addr(), client: clientNetwork(source.Addr())},
		Conn:     conn, listener: l, source: source, draining: make(chan struct{}),
	}
	c.abort = func() { go c.end(l.codes.excessiveLoad) } // it waits until the connection has ended
	c.drain = func(e ending) {
		time.AfterFunc(streamDrain, c.stopAccepting)
		time.AfterFunc(time.Until(e.at), func() { c.end(l.codes.noError) })
	}
	c.idle = time.AfterFunc(time.Hour, c.endIfIdle) // until it is reset
	c.touch()
	conn.Context().Value(handshakeKey{}).(*handshake).conn = c // beginHandshake sets it
	return c
}

// touch makes this connection the one with the shortest idle time.
func (c *quicConn) touch() { c.seen(c.listener.server) }

// stopAccepting makes the connection accept no more streams.
func (c *quicConn) stopAccepting() { c.once.Do(func() { close(c.draining) }) }

// end closes the connection with an error code.
func (c *quicConn) end(code quic.ApplicationErrorCode) { _ = c.CloseWithError(code, "") }

// endIfIdle closes the connection after a time without a query. Other packets of the client do not keep it open.
func (c *quicConn) endIfIdle() {
	limit := c.listener.limits().Idle
	idle := time.Since(c.listener.server.built) - time.Duration(c.active.Load())
	switch {
	case c.Context().Err() != nil:
	case idle >= limit:
		c.end(c.listener.codes.noError)
	default:
		c.idle.Reset(limit - idle)
	}
}

// awaitHandshake waits for the end of the handshake; false: it failed.
func (c *quicConn) awaitHandshake() bool {
	select {
	case <-c.HandshakeComplete():
		c.Context().Value(handshakeKey{}).(*handshake).complete() // beginHandshake sets it
		return true
	case <-c.Context().Done():
		return false
	}
}

// mayAnswer reports whether a query may be answered now. Before the end of the handshake, an attacker may have sent it
// again: RFC 9250 4.5 allows only queries that change nothing. For others it waits for that end, for a bounded time.
func (c *quicConn) mayAnswer(query []byte) bool {
	const opcodeQuery, opcodeBits = 0, 0x78
	if query[2]&opcodeBits == opcodeQuery {
		return true
	}
	late := time.NewTimer(c.listener.limits().Query)
	defer late.Stop()
	select {
	case <-c.HandshakeComplete():
		return true
	case <-late.C:
	case <-c.Context().Done():
	}
	return false
}

// closed ends the accounting of a connection that has ended.
func (c *quicConn) closed() {
	c.idle.Stop()
	c.listener.conns.remove(&c.openConn)
	c.listener.server.CountConnection(c.listener.over, answer.Closed)
}
