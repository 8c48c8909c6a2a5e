package server

import (
	"fmt"
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
	http *http3.Server
}

// listenHTTP3 binds or inherits a socket and returns the bound address.
func (s *Server) listenHTTP3(asked netip.AddrPort, beside []*listener) (connListener, netip.AddrPort, error) {
	conn, addr, err := s.listenPackets(handover.HTTP3, asked, beside)
	if err != nil {
		return nil, addr, err
	}
	codes := quicCodes{
		quic.ApplicationErrorCode(http3.ErrCodeNoError), quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad),
		quic.StreamErrorCode(http3.ErrCodeRequestRejected),
	}
	l := &http3Listener{quicListener: newQUICListener(s, answer.DoH3, codes, conn)}
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
func (l *http3Listener) run() { l.serveAll(l.serveRequests, controlStreams, http3.NextProtoH3) }

// serveRequests answers the requests of a connection until it ends or drains.
func (l *http3Listener) serveRequests(c *quicConn) {
	requests, err := l.http.NewRawServerConn(c.Conn)
	if err != nil { // the client allows no control stream, or has gone
		c.end(quic.ApplicationErrorCode(http3.ErrCodeGeneralProtocolError))
		c.closed()
		return
	}
	l.open.Go(func() {
		for {
			stream, err := c.AcceptUniStream(c.Context())
			if err != nil {
				return
			}
			l.open.Go(func() { requests.HandleUnidirectionalStream(stream) })
		}
	})
	l.serve(c, func(stream *quic.Stream) func() {
		return func() {
			_ = stream.SetReadDeadline(time.Now().Add(l.limits().Query)) // for its header; it never fails
			requests.HandleRequestStream(stream)
		}
	})
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
