// Package server takes questions from the network and answers them.
package server

import (
	"context"
	"log/slog"
	"net/netip"

	"meridian/zones"
)

// Options are what a Server takes from outside.
type Options struct {
	Logger *slog.Logger
}

// Server answers from the snapshot it was last given.
type Server struct{}

// New makes a server that answers from snapshot.
func New(snapshot *zones.Snapshot, o Options) *Server { panic("skeleton") }

// Listen binds every address of the snapshot's configuration, UDP and TCP.
// Questions wait in the sockets until Serve.
func (s *Server) Listen() error { panic("skeleton") }

// Addrs is where the server listens, with real ports where 0 was asked.
func (s *Server) Addrs() []netip.AddrPort { panic("skeleton") }

// Serve answers until ctx ends, then drains: queries already received are answered.
func (s *Server) Serve(ctx context.Context) error { panic("skeleton") }

// Swap makes snapshot the one that answers and returns the old one when no
// query reads it any more. It listens on addresses that are new and closes
// those that went; an address that cannot be bound leaves all as it was.
func (s *Server) Swap(snapshot *zones.Snapshot) (old *zones.Snapshot, err error) { panic("skeleton") }

// Counters is a reading of what the server has done.
func (s *Server) Counters() Counters { panic("skeleton") }

// Counters counts since start.
type Counters struct {
	Queries uint64
}

// Responder answers single messages: one worker's own state, not for concurrent use.
type Responder struct{}

// Responder makes a responder over the server's current snapshot.
func (s *Server) Responder() *Responder { panic("skeleton") }

// Respond appends the answer to query, a whole DNS message from source, to out; it
// appends nothing where silence is right. stream says TCP: no truncation at the UDP size.
func (r *Responder) Respond(out, query []byte, source netip.Addr, stream bool) []byte {
	panic("skeleton")
}
