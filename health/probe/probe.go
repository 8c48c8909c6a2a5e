// Package probe runs one probe of an endpoint, by the type of its check, and gives the reason of the result.
package probe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"
)

// checkFunc is the function of one type of check: it runs t until ctx ends. It returns the evidence of success, or an error
// that describes the finding, or an unchanged input or output error; [attempt.result] makes the reason. It keeps t.doing up
// to date.
type checkFunc func(ctx context.Context, t *attempt) (evidence string, err error)

// attempt is a running probe.
type attempt struct {
	*Check
	addr    netip.Addr
	dial    Dial
	buffers *buffers        // of http and https, during the probe
	doing   string          // the current step, e.g. "connecting", for the reason of a timeout
	orphan  <-chan struct{} // closed when the program that outlives the probe ends; nil: none does
	trace   *trace          // nil: not traced
	expires time.Time       // when the first of the peer's certificates expires; zero: none was seen
}

// Probe runs the check against addr once, within its timeout. If a program could not be killed then, left is closed when it
// has ended.
func (c *Check) Probe(parent context.Context, addr netip.Addr, dial Dial, log *slog.Logger) (r Result, left <-chan struct{}) {
	return c.probe(parent, addr, dial, log, nil)
}

// probe is Probe that records its steps in trace, unless that is nil.
func (c *Check) probe(parent context.Context, addr netip.Addr, dial Dial, log *slog.Logger, trace *trace) (r Result, left <-chan struct{}) {
	ctx, cancel := context.WithTimeout(parent, c.check.Timeout)
	defer cancel()
	t := &attempt{Check: c, addr: addr, dial: dial, trace: trace}
	began := time.Now()
	evidence, err := t.run(ctx, log)
	r = t.result(ctx, evidence, err)
	r.At, r.Latency, r.Expires = began, time.Since(began), t.expires
	if parent.Err() != nil {
		r.Outcome = Inconclusive // the prober stops, and the result does not count
	}
	return r, t.orphan
}

// run calls the check's function; a panic in it fails the probe, not the process.
func (t *attempt) run(ctx context.Context, log *slog.Logger) (evidence string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while %s: %v", t.doing, v)
			log.LogAttrs(ctx, slog.LevelError, "check panicked",
				slog.String("check", t.check.Name),
				slog.String("address", t.addr.String()),
				slog.String("reason", err.Error()),
				slog.String("stack", string(debug.Stack())))
		}
	}()
	t.doing = "starting"
	return t.Check.run(ctx, t)
}

// source returns the source address of the probe; the zero Addr: the system chooses.
func (t *attempt) source() netip.Addr {
	for _, source := range t.check.Sources {
		if source.Is4() == t.addr.Unmap().Is4() {
			return source
		}
	}
	return netip.Addr{}
}

// connect opens a connection over tcp or udp to a port of the target, or to the check's socket, and sends the PROXY header
// if the check has one. hangUp closes it; the end of ctx closes it too, and so fails pending reads and writes.
func (t *attempt) connect(ctx context.Context, network string, port int) (conn net.Conn, hangUp func(), err error) {
	address := netip.AddrPortFrom(t.addr, uint16(port)).String()
	if t.check.Unix != "" {
		network, address = "unix", t.check.Unix
	}
	t.begin("connect", "connecting")
	t.trace.found(address)
	conn, err = t.dial(ctx, t.source(), network, address)
	if err != nil {
		return nil, nil, err
	}
	if t.trace != nil && t.check.Unix == "" {
		t.trace.found(address + " from " + conn.LocalAddr().String())
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	hangUp = func() { stop(); conn.Close() }
	if t.check.ProxyProtocol != 0 {
		t.begin("proxy", "sending the PROXY header")
		if _, err := io.WriteString(conn, proxyHeader(t.check.ProxyProtocol, conn)); err != nil {
			hangUp()
			return nil, nil, err
		}
	}
	return conn, hangUp, nil
}
