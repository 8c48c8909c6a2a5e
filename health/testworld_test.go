package health

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
)

// world is a network in memory, for the bubbles of testing/synctest. Every address behaves as set by become; by default it
// accepts.
type world struct {
	mu       sync.Mutex
	behave   map[netip.Addr]behaviour
	dials    map[netip.AddrPort][]time.Time // when each probe connected
	busy     map[netip.AddrPort]int         // running dials
	dialling int                            // all of them
	most     int                            // the most at once
	overlaps int                            // probes of a port that overlap another
}

// behaviour is the reaction of an address to a connection.
type behaviour func(ctx context.Context) (net.Conn, error)

func newWorld() *world {
	return &world{
		behave: make(map[netip.Addr]behaviour),
		dials:  make(map[netip.AddrPort][]time.Time),
		busy:   make(map[netip.AddrPort]int),
	}
}

func (w *world) become(addr netip.Addr, b behaviour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behave[addr] = b
}

// dialled returns when port 80 of addr was dialled.
func (w *world) dialled(addr netip.Addr) []time.Time { return w.dialledPort(addr, 80) }

func (w *world) dialledPort(addr netip.Addr, port uint16) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dials[netip.AddrPortFrom(addr, port)])
}

// mostAtOnce returns the largest number of concurrent dials.
func (w *world) mostAtOnce() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// dial is the world's Options.Dial.
func (w *world) dial(ctx context.Context, _ netip.Addr, _, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	defer w.begin(to)()
	w.mu.Lock()
	b := w.behave[to.Addr()]
	w.mu.Unlock()
	if b == nil {
		b = accepts
	}
	return b(ctx)
}

// begin counts a dial; end ends it.
func (w *world) begin(to netip.AddrPort) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials[to] = append(w.dials[to], time.Now())
	if w.busy[to]++; w.busy[to] > 1 {
		w.overlaps++
	}
	w.dialling++
	w.most = max(w.most, w.dialling)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy[to]--
		w.dialling--
	}
}

func accepts(context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	server.Close()
	return client, nil
}

func refuses(context.Context) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func hangs(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
}

func lacksFiles(context.Context) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EMFILE}
}

func panics(context.Context) (net.Conn, error) { panic("wires crossed") }

// after returns b with a delay.
func after(d time.Duration, b behaviour) behaviour {
	return func(ctx context.Context) (net.Conn, error) {
		select {
		case <-time.After(d):
			return b(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// probing runs f in a bubble with a prober of a world until f returns.
func probing(t *testing.T, f func(t *testing.T, w *world, p *Prober)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := NewProber(Options{Dial: w.dial, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		defer func() {
			stop()
			<-p.stopped
			if w.overlaps > 0 {
				t.Errorf("%d probes began beside another of the same target", w.overlaps)
			}
		}()
		go p.Run(ctx)
		f(t, w, p)
	})
}

// tcpCheck returns a check with the default settings.
func tcpCheck() *config.Check {
	return &config.Check{
		Name: "web", Type: config.TCPConnect, Port: 80,
		Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
}

// addrs returns n addresses.
func addrs(n int) []netip.Addr {
	out := make([]netip.Addr, n)
	for i := range out {
		out[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	return out
}

func targetsOf(c *config.Check, of []netip.Addr) []Target {
	var out []Target
	for _, a := range of {
		out = append(out, Target{c, a})
	}
	return out
}

// listener records the transitions of a watch.
type listener struct {
	mu          sync.Mutex
	transitions []Transition
}

func (l *listener) record(transitions []Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.transitions = append(l.transitions, transitions...)
}

// take returns the transitions since the last call.
func (l *listener) take() []Transition {
	l.mu.Lock()
	defer l.mu.Unlock()
	transitions := l.transitions
	l.transitions = nil
	return transitions
}

func watch(t *testing.T, p *Prober, targets []Target) (*Watch, *listener) {
	t.Helper()
	l := &listener{}
	w, err := p.Watch(targets, l.record)
	if err != nil {
		t.Fatal(err)
	}
	return w, l
}

// logBook collects log lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.buf.String()), "\n")
}

// logger returns a logger that writes text without the time.
func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Writer(b), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// logged starts a prober of a world in the current bubble that logs into a book, until end.
func logged(t *testing.T, saved []SavedTarget) (w *world, p *Prober, book *logBook, end func()) {
	t.Helper()
	w, book = newWorld(), &logBook{}
	p = NewProber(Options{Dial: w.dial, Logger: book.logger(), Saved: saved})
	ctx, stop := context.WithCancel(t.Context())
	go p.Run(ctx)
	return w, p, book, func() { stop(); <-p.stopped }
}
