package answer

import (
	"errors"
	"net/netip"

	"meridian/server/proxy"
)

// unwrap removes the PROXY header of a UDP packet:
//
//	source                 header       outcome
//	in server.proxy.from   PROXY        the message, from the client in the header
//	in server.proxy.from   LOCAL        the message, from the source
//	in server.proxy.from   none or bad  dropped
//	any other              version 2    dropped
//	any other              none         the message, from the source
//
// ok is false for a packet that is dropped.
func (r *Responder) unwrap(packet []byte, source netip.Addr) (message []byte, client netip.Addr, ok bool) {
	r.proxied = netip.AddrPort{}
	if !r.at.active.proxies.Contains(source) {
		if proxy.Starts(packet) {
			return r.dropProxied(ProxyUntrusted, source)
		}
		return packet, source, true
	}
	from, size, err := proxy.Parse(packet)
	if err != nil {
		return r.dropProxied(ProxyError(err), source)
	}
	if !from.IsValid() {
		return packet[size:], source, true
	}
	r.proxied, r.Port = from, from.Port()
	return packet[size:], from.Addr(), true
}

// dropProxied counts a packet that unwrap drops.
func (r *Responder) dropProxied(why Event, source netip.Addr) (message []byte, client netip.Addr, ok bool) {
	if source.Is6() {
		r.facts.family = fromIPv6
	}
	r.counts.add(uint32(why))
	r.countQuery(noAnswer)
	return nil, source, false
}

// ProxiedClient returns the client that the PROXY header of the current message over UDP has; an invalid one: there is none.
// It is for use between Acquire and Release.
func (r *Responder) ProxiedClient() netip.AddrPort {
	if r.at.active.proxies == nil {
		return netip.AddrPort{}
	}
	return r.proxied
}

// ProxyError returns the event of a header that cannot be used.
func ProxyError(err error) Event {
	switch {
	case errors.Is(err, proxy.ErrVersion1):
		return ProxyVersion1
	case errors.Is(err, proxy.ErrMalformed):
		return ProxyMalformed
	}
	return ProxyMissing
}

// IsProxy reports whether connections from a source begin with a PROXY header.
func (e *Engine) IsProxy(source netip.Addr) bool {
	proxies := e.current.Load().proxies
	return proxies != nil && proxies.Contains(source)
}
