package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"meridian/config"
	"meridian/server/answer"
	"meridian/server/xdp"
)

// bypassInterval is how often the interfaces of server.xdp are compared with what is attached: they come and go, and get
// other addresses.
const bypassInterval = time.Second

// bypass answers UDP queries on the interfaces of server.xdp past the network stack of the kernel. The sockets stay:
// they get the packets that the program on the interface leaves to the kernel, and all packets where none is attached.
type bypass struct {
	server    *Server
	listeners atomic.Pointer[[]*listener] // of UDP; they send what the interfaces cannot
	changed   chan struct{}               // the settings or the listeners

	mu       sync.Mutex // guards attached
	attached []*attachment
}

// attachment is an interface of server.xdp.
type attachment struct {
	name    string
	link    *xdp.Link // nil: not attached
	options xdp.Options
	as      net.Interface
	failure string // why it is not attached, or does not take all packets
	lost    xdp.Statistics

	retry time.Time     // the next attempt
	wait  time.Duration // after the last one
}

// BypassState is the state of an interface of server.xdp.
type BypassState struct {
	xdp.State
	Attached bool
	Failure  string // why queries are answered by sockets
	Lost     xdp.Statistics
}

func newBypass(s *Server) *bypass {
	b := &bypass{server: s, changed: make(chan struct{}, 1)}
	b.listeners.Store(new([]*listener))
	return b
}

// Bypass returns the state of the interfaces of server.xdp, in the order of the configuration.
func (s *Server) Bypass() []BypassState {
	b := s.bypass
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]BypassState, len(b.attached))
	for i, a := range b.attached {
		all[i] = BypassState{State: xdp.State{Interface: a.name}, Failure: a.failure, Lost: a.lost}
		if a.link != nil {
			all[i].State, all[i].Attached = a.link.State(), true
			all[i].Lost = a.lost.Plus(a.link.Statistics())
		}
	}
	return all
}

// use sets the listeners, and makes run look at the settings soon.
func (b *bypass) use(listeners []*listener) {
	udp := slices.DeleteFunc(slices.Clone(listeners), func(l *listener) bool { return len(l.udp) == 0 })
	b.listeners.Store(&udp)
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// run keeps the interfaces attached until ctx ends, and detaches them.
func (b *bypass) run(ctx context.Context) {
	tick := time.NewTicker(bypassInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.adjust(b.server.Settings())
		var again <-chan time.Time
		if len(b.attached) > 0 {
			again = tick.C
		}
		select {
		case <-ctx.Done():
		case <-b.changed:
		case <-again:
		}
	}
	b.adjust(&config.Server{})
}

// adjust attaches and detaches what differs from the settings, and takes the packets to the listening addresses.
func (b *bypass) adjust(settings *config.Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.attached
	b.attached = nil
	for _, name := range settings.XDP.Interfaces {
		i := slices.IndexFunc(kept, func(a *attachment) bool { return a.name == name })
		if i < 0 {
			b.attached = append(b.attached, &attachment{name: name})
			continue
		}
		b.attached = append(b.attached, kept[i])
		kept = slices.Delete(kept, i, i+1)
	}
	for _, a := range kept {
		b.detach(a, "not in server.xdp")
	}
	for _, a := range b.attached {
		b.adjustOne(a, settings)
	}
}

// adjustOne attaches a if it is not, or again if the interface or the settings have changed.
func (b *bypass) adjustOne(a *attachment, settings *config.Server) {
	options := optionsOf(a.name, &settings.XDP)
	now, err := net.InterfaceByName(a.name)
	if a.link != nil && (err != nil || !sameLink(now, &a.as) || a.options != options) {
		b.detach(a, "the interface or server.xdp has changed")
	}
	if a.link == nil && (a.options != options || !time.Now().Before(a.retry)) {
		b.attach(a, options)
	}
	if a.link == nil {
		return
	}
	if err := a.link.Take(b.addresses()); err != nil {
		b.fail(a, err)
		return
	}
	a.failure = ""
}

// maxBypassWait is the longest wait between attempts to attach an interface: an attempt may make a driver reset its rings.
const maxBypassWait = 5 * time.Minute

// delay sets the time of the next attempt after an error. An interface that does not exist, or that another process may be
// about to leave, is tried again soon.
func (a *attachment) delay(err error) {
	a.wait = min(max(2*a.wait, bypassInterval), maxBypassWait)
	if errors.Is(err, xdp.ErrBusy) || errors.Is(err, xdp.ErrNoInterface) {
		a.wait = 0
	}
	a.retry = time.Now().Add(a.wait)
}

// optionsOf returns how an interface is attached.
func optionsOf(name string, x *config.XDP) xdp.Options {
	modes := map[string]xdp.Mode{"auto": xdp.Auto, "native": xdp.Native, "generic": xdp.Generic}
	return xdp.Options{Interface: name, Mode: modes[x.Mode], Queues: x.Queues}
}

// sameLink reports whether an interface is still the one that was attached.
func sameLink(now, before *net.Interface) bool {
	return now.Index == before.Index && now.MTU == before.MTU && slices.Equal(now.HardwareAddr, before.HardwareAddr)
}

// attach attaches an interface, and answers its queries from then on.
func (b *bypass) attach(a *attachment, options xdp.Options) {
	a.options = options
	link, err := xdp.Attach(options)
	if err != nil {
		a.delay(err)
		b.fail(a, err)
		return
	}
	a.link, a.failure, a.wait = link, "", 0
	if now, err := net.InterfaceByName(a.name); err == nil {
		a.as = *now
	}
	link.Serve(func() xdp.Handler { return newBypassWorker(b) })
	state := link.State()
	b.server.options.Logger.Info("UDP queries on an interface are answered through AF_XDP",
		"interface", a.name, "mode", state.Mode.String(), "queues", state.Queues, "zero_copy", state.ZeroCopy)
}

// fail logs an error of an interface once.
func (b *bypass) fail(a *attachment, err error) {
	reason := err.Error()
	if a.failure == reason {
		return
	}
	a.failure = reason
	if a.link == nil {
		b.server.options.Logger.Warn("cannot use AF_XDP; UDP queries on the interface are answered by sockets", "interface", a.name, "error", reason)
	} else {
		b.server.options.Logger.Warn("not all UDP queries on an interface are answered through AF_XDP; sockets answer the others", "interface", a.name, "error", reason)
	}
}

// detach leaves the packets of an interface to the kernel again.
func (b *bypass) detach(a *attachment, why string) {
	if a.link == nil {
		return
	}
	a.link.Close()
	a.lost = a.lost.Plus(a.link.Statistics())
	a.link = nil
	b.server.options.Logger.Info("AF_XDP is detached from an interface", "interface", a.name, "reason", why)
}

// addresses returns the addresses that packets are taken for: those that are listened on, and for wildcards all of this host. A
// packet that this host forwards to another one is not taken, nor one to a loopback address, which the kernel drops.
func (b *bypass) addresses() (all []netip.AddrPort) {
	local, _ := net.InterfaceAddrs() // an error leaves the wildcards out
	for _, l := range *b.listeners.Load() {
		if !l.addr.Addr().IsUnspecified() {
			all = append(all, l.addr)
			continue
		}
		for _, a := range local {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().Is4() == l.addr.Addr().Is4() {
				all = append(all, netip.AddrPortFrom(prefix.Addr().WithZone(""), l.addr.Port()))
			}
		}
	}
	return slices.DeleteFunc(all, func(a netip.AddrPort) bool { return a.Addr().IsLoopback() })
}

// listenerOf returns the listener of a destination address; nil: it is closed.
func (b *bypass) listenerOf(to netip.AddrPort) *listener {
	for _, l := range *b.listeners.Load() {
		if l.addr == to || l.addr.Addr().IsUnspecified() && l.addr.Port() == to.Port() && l.addr.Addr().Is4() == to.Addr().Is4() {
			return l
		}
	}
	return nil
}

// bypassWorker answers the queries of one receive queue.
type bypassWorker struct {
	bypass    *bypass
	responder *answer.Responder
	packet    *xdp.Packet // of the query that is being answered
}

func newBypassWorker(b *bypass) *bypassWorker {
	w := &bypassWorker{bypass: b, responder: b.server.Responder()}
	w.responder.Postpone = w.postpone
	return w
}

func (w *bypassWorker) BeginBatch() {
	w.responder.StartTiming()
	w.responder.Acquire()
}

func (w *bypassWorker) EndBatch(n int) {
	w.responder.Release()
	w.responder.EndTiming(answer.UDP, n)
}

// End removes what the worker holds.
func (w *bypassWorker) End() { w.bypass.server.Remove(w.responder) }

// Answer answers a query. A long answer needs fragments, which the kernel makes.
func (w *bypassWorker) Answer(out []byte, p *xdp.Packet) []byte {
	switch {
	case p.Source.Port() == 0:
		w.responder.CountEvent(answer.NoReturn)
		return out
	case len(p.Payload) > receiveSize:
		w.responder.CountEvent(answer.TooLong)
		return out
	}
	w.packet, w.responder.Port = p, p.Source.Port()
	room := cap(out)
	full := w.responder.Answer(out, p.Payload, p.Source.Addr(), false)
	switch {
	case len(full) > room:
		w.sendByKernel(full)
		return out
	case cap(full) != room: // it was too long in between
		return append(out, full...)
	}
	return full
}

// sendByKernel sends an answer by the socket of the address that was asked.
func (w *bypassWorker) sendByKernel(out []byte) {
	l := w.bypass.listenerOf(w.packet.Destination)
	if l == nil {
		w.bypass.server.Count(answer.SendFailed, 1)
		return
	}
	switch err := sendNow(l.udp[0].conn, out, w.control(l), w.packet.Source); {
	case errors.Is(err, syscall.EAGAIN):
		w.bypass.server.Count(answer.Unsent, 1)
	case err != nil:
		w.bypass.server.Count(answer.SendFailed, 1)
	}
}

// control returns the control message that makes a wildcard socket send from the address that was asked.
func (w *bypassWorker) control(l *listener) []byte {
	from := w.packet.Destination.Addr()
	switch {
	case !l.addr.Addr().IsUnspecified():
		return nil
	case from.Is4():
		return (&ipv4.ControlMessage{Src: from.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: from.AsSlice()}).Marshal()
}

// postpone is udpWorker.postpone: a socket sends the answer.
func (w *bypassWorker) postpone(packet []byte, draw uint64) bool {
	l := w.bypass.listenerOf(w.packet.Destination)
	return l != nil && l.udp[0].postponeFor(w.responder, packet, draw, func() (netip.AddrPort, []byte) { return w.packet.Source, w.control(l) })
}
