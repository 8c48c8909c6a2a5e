package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
)

// http3Listener answers DNS over HTTPS by HTTP/3 at one address.
type http3Listener struct {
	*quicListener
	http    *http3.Server
	drained chan struct{} // closed when all requests have ended
}

// listenHTTP3 binds or inherits a socket and returns the bound address.
func (s *Server) listenHTTP3(asked netip.AddrPort, beside []*listener) (connListener, netip.AddrPort, error) {
	conn, addr, err := s.listenPackets(handover.HTTP3, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	codes := quicCodes{quic.ApplicationErrorCode(http3.ErrCodeNoError), quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad)}
	l := &http3Listener{quicListener: newQUICListener(s, answer.DoH3, codes, conn), drained: make(chan struct{})}
	l.http = &http3.Server{Handler: l.limited(s.dohHandler(l.answer)), MaxHeaderBytes: encrypted.MaxHeaderBytes}
	return l, addr, nil
}

// limited gives requests to a handler the time limits of queries.
func (l *http3Listener) limited(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, end := http.NewResponseController(w), time.Now().Add(l.limits().Query)
		_ = control.SetReadDeadline(end) // both fail only if the client has gone
		_ = control.SetWriteDeadline(end)
		handler.ServeHTTP(w, r)
	})
}

// answer answers the query of a request.
func (l *http3Listener) answer(r *http.Request, query []byte) []byte {
	c := r.Context().Value(handshakeKey{}).(*handshake).conn // newQUICConn sets it
	c.touch()
	return l.server.answerOne(l.over, c.source, query)
}

// controlStreams is how many streams with one direction a client may open: HTTP/3 needs three, and a client may open
// others that have no meaning.
const controlStreams = 8

// run accepts connections until drain.
func (l *http3Listener) run() {
	defer close(l.done)
	if l.listen(controlStreams, http3.NextProtoH3) {
		_ = l.http.ServeListener(l) // ends when the listener is closed
	}
}

// Accept returns the next connection, for http3.Server.
func (l *http3Listener) Accept(ctx context.Context) (*quic.Conn, error) {
	c, err := l.next(ctx)
	if err != nil {
		return nil, err
	}
	l.open.Go(func() {
		defer c.closed()
		c.awaitHandshake()
		<-c.Context().Done()
	})
	return c.Conn, nil
}

// Addr is part of http3.QUICListener.
func (l *http3Listener) Addr() net.Addr { return l.socketUDP.LocalAddr() }

// Close is part of http3.QUICListener. http3.Server does not call it for a listener that it has not made.
func (l *http3Listener) Close() error { return nil }

// drain stops accepting, and lets the requests that were received end, at end at the latest.
func (l *http3Listener) drain(end time.Time) {
	l.quicListener.drain(end)
	go func() {
		defer close(l.drained)
		ctx, cancel := context.WithDeadline(context.Background(), end)
		defer cancel()
		_ = l.http.Shutdown(ctx)
	}()
}

// close waits for the connections if the listener was running, and closes the socket.
func (l *http3Listener) close(running bool) {
	if running {
		<-l.drained
	}
	l.quicListener.close(running)
}

// alternativeTime is how long a client may remember where HTTP/3 is.
const alternativeTime = time.Hour

// advertiseHTTP3 makes the listeners of HTTPS say which ports have HTTP/3.
func advertiseHTTP3(listeners []*listener) {
	for _, l := range listeners {
		https, ok := l.conns.(*httpsListener)
		if !ok {
			continue
		}
		https.alternative.Store(nil)
		for _, other := range listeners {
			if other.use == handover.HTTP3 && other.asked == l.asked {
				at := fmt.Sprintf(`h3=":%d"; ma=%d`, other.addr.Port(), int(alternativeTime/time.Second))
				https.alternative.Store(&at)
			}
		}
	}
}
