package server

import (
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

const (
	// maxRefusalsOfClient is the number of refused transfers of one client that are logged in a minute.
	maxRefusalsOfClient = 10
	// maxRefusalClients is the number of clients with a log line for a refused transfer in a minute.
	maxRefusalClients = 64
)

// refusals limits the log lines about refused transfers, which any client can cause. It is safe for concurrent use.
type refusals struct {
	mu     sync.Mutex         // guards all below
	logged map[netip.Addr]int // in the current minute, by client network
	until  time.Time          // end of the current minute
}

// due reports whether a refused transfer of a client is to be logged, and counts it.
func (f *refusals) due(client netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !now.Before(f.until) {
		f.logged, f.until = map[netip.Addr]int{}, now.Add(time.Minute)
	}
	n := f.logged[client]
	if n == maxRefusalsOfClient || n == 0 && len(f.logged) == maxRefusalClients {
		return false
	}
	f.logged[client]++
	return true
}

// logRefused logs a refused transfer; nil: there is none.
func (s *Server) logRefused(refused *answer.RefusedTransfer, client netip.Addr, over answer.Transport) {
	if refused == nil || !s.refusals.due(clientNetwork(client), time.Now()) {
		return
	}
	s.options.Logger.Info("transfer refused", "zone", refused.Zone, "client", client, "transport", over.String(), "key", refused.Key,
		"rcode", dns.RcodeToString[refused.Rcode], "reason", refused.Reason)
}
