package direct

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// The limits on connections. Clients that have not proved a trusted key hold pending ones only:
//
//	connection                   at most                          one more
//	---------------------------  -------------------------------  -------------------------------------
//	before its first request     maxPendingOf of an address       closes the oldest of that address
//	                             maxPending                       closes the oldest of all
//	of a trusted vantage         maxOpen of the vantage           is closed
//
// A new connection takes the place of the oldest, because a handshake of a vantage needs a few round trips, and one that is
// held open has no use. So clients that hold connections keep no vantage out.
const (
	maxPending   = 64
	maxPendingOf = 8 // of an IPv4 address or an IPv6 network /64: several vantages may share it
	maxOpen      = 6 // two of each process; an upgrade has two, and idle ones may be about to end
)

// connections are those of a listener. The zero value is ready.
type connections struct {
	mu      sync.Mutex
	pending []*connection  // the oldest first
	open    map[string]int // by vantage
}

// connection is a connection of a listener.
type connection struct {
	net.Conn
	of      *connections
	from    netip.Prefix
	vantage string // empty: it is pending
	closed  bool
}

// add counts a new connection, and returns the one that must be closed for it; nil: none.
func (s *connections) add(conn net.Conn) (added, oldest *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added = &connection{Conn: conn, of: s, from: networkOf(conn.RemoteAddr())}
	same := 0
	for _, c := range s.pending {
		if c.from == added.from {
			if same++; same == 1 {
				oldest = c
			}
		}
	}
	switch {
	case same >= maxPendingOf:
	case len(s.pending) >= maxPending:
		oldest = s.pending[0]
	default:
		oldest = nil
	}
	s.pending = append(s.pending, added)
	return added, oldest
}

// networkOf returns the network of a client that is limited.
func networkOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	network, _ := addr.Prefix(bits) // the length fits the family
	return network
}

// use counts a connection, which has proved its key, as one of a vantage. It is false if that has too many.
func (s *connections) use(c *connection, vantage string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.closed || c.vantage != "" {
		return true
	}
	if s.open[vantage] >= maxOpen {
		return false
	}
	if s.open == nil {
		s.open = make(map[string]int)
	}
	s.dropPendingLocked(c)
	c.vantage = vantage
	s.open[vantage]++
	return true
}

func (s *connections) dropPendingLocked(c *connection) {
	for i, p := range s.pending {
		if p == c {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			return
		}
	}
}

// Close closes c, which does not count any more.
func (c *connection) Close() error {
	c.of.forget(c)
	return c.Conn.Close()
}

func (s *connections) forget(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.closed:
	case c.vantage == "":
		s.dropPendingLocked(c)
	default:
		if s.open[c.vantage]--; s.open[c.vantage] == 0 {
			delete(s.open, c.vantage)
		}
	}
	c.closed = true
}

// limited is the socket of a listener, with limits to connections.
type limited struct {
	*net.TCPListener
	of *Listener
}

// Accept returns the next connection.
func (l limited) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	added, oldest := l.of.conns.add(conn)
	if oldest != nil {
		l.of.refuse(Handshakes, oldest.RemoteAddr().String())
		_ = oldest.Close() // the client has not sent a request
	}
	return added, nil
}

// follow counts a connection as one of its vantage when it begins its first request: only then has the client proved its key.
func (l *Listener) follow(conn net.Conn, state http.ConnState) {
	secure, ok := conn.(*tls.Conn)
	if state != http.StateActive || !ok {
		return
	}
	c, ok := secure.NetConn().(*connection)
	if !ok {
		return
	}
	s := secure.ConnectionState()
	if vantage := l.settings.Identity.nameOf(&s); !l.conns.use(c, vantage) {
		l.refuse(Connections, vantage+" at "+conn.RemoteAddr().String())
		_ = c.Close() // the client tries again
	}
}
