// Package server takes questions from the network and answers them.
//
// A message goes one way:
//
//	socket -> Responder.respond -> query.parse -+-> wire (plain questions: bytes appended in place)
//	                                            +-> full (all else: by way of a dns.Msg)
//	socket <- the answer's octets --------------+
//
// The wire path and the full path ask the same zones and pools the same questions
// and give the same answers; a test compares them on random worlds. What is a
// plain question is said by query.plain.
//
// # Words
//
//   - A listener is one address that the configuration names: a UDP socket and
//     goroutine for each worker, and one TCP socket.
//   - A Responder is what one worker or connection answers with: all memory
//     that an answer needs, reused. While it answers it holds one reading
//     of the snapshot.
//   - serving is a snapshot and what this package works out from it once.
//
// # Invariants
//
// On the query path nothing is locked, allocated or logged, but where a panic
// is turned into SERVFAIL. Everything that a query reads hangs on the one pointer
// Server.current, loaded once a batch. Swap returns the old snapshot when no
// responder reads it.
//
// The life of the process (probing, reload, signals) is Lifecycle's. The package
// knows no policy, and no format of a file.
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
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/zones"
)

// Options are what a Server takes from outside.
type Options struct {
	Logger *slog.Logger  // nil: silence
	Draw   func() uint64 // the random draw of each query, safe for concurrent use; nil: a fast source for each worker
}

// Server answers from the snapshot it was last given. Its methods are safe for
// concurrent use; Listen and Serve are called once each, in this order.
type Server struct {
	options    Options
	built      time.Time
	cores      int // that the process may use; read once: a reload asks for more, see oneMoreProcessor
	current    atomic.Pointer[activeSnapshot]
	responders responderPool
	shared     sharedCounters // what is not counted by a responder

	tcpSlots   *tcpSlots
	tcpBuffers tcpBuffers

	portable bool // take the portable UDP path where there is a faster one: for tests

	mu        sync.Mutex // guards all below; held while listeners come and go
	listeners []*listener
	listening bool
	started   bool
	closed    bool // it ended before it served, and binds no more
}

// New makes a server that answers from snapshot.
func New(snapshot *zones.Snapshot, o Options) *Server {
	s := newServer(o)
	s.begin(snapshot)
	return s
}

// newServer returns a server that may bind its sockets before it has a snapshot.
func newServer(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cores := runtime.GOMAXPROCS(0)
	return &Server{
		options: o, built: time.Now(), cores: cores,
		responders: responderPool{idle: make(chan *Responder, cores)}, tcpSlots: newTCPSlots(cores), tcpBuffers: newTCPBuffers(),
	}
}

// begin makes snapshot the first one that answers.
func (s *Server) begin(snapshot *zones.Snapshot) { s.current.Store(newActiveSnapshot(snapshot)) }

// Listen binds every address of the snapshot's configuration, UDP and TCP.
// Questions wait in the sockets until Serve.
func (s *Server) Listen() error { return s.bind(s.current.Load().config) }

// bind listens on the addresses that cfg names, and on no others: those that an earlier
// call bound are kept or closed.
func (s *Server) bind(cfg *config.Server) error {
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
	s.fragmentLocked(udpSize(cfg))
	return nil
}

// unbind closes the sockets of a server that has not served and will not.
func (s *Server) unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	stop(s.listeners)
	s.listeners, s.listening, s.closed = nil, false, true
}

// Addrs is where the server listens, with real ports where 0 was asked.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]netip.AddrPort, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.addr
	}
	return addrs
}

// Serve answers until ctx ends, then drains: queries already received are answered.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	if !s.listening || s.started {
		s.mu.Unlock()
		return errors.New("serve: Listen comes first, and Serve once")
	}
	if err := s.tcpSlots.open(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.started = true
	go s.tcpSlots.run()
	s.startLocked()
	s.mu.Unlock()

	<-ctx.Done()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = false
	stop(s.listeners)
	s.listeners = nil
	s.tcpSlots.close()
	return nil
}

// Swap makes snapshot the one that answers and returns the old one when no
// query reads it any more. It listens on addresses that are new and closes
// those that went; an address that cannot be bound leaves all as it was.
func (s *Server) Swap(snapshot *zones.Snapshot) (old *zones.Snapshot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := newActiveSnapshot(snapshot)
	var gone []*listener
	if s.listening {
		listeners, err := s.bindLocked(next.config, s.listeners)
		if err != nil {
			return nil, err
		}
		gone = without(s.listeners, listeners)
		s.listeners = listeners
	}
	before := s.current.Swap(next)
	s.fragmentLocked(next.udpSize)
	if s.started {
		s.startLocked()
	}
	stop(gone)
	s.responders.waitUnused(before)
	return before.snapshot, nil
}

// bindLocked returns a listener for each address that cfg names: one of kept
// where it listens there already, else a new one. An error leaves kept as it was.
func (s *Server) bindLocked(cfg *config.Server, kept []*listener) ([]*listener, error) {
	asks := cfg.Listen
	gone := slices.DeleteFunc(slices.Clone(kept), func(l *listener) bool { return slices.Contains(asks, l.asked) })
	kept = slices.Clone(kept)
	var listeners, opened []*listener
	for _, asked := range asks {
		if i := slices.IndexFunc(kept, func(l *listener) bool { return l.asked == asked }); i >= 0 {
			listeners = append(listeners, kept[i])
			kept = slices.Delete(kept, i, i+1)
			continue
		}
		l, err := s.newListener(asked, s.workers(cfg), gone)
		if err != nil {
			stop(opened)
			return nil, err
		}
		opened = append(opened, l)
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func (s *Server) startLocked() {
	for _, l := range s.listeners {
		l.start()
	}
}

// fragmentLocked has answers of at most size travel as that allows, on sockets that stayed, too.
func (s *Server) fragmentLocked(size uint16) {
	for _, l := range s.listeners {
		for _, w := range l.udp {
			setFragments(w.conn, l.addr.Addr(), size)
		}
	}
}

// without is the listeners of all that are not in kept.
func without(all, kept []*listener) []*listener {
	return slices.DeleteFunc(slices.Clone(all), func(l *listener) bool { return slices.Contains(kept, l) })
}

// workers is how many UDP workers each address gets.
func (s *Server) workers(cfg *config.Server) int {
	if cfg.Workers > 0 {
		return cfg.Workers
	}
	return s.cores
}

// Responder makes a responder over the server's current snapshot.
func (s *Server) Responder() *Responder { return s.responders.add(s) }

// Counters is a reading of what the server has done.
func (s *Server) Counters() Counters {
	var c Counters
	c.add(&s.shared)
	s.responders.count(&c)
	return c
}

// panicked tells of a query on which we panicked: the first, then ever fewer.
func (s *Server) panicked(fault any, packet, stack []byte) {
	n := s.shared.values[panics].Add(1)
	if n&(n-1) == 0 {
		s.options.Logger.Error("panic on a query, answered SERVFAIL", "fault", fault, "query", packet, "panics", n, "stack", string(stack))
	}
}
