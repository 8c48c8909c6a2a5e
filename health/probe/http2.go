package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
)

// http2Name is the ALPN name of HTTP/2 (RFC 9113 3.2).
const http2Name = "h2"

// http2Window is the number of bytes that a peer may send before they are read: the most memory that it can make a probe
// hold.
const http2Window = 64 << 10

// roundTrip2 makes one HTTP/2 request on conn: over TLS if the handshake selected it, else with prior knowledge (RFC 9113
// 3.3). Closing conn ends everything that it starts.
func (t *attempt) roundTrip2(ctx context.Context, conn net.Conn, req *http.Request) (*http.Response, error) {
	t.begin("request", "sending the request")
	t.traceRequest(req)
	t.begin("response", "waiting for the answer")
	scheme, protocols := "http", new(http.Protocols)
	inClear := &plaintextConn{Conn: conn}
	protocols.SetUnencryptedHTTP2(true)
	if secure, ok := conn.(*tls.Conn); ok {
		if err := speaksHTTP2(secure); err != nil {
			return nil, err
		}
		scheme = "https"
		protocols.SetHTTP2(true)
	} else {
		conn = inClear
	}
	hand := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{
		DialContext:            hand,
		DialTLSContext:         hand,
		Protocols:              protocols,
		DisableCompression:     true, // the body stays as sent
		MaxResponseHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: http2Window,
			MaxReceiveBufferPerStream:     http2Window,
		},
	}
	label := netip.AddrPortFrom(t.addr, uint16(t.check.Port)) // of conn, which is open already
	client, err := transport.NewClientConn(ctx, scheme, label.String())
	if err != nil {
		return nil, err
	}
	req.Close = false // HTTP/2 has no such header, and the connection is closed anyway
	resp, err := client.RoundTrip(req.WithContext(ctx))
	if err != nil && inClear.http1.Load() {
		return nil, errors.New("peer answered in HTTP/1, want HTTP/2")
	}
	if err != nil {
		return nil, fmt.Errorf("HTTP/2: %w", err)
	}
	return resp, nil
}

// plaintextConn records whether the peer's first bytes are HTTP/1: the transport's error in that case is random.
type plaintextConn struct {
	net.Conn
	received bool        // used by the reader only
	http1    atomic.Bool // read when the request has failed
}

func (c *plaintextConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.received {
		c.received = true
		c.http1.Store(bytes.HasPrefix(p[:n], []byte("HTTP/1.")))
	}
	return n, err
}

func speaksHTTP2(secure *tls.Conn) error {
	chosen := secure.ConnectionState().NegotiatedProtocol
	if chosen != http2Name {
		return fmt.Errorf("peer does not speak HTTP/2: of the protocols offered it chose %q, want %q", chosen, http2Name)
	}
	return nil
}
