package daemon

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"meridian/cluster"
	"meridian/cluster/direct"
	"meridian/config"
	"meridian/control"
)

// directLink is how a node asks the others, and answers them, while etcd is away. That of nil does nothing.
type directLink struct {
	client   *direct.Client
	listener *direct.Listener // nil: an agent has none
	identity direct.Identity
	address  atomic.Pointer[netip.AddrPort] // where the others reach this node; nil: not known yet
	learned  chan struct{}                  // capacity 1: other nodes have another address
	find     func() netip.AddrPort          // finds the address of this node out
	control  *control.Control
}

// openDirect opens what cluster.failsafe says; nil: nothing.
func (l *instance) openDirect(cfg *config.Cluster, identity direct.Identity) (*directLink, error) {
	if !cfg.Failsafe.On() {
		return nil, nil
	}
	d := &directLink{identity: identity, client: direct.NewClient(identity), learned: make(chan struct{}, 1), control: l.control}
	d.find = func() netip.AddrPort { return netip.AddrPort{} }
	if l.Agent {
		return d, nil
	}
	listener, err := direct.Open(cfg.Failsafe.Listen, cfg.Failsafe.Every, l.Inherited)
	if err != nil {
		return nil, &BindError{err}
	}
	d.listener = listener
	d.find = func() netip.AddrPort { return advertised(&cfg.Failsafe, listener.Addr(), cfg.Etcd.Endpoints) }
	return d, nil
}

// advertised returns where the other nodes reach a listener: as configured, or else at the address from which this node
// reaches etcd. It may wait for a resolver.
func advertised(f *config.Failsafe, bound netip.AddrPort, endpoints []string) netip.AddrPort {
	if f.Advertise.IsValid() {
		return f.Advertise
	}
	if a := bound.Addr().Unmap(); !a.IsUnspecified() {
		return netip.AddrPortFrom(a, bound.Port())
	}
	var local netip.Addr
	for _, endpoint := range endpoints {
		u, err := url.Parse(endpoint)
		if err != nil {
			continue
		}
		port := u.Port()
		if port == "" {
			port = "2379" // any port: nothing is sent
		}
		conn, err := net.DialTimeout("udp", net.JoinHostPort(u.Hostname(), port), time.Second)
		if err != nil {
			continue
		}
		from := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
		_ = conn.Close() // nothing was sent
		if !from.IsLoopback() {
			return netip.AddrPortFrom(from, bound.Port())
		}
		local = from
	}
	if !local.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(local, bound.Port())
}

// functions returns what the node of the cluster calls.
func (d *directLink) functions() *cluster.Direct {
	if d == nil {
		return nil
	}
	f := &cluster.Direct{
		Exchange: d.client.Exchange,
		Address: func() netip.AddrPort {
			if a := d.address.Load(); a != nil {
				return *a
			}
			return netip.AddrPort{}
		},
		Learned: func() {
			select {
			case d.learned <- struct{}{}:
			default:
			}
		},
	}
	if d.listener != nil {
		f.Refused = d.listener.Refused
	}
	return f
}

// addressInterval is how often a node finds its address out again: that of its interface may change.
const addressInterval = time.Minute

// run finds the address of the node out, and saves those of the others, until ctx ends.
func (d *directLink) run(ctx context.Context) {
	if d == nil {
		return
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.learned:
			if w := d.control.Writer(); w != nil {
				w.MarkDirty()
			}
		case <-next.C:
			wait := addressInterval
			if a := d.find(); a.IsValid() {
				d.address.Store(&a)
			} else {
				wait = time.Second
			}
			next.Reset(wait)
		}
	}
}

// serve answers the other nodes.
func (d *directLink) serve(l *instance, n *cluster.Node) error {
	if d == nil || d.listener == nil {
		return nil
	}
	return d.listener.Serve(direct.Settings{Identity: d.identity, Heartbeat: n.Heartbeat, Answer: n.Answer, Logger: l.Logger})
}

// close ends the listener and the connections.
func (d *directLink) close() {
	if d != nil {
		d.listener.Close()
		d.client.Close()
	}
}
