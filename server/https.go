package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/config"
	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
)

const (
	// httpWindow is how much of requests the server holds for a connection of HTTP/2: queries are small.
	httpWindow = 64 << 10
	// httpFrame is the smallest largest frame that HTTP/2 allows.
	httpFrame = 16 << 10
)

// httpsListener answers DNS over HTTPS at one address, within the limits of config.Encrypted.
type httpsListener struct {
	*net.TCPListener
	server  *Server
	http    *http.Server
	conns   *tcpConns
	failing acceptFailures
	streams streamCount
	done    chan struct{} // closed when run has ended
	drained chan struct{} // closed when all connections have ended

	alternative atomic.Pointer[string] // the header that says where HTTP/3 is; nil: nowhere
}

// listenHTTPS binds or inherits a socket and returns the bound address.
func (s *Server) listenHTTPS(asked netip.AddrPort, limits *config.Encrypted, beside []*listener) (connListener, netip.AddrPort, error) {
	socket, addr, err := s.listenSocket(handover.HTTPS, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	return newHTTPSListener(s, socket, limits), addr, nil
}

func newHTTPSListener(s *Server, listener *net.TCPListener, limits *config.Encrypted) *httpsListener {
	l := &httpsListener{TCPListener: listener, server: s, conns: newTCPConns(), done: make(chan struct{}), drained: make(chan struct{})}
	l.http = &http.Server{
		Handler:           l.advertising(l.admitting(s.dohHandler(l.answer))),
		TLSConfig:         s.tls.Config(tls.VersionTLS12, "h2", "http/1.1"),
		ReadHeaderTimeout: limits.Query, ReadTimeout: limits.Query, WriteTimeout: limits.Query, IdleTimeout: limits.Idle,
		MaxHeaderBytes: encrypted.MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: limits.Streams, MaxReadFrameSize: httpFrame,
			MaxReceiveBufferPerConnection: httpWindow, MaxReceiveBufferPerStream: httpFrame,
			WriteByteTimeout: limits.Query, SendPingTimeout: limits.Idle, // of a client that does not read
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, httpsConnKey{}, c.(*tls.Conn).NetConn()) // ServeTLS makes no others
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateActive || state == http.StateIdle {
				c.(*tls.Conn).NetConn().(*httpsConn).completed()
			}
		},
		ErrorLog: log.New(io.Discard, "", 0), // failed handshakes are counted
	}
	return l
}

// dohHandler returns the handler of requests with queries, which answer answers.
func (s *Server) dohHandler(answer func(r *http.Request, query []byte) []byte) http.Handler {
	return &encrypted.DoH{Path: func() string { return s.Settings().HTTPS.Path }, Answer: answer}
}

// advertising adds where HTTP/3 is to the responses of a handler (RFC 7838).
func (l *httpsListener) advertising(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := l.alternative.Load(); at != nil {
			w.Header().Set("Alt-Svc", *at)
		}
		handler.ServeHTTP(w, r)
	})
}

// admitting gives a handler requests within the share of their connection. The others are refused.
func (l *httpsListener) admitting(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := &r.Context().Value(httpsConnKey{}).(*httpsConn).streams // ConnContext sets it
		if !l.streams.admit(own, l.server.Settings().Encrypted.Max) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer l.streams.end(own)
		handler.ServeHTTP(w, r)
	})
}

// httpsConnKey is the key of the connection in the context of a request.
type httpsConnKey struct{}

// httpsConn is a connection of DNS over HTTPS.
type httpsConn struct {
	openConn
	*net.TCPConn
	listener   *httpsListener
	port       uint16
	proxied    bool         // its PROXY header is not read yet
	begun      bool         // its first octets are read
	handshaken atomic.Bool  // the handshake is complete
	streams    atomic.Int64 // being served
	once       sync.Once
	turn       handshakeTurn
}

// BeginWork is part of encrypted.Paced.
func (c *httpsConn) BeginWork(context.Context) error {
	return c.turn.begin(c.client)
}

// Write is part of net.Conn.
func (c *httpsConn) Write(p []byte) (int, error) {
	c.turn.end()
	return c.TCPConn.Write(p)
}

// completed counts the handshake, once.
func (c *httpsConn) completed() {
	if !c.handshaken.Swap(true) {
		c.listener.server.CountConnection(answer.DoH, answer.HandshakeDone)
	}
}

// Close closes the connection.
func (c *httpsConn) Close() error {
	c.turn.end()
	c.once.Do(func() {
		c.listener.conns.remove(&c.openConn)
		if !c.handshaken.Load() {
			c.listener.server.CountConnection(answer.DoH, answer.HandshakeFailed)
		}
		c.listener.server.CountConnection(answer.DoH, answer.Closed)
	})
	return c.TCPConn.Close()
}

// Accept returns the next connection, for http.Server. At a limit, it closes the longest-idle connection first.
func (l *httpsListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			l.server.CountConnection(answer.DoH, answer.AcceptFailed)
			time.Sleep(l.failing.log(l.server, answer.DoH, l.Addr(), err))
			continue
		}
		l.failing.end(l.server, answer.DoH, l.Addr())
		l.server.pollBetweenAccepts()
		_ = conn.SetReadBuffer(streamKernelBuffer) // fails only on a closed connection
		_ = conn.SetWriteBuffer(streamKernelBuffer)
		remote := sourceOf(conn.RemoteAddr())
		source := remote.Addr()
		c := &httpsConn{openConn: openConn{source: source, client: clientNetwork(source)}, TCPConn: conn, listener: l, port: remote.Port(), turn: newHandshakeTurn(l.server)}
		c.proxied = l.server.IsProxy(source)
		c.unidentified = c.proxied
		c.abort = func() { _ = conn.Close() } // http.Server then calls Close
		c.seen(l.server)
		if l.conns.open(l.server, answer.DoH, l.Addr(), &c.openConn) {
			return c, nil
		}
		_ = conn.Close()
	}
}

// answer answers the query of a request.
func (l *httpsListener) answer(r *http.Request, query []byte) []byte {
	c := r.Context().Value(httpsConnKey{}).(*httpsConn) // ConnContext sets it
	c.seen(l.server)
	return l.server.answerOne(answer.DoH, netip.AddrPortFrom(c.source, c.port), query)
}

// answerOne answers a query of a transport that has its own framing. As with TCP, few compute answers at the same time,
// and the network is polled before each.
func (s *Server) answerOne(over answer.Transport, source netip.AddrPort, query []byte) (out []byte) {
	s.borrow(over, source, true, func(r *answer.Responder) { out = r.Respond(nil, query, source.Addr(), true) })
	return out
}

// borrow lends respond a responder for one query of a transport. With poll, the network is polled before.
func (s *Server) borrow(over answer.Transport, source netip.AddrPort, poll bool, respond func(*answer.Responder)) {
	s.tcpSlots.acquire(poll)
	defer s.tcpSlots.release()
	r := s.Borrow()
	defer s.Return(r)
	r.StartTiming()
	r.Port, r.Over = source.Port(), over
	respond(r)
	r.EndTiming(over, 1)
}

// run answers until drain.
func (l *httpsListener) run() {
	defer close(l.done)
	_ = l.http.ServeTLS(l, "", "") // ends when the listener is closed
}

// drain stops accepting, and lets the requests that were received end, at end at the latest.
func (l *httpsListener) drain(end time.Time) {
	go func() {
		defer close(l.drained)
		ctx, cancel := context.WithDeadline(context.Background(), end)
		defer cancel()
		_ = l.http.Shutdown(ctx)
		_ = l.http.Close() // what is still open at the end
	}()
}

// close waits for run and closes the socket.
func (l *httpsListener) close(running bool) {
	if running {
		<-l.drained
		<-l.done
	}
	_ = l.TCPListener.Close()
}

// socket returns the listening socket.
func (l *httpsListener) socket() syscall.Conn { return l.TCPListener }
