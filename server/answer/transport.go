package answer

import "sync/atomic"

// Transport is the protocol of a query.
type Transport uint8

// The transports.
const (
	UDP  Transport = iota
	TCP            // RFC 7766
	DoT            // TLS (RFC 7858)
	DoH            // HTTPS over TCP (RFC 8484)
	DoH3           // HTTPS over QUIC
	DoQ            // QUIC (RFC 9250)
	TransportCount
)

func (t Transport) String() string {
	return [...]string{"udp", "tcp", "dot", "doh", "doh3", "doq"}[t]
}

// Encrypted reports whether others cannot read messages of the transport.
func (t Transport) Encrypted() bool { return t >= DoT }

// Transports lists the transports.
func Transports() []Transport { return []Transport{UDP, TCP, DoT, DoH, DoH3, DoQ} }

// ConnectionEvent is an event of the connections of a transport.
type ConnectionEvent uint8

// The events of connections.
const (
	Accepted ConnectionEvent = iota
	Closed
	Evicted         // closed for a new one, at a limit; it is also counted as closed
	AcceptFailed    // a connection could not be accepted
	HandshakeDone   // of TLS
	HandshakeFailed // the client did not complete it, or offered nothing that the server has
	connectionEventCount
)

// connectionCounts holds the counts of the connections of each transport. It is safe for concurrent use.
type connectionCounts [TransportCount][connectionEventCount]atomic.Uint64

// CountConnection counts an event of a connection.
func (e *Engine) CountConnection(t Transport, event ConnectionEvent) { e.connections[t][event].Add(1) }

// Connections holds the counts of the connections of one transport since the start.
type Connections struct {
	Accepted         uint64
	Evicted          uint64 // closed for a new one at a limit
	AcceptErrors     uint64 // failed attempts to accept one
	Open             uint64 // now
	Handshakes       uint64 // of TLS that were completed
	FailedHandshakes uint64
}

// of returns the counts of a transport.
func (c *connectionCounts) of(t Transport) Connections {
	counts := &c[t]
	closed := counts[Closed].Load() // before Accepted, so that Open is never negative
	n := Connections{
		Accepted: counts[Accepted].Load(), Evicted: counts[Evicted].Load(), AcceptErrors: counts[AcceptFailed].Load(),
		Handshakes: counts[HandshakeDone].Load(), FailedHandshakes: counts[HandshakeFailed].Load(),
	}
	n.Open = n.Accepted - closed
	return n
}
