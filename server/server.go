// Package server receives queries from the network and sends the answers of its engine.
//
// A listener is one configured address: a UDP socket and goroutine for each worker, and one TCP
// socket. The query path takes no lock, allocates no memory and logs nothing.
//
// The package knows no policy and no file format.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"meridian/config"
	"meridian/handover"
	"meridian/server/answer"
	"meridian/server/encrypted"
	"meridian/snapshot"
)

// Options are the dependencies of a Server.
type Options struct {
	Logger *slog.Logger  // nil: no logging
	Draw   func() uint64 // the random draw of each query, safe for concurrent use; nil: a fast source for each worker

	// Inherited are sockets of another process, to use instead of new ones; nil: none. That process may still use
	// them, and ends when this one serves.
	Inherited *handover.Sockets
}

// Server answers from its current snapshot. Its methods are safe for concurrent use; Listen and
// Serve are called once each, in this order.
type Server struct {
	*answer.Engine
	options         Options
	built           time.Time
	cores           int // available to the process; read once, because raiseGOMAXPROCS changes it during a reload
	tcpSlots        *tcpSlots
	acceptSlots     *tcpSlots // to accept connections; one for each processor
	closeSlots      *tcpSlots // to close connections; one for each processor
	handshakeSlots  *tcpSlots // fewer than processors
	handshakeShares *shares   // of handshakeSlots
	tls             *encrypted.TLS
	tcpBuffers      tcpBuffers
	postponed       chan *postponed // UDP queries that wait for signatures
	serving         chan struct{}   // closed when all sockets are read
	hot             *hotQueries
	transfers       *transferSlots
	updates         chan struct{} // one element for each update over UDP that waits
	refusals        refusals      // of transfers, that are logged
	bypass          *bypass

	portable bool // use the portable UDP path even if there is a faster one: for tests

	mu        sync.Mutex // guards the fields below; held while listeners change
	listeners []*listener
	listening bool
	started   bool
	closed    bool     // it was closed before it served, and binds no more
	pass      passFunc // passes TCP connections to another process when this server stops; nil: they end
}

// New creates a server that answers from snapshot.
func New(snapshot *snapshot.Snapshot, o Options) *Server {
	s := NewEmpty(o)
	s.Begin(snapshot)
	return s
}

// NewEmpty creates a server without a snapshot, which may already bind its sockets. Begin sets the
// first snapshot.
func NewEmpty(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cores := runtime.GOMAXPROCS(0)
	s := &Server{
		options: o, built: time.Now(), cores: cores, handshakeSlots: newTCPSlots(max(1, cores/2)), handshakeShares: newShares(max(1, cores/2)),
		Engine: answer.NewEngine(o.Logger, o.Draw, cores), tcpSlots: newTCPSlots(cores), acceptSlots: newTCPSlots(cores), closeSlots: newTCPSlots(cores), tcpBuffers: newTCPBuffers(),
		postponed: make(chan *postponed, maxPostponed), serving: make(chan struct{}), hot: newHotQueries(),
		transfers: newTransferSlots(), updates: make(chan struct{}, maxUDPUpdates),
	}
	s.tls = encrypted.NewTLS(s.material, s.asksCertificates, s.inHandshakeSlot)
	s.bypass = newBypass(s)
	return s
}

// Listen binds every address of the snapshot's configuration. Queries wait in the
// sockets until Serve.
func (s *Server) Listen() error { return s.Bind(s.Settings()) }

// Bind listens on exactly the addresses of cfg: it keeps or closes those that an earlier call
// bound.
func (s *Server) Bind(cfg *config.Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	listeners, err := s.bindLocked(cfg, s.listeners)
	if err != nil {
		return err
	}
	stop(without(s.listeners, listeners))
	s.listeners, s.listening = listeners, true
	advertiseHTTP3(listeners)
	s.bypass.use(listeners)
	s.fragmentLocked(answer.UdpSize(cfg))
	return nil
}

// Unbind closes the sockets of a server that has not served.
func (s *Server) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	stop(s.listeners)
	s.listeners, s.listening, s.closed = nil, false, true
}

// Addrs returns the bound addresses of UDP and TCP, with real ports in place of 0.
func (s *Server) Addrs() []netip.AddrPort { return s.addrsOf(handover.TCP) }

// addrsOf returns the bound addresses of a use.
func (s *Server) addrsOf(use handover.Use) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]netip.AddrPort, 0, len(s.listeners))
	for _, l := range s.listeners {
		if l.use == use {
			addrs = append(addrs, l.addr)
		}
	}
	return addrs
}

// EncryptedAddrs returns the bound addresses of each encrypted transport.
func (s *Server) EncryptedAddrs() map[answer.Transport][]netip.AddrPort {
	all := map[answer.Transport][]netip.AddrPort{}
	for use, transport := range map[handover.Use]answer.Transport{handover.TLS: answer.DoT, handover.QUIC: answer.DoQ, handover.HTTPS: answer.DoH, handover.HTTP3: answer.DoH3} {
		if addrs := s.addrsOf(use); len(addrs) > 0 {
			all[transport] = addrs
		}
	}
	return all
}

// Open returns the sockets, for another process.
func (s *Server) Open() []handover.Open {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []handover.Open
	for _, l := range s.listeners {
		udp := handover.Open{Use: handover.UDP, Address: l.asked}
		for _, w := range l.udp {
			udp.Conns = append(udp.Conns, w.conn)
		}
		if len(udp.Conns) > 0 {
			all = append(all, udp)
		}
		all = append(all, handover.Open{Use: l.use, Address: l.asked, Conns: []syscall.Conn{l.conns.socket()}})
	}
	return all
}

// Serve answers until ctx ends, then drains: it answers the queries already received.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if !s.listening || s.started {
		s.mu.Unlock()
		return errors.New("serve: Listen comes first, and Serve once")
	}
	for _, slots := range s.slots() {
		if err := slots.open(); err != nil {
			s.mu.Unlock()
			return err
		}
		go slots.run()
	}
	s.started = true
	for range s.cores {
		go s.answerPostponed()
	}
	var beside sync.WaitGroup
	beside.Go(func() { s.rehearse(ctx) })
	s.startLocked()
	s.fragmentLocked(answer.UdpSize(s.Settings())) // also on the sockets of added workers
	beside.Go(func() { s.bypass.run(ctx) })
	close(s.serving)
	s.mu.Unlock()

	<-ctx.Done()
	beside.Wait() // from here on the sockets get all packets
	s.drain()
	return nil
}

// slots returns all slots that come through the network poller.
func (s *Server) slots() []*tcpSlots {
	return []*tcpSlots{s.tcpSlots, s.acceptSlots, s.closeSlots, s.handshakeSlots}
}

// drain closes the sockets and answers the queries already received.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = false
	stop(s.listeners)
	s.listeners = nil
	for _, slots := range s.slots() {
		slots.close()
	}
	close(s.postponed) // all workers have ended
}

// Serving returns a channel that is closed when the sockets are read.
func (s *Server) Serving() <-chan struct{} { return s.serving }

// Swap makes snapshot the current one and returns the old one when no query reads it any more. It
// listens on new addresses and closes removed ones. If an address cannot be bound, it changes
// nothing.
func (s *Server) Swap(snapshot *snapshot.Snapshot) (old *snapshot.Snapshot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := &snapshot.Config.Server
	var gone []*listener
	if s.listening {
		listeners, err := s.bindLocked(settings, s.listeners)
		if err != nil {
			return nil, err
		}
		gone = without(s.listeners, listeners)
		s.listeners = listeners
		advertiseHTTP3(listeners)
	}
	s.bypass.use(s.listeners)
	waitUnused := s.Replace(snapshot)
	s.fragmentLocked(answer.UdpSize(settings))
	if s.started {
		s.startLocked()
	}
	old = waitUnused() // no batch that began before uses a listener that is gone
	stop(gone)
	return old, nil
}

// UseCanary makes the pools of another snapshot decide for a share of the clients, and returns when no query reads the canary
// before any more; nil: none does.
func (s *Server) UseCanary(c *answer.Canary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.SetCanary(c)()
}

// bindLocked returns a listener for each address of cfg: one of kept if it matches, otherwise a
// new one. An error leaves kept unchanged.
func (s *Server) bindLocked(cfg *config.Server, kept []*listener) ([]*listener, error) {
	asks := endpoints(cfg)
	gone := slices.DeleteFunc(slices.Clone(kept), func(l *listener) bool { return slices.Contains(asks, l.endpoint) })
	kept = slices.Clone(kept)
	var listeners, opened []*listener
	for _, asked := range asks {
		if i := slices.IndexFunc(kept, func(l *listener) bool { return l.endpoint == asked }); i >= 0 {
			listeners = append(listeners, kept[i])
			kept = slices.Delete(kept, i, i+1)
			continue
		}
		l, err := s.newListener(asked, cfg, gone)
		if err != nil {
			stop(opened)
			return nil, err
		}
		opened = append(opened, l)
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// endpoints lists what cfg listens on.
func endpoints(cfg *config.Server) (all []endpoint) {
	for _, a := range cfg.Listen {
		all = append(all, endpoint{handover.TCP, a})
	}
	for _, a := range cfg.ListenTLS {
		all = append(all, endpoint{handover.TLS, a})
	}
	for _, a := range cfg.ListenQUIC {
		all = append(all, endpoint{handover.QUIC, a})
	}
	for _, a := range cfg.HTTPS.Addresses {
		all = append(all, endpoint{handover.HTTPS, a})
		if cfg.HTTPS.HTTP3 {
			all = append(all, endpoint{handover.HTTP3, a})
		}
	}
	return all
}

func (s *Server) startLocked() {
	for _, l := range s.listeners {
		l.start()
	}
}

// fragmentLocked sets the fragmentation for answers of at most size, also on kept sockets.
func (s *Server) fragmentLocked(size uint16) {
	for _, l := range s.listeners {
		for _, w := range l.udp {
			setFragments(w.conn, l.addr.Addr(), size)
		}
	}
}

// without returns the listeners of all that are not in kept.
func without(all, kept []*listener) []*listener {
	return slices.DeleteFunc(slices.Clone(all), func(l *listener) bool { return slices.Contains(kept, l) })
}

// workers returns the number of UDP workers for each address.
func (s *Server) workers(cfg *config.Server) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return s.cores
}
