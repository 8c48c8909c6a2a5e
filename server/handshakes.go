package server

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"

	"meridian/config"
	"meridian/server/answer"
)

// handshakes counts the QUIC handshakes of one listener that have not ended. Clients that begin handshakes and do not
// end them leave room for others: one client has at most per_client, and all have at most max. From a quarter of each
// limit on, a client first shows that it receives packets at its address (Retry, RFC 9000 8.1.2), so that forged
// addresses take at most a quarter. It is safe for concurrent use.
type handshakes struct {
	mu       sync.Mutex // guards all below
	all      int
	byClient map[netip.Addr]int // without zeros
	refused  [limitCount]uint64 // the number of handshakes that each limit refused
}

// unverifiedShare is the part of each limit for clients that have not shown that they receive packets.
const unverifiedShare = 4

func newHandshakes() *handshakes { return &handshakes{byClient: map[netip.Addr]int{}} }

// crowded reports whether a client must show first that it receives packets at its address.
func (h *handshakes) crowded(client netip.Addr, limits *config.Encrypted) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all >= max(1, limits.Max/unverifiedShare) || h.byClient[client] >= max(1, limits.PerClient/unverifiedShare)
}

// begin counts a handshake, unless a limit refuses it.
func (h *handshakes) begin(client netip.Addr, limits *config.Encrypted) (by connLimit, refused uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.byClient[client] >= limits.PerClient:
		by = limitPerClient
	case h.all >= limits.Max:
		by = limitMax
	default:
		h.all++
		h.byClient[client]++
		return 0, 0
	}
	h.refused[by]++
	return by, h.refused[by]
}

// end is called once for each handshake that began.
func (h *handshakes) end(client netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.byClient[client]--; h.byClient[client] == 0 {
		delete(h.byClient, client)
	}
}

// errTooManyHandshakes is the error of a handshake that a limit refuses.
var errTooManyHandshakes = errors.New("too many handshakes")

// handshake is a handshake that has begun.
type handshake struct {
	listener *quicListener
	client   netip.Addr
	once     sync.Once
	conn     *quicConn // its connection, from the time that it is accepted
}

// handshakeKey is the key of the handshake in the context of a connection.
type handshakeKey struct{}

// beginHandshake is called for the first packet of a connection. The connection is refused if it returns an error.
func (l *quicListener) beginHandshake(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	source := sourceOf(info.RemoteAddr).Addr()
	h := &handshake{listener: l, client: clientNetwork(source)}
	if by, refused := l.handshakes.begin(h.client, l.limits()); refused > 0 {
		l.server.CountConnection(l.over, answer.HandshakeFailed)
		if refused&(refused-1) == 0 {
			l.server.options.Logger.Warn("limit of handshakes reached; new connections are refused until others are complete",
				"transport", l.over.String(), "limit", by.String(), "address", l.socketUDP.LocalAddr().String(), "client", source, "refused", refused)
		}
		return nil, errTooManyHandshakes
	}
	context.AfterFunc(ctx, func() { h.finish(answer.HandshakeFailed) })
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

// complete counts the handshake as complete.
func (h *handshake) complete() { h.finish(answer.HandshakeDone) }

// finish counts the result of the handshake, unless it is counted.
func (h *handshake) finish(result answer.ConnectionEvent) {
	h.once.Do(func() {
		h.listener.handshakes.end(h.client)
		h.listener.server.CountConnection(h.listener.over, result)
	})
}
