package answer

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"

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
			r.engine.untrusted.set(source)
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

// CountUntrusted counts a connection that begins with a PROXY header, from a source that must send none.
func (e *Engine) CountUntrusted(source netip.Addr) {
	e.untrusted.set(source)
	e.Count(ProxyUntrusted, 1)
}

// Untrusted returns the last source of a PROXY header that must send none; an invalid address: there was none.
func (e *Engine) Untrusted() netip.Addr { return e.untrusted.get() }

// lastAddress holds the last of the addresses that several goroutines set, without locks. One that is set at the same time
// as another one may be lost.
type lastAddress struct {
	version   atomic.Uint64 // odd while an address is set
	high, low atomic.Uint64 // halves of the address
}

func (l *lastAddress) set(a netip.Addr) {
	version := l.version.Load()
	if version&1 != 0 || !l.version.CompareAndSwap(version, version+1) {
		return
	}
	octets := a.As16()
	l.high.Store(binary.BigEndian.Uint64(octets[:8]))
	l.low.Store(binary.BigEndian.Uint64(octets[8:]))
	l.version.Store(version + 2)
}

// get returns the last address; an invalid one: none is set, or others are set all the time.
func (l *lastAddress) get() netip.Addr {
	const tries = 1000
	for range tries {
		version := l.version.Load()
		if version == 0 {
			break
		}
		var octets [16]byte
		binary.BigEndian.PutUint64(octets[:8], l.high.Load())
		binary.BigEndian.PutUint64(octets[8:], l.low.Load())
		if version&1 == 0 && l.version.Load() == version {
			return netip.AddrFrom16(octets).Unmap()
		}
	}
	return netip.Addr{}
}
