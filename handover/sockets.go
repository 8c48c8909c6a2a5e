// Package handover passes the open sockets of one process to the next, so that no query is lost between them: a packet
// or connection that waits in a socket is received by one process or the other.
//
//	upgrade            the running process starts the next one: Start and Successor in the first, Inherit and
//	                   Predecessor in the second
//	service manager    systemd opens the sockets, or keeps them from one process to the next: FromServiceManager, Keep
//
// The package knows neither what the sockets are used for nor what the state is that it passes.
package handover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
)

// Use is the purpose of a socket.
type Use string

// The uses of sockets.
const (
	UDP   Use = "udp"   // queries
	TCP   Use = "tcp"   // queries
	TLS   Use = "tls"   // queries
	QUIC  Use = "quic"  // queries
	HTTPS Use = "https" // queries
	HTTP3 Use = "http3" // queries
	API   Use = "api"

	Cluster Use = "cluster" // direct requests of the other nodes

	// A service manager knows the type of a socket, and not its use.
	stream   Use = "stream"   // TCP, TLS, HTTPS, API or Cluster
	datagram Use = "datagram" // UDP, QUIC or HTTP3
)

// kind returns the type of the sockets of a use.
func (u Use) kind() Use {
	if u == UDP || u == QUIC || u == HTTP3 {
		return datagram
	}
	return stream
}

// Open holds the open sockets of this process for one address and use. Several share a UDP port.
type Open struct {
	Use     Use
	Address netip.AddrPort // as configured: port 0 is still 0
	Conns   []syscall.Conn
}

// Sockets are sockets that this process inherited and does not use yet. Its methods are safe for concurrent use; those
// of nil find nothing.
type Sockets struct {
	mu     sync.Mutex
	groups []group
	shared bool // another process reads them, too
}

// Shared reports whether the process that passed the sockets still reads them. Those of a service manager are read by
// this process only.
func (s *Sockets) Shared() bool { return s != nil && s.shared }

// group holds the inherited sockets of one address and use.
type group struct {
	use     Use
	address netip.AddrPort
	files   []*os.File
}

// Take returns the sockets of an address, and leaves them to the caller. Call it once for each address: with port 0,
// several groups have the same one, and each call returns the next.
func (s *Sockets) Take(use Use, address netip.AddrPort) []*os.File {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.groups, func(g group) bool {
		return (g.use == use || g.use == use.kind()) && g.address == address
	})
	if i < 0 {
		return nil
	}
	files := s.groups[i].files
	s.groups = slices.Delete(s.groups, i, i+1)
	return files
}

// TakeListener returns the listening socket of an address, as Take does; nil: there is none.
func (s *Sockets) TakeListener(use Use, address netip.AddrPort) (*net.TCPListener, error) {
	files := s.Take(use, address)
	if len(files) == 0 {
		return nil, nil
	}
	defer closeAll(files) // the listener has a descriptor of its own
	l, err := net.FileListener(files[0])
	if err != nil {
		return nil, fmt.Errorf("inherited socket of %s: %w", address, err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("inherited socket of %s: it is not of TCP but of %s", address, l.Addr().Network()), l.Close())
	}
	return tcp, nil
}

// Close closes the sockets that remain, and returns their addresses.
func (s *Sockets) Close() (unused []netip.AddrPort) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		unused = append(unused, g.address)
		closeAll(g.files)
	}
	s.groups = nil
	return unused
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // another process, or the kernel, has the socket
	}
}
