package direct

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	random "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/cluster/observation"
	"meridian/counterpart"
)

// dial opens connections that send nothing, and closes them at the end of the test.
func dial(t *testing.T, to *Listener, n int) (all []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", to.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}
	return all
}

// awaitRefused waits until a listener has refused n times for a reason.
func awaitRefused(t *testing.T, l *Listener, why Refusal, n uint64) {
	t.Helper()
	counterpart.Await(t, func() error {
		if got := l.Refused(); got[string(why)] != n {
			return fmt.Errorf("refused %v, want %d for %s", got, n, why)
		}
		return nil
	})
}

// TestSilentConnectionsKeepNoVantageOut holds more connections open than are allowed: the oldest are closed, and a vantage is
// answered.
func TestSilentConnectionsKeepNoVantageOut(t *testing.T) {
	var log lockedBuffer
	l := listen(t, identityOf("ams1", "fra1"), &log, nothing)
	silent := dial(t, l, 3*maxPendingOf)
	awaitRefused(t, l, Handshakes, 2*maxPendingOf)
	for i, c := range silent[:2*maxPendingOf] {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d is not closed", i)
		}
	}
	c := NewClient(identityOf("fra1", "ams1"))
	defer c.Close()
	if _, err := c.Exchange(t.Context(), "ams1", l.Addr(), &observation.Exchange{}); err != nil {
		t.Error(err)
	}
	awaitRefused(t, l, Handshakes, 2*maxPendingOf+1)
	if n := strings.Count(log.String(), "direct request refused"); n != 1 || !strings.Contains(log.String(), silent[0].LocalAddr().String()) {
		t.Errorf("%d lines, want one with %s\n%s", n, silent[0].LocalAddr(), &log)
	}
	dial(t, l, maxPendingOf) // the vantage, which is connected, is not one of them
	if _, err := c.Exchange(t.Context(), "ams1", l.Addr(), &observation.Exchange{}); err != nil {
		t.Error(err)
	}
}

// TestConnectionsOfAVantageAreBounded opens connections with the key of one vantage; another one is still answered.
func TestConnectionsOfAVantageAreBounded(t *testing.T) {
	var log lockedBuffer
	l := listen(t, identityOf("ams1", "fra1", "sin1"), &log, nothing)
	for i := range maxOpen + 1 {
		c := NewClient(identityOf("fra1", "ams1"))
		t.Cleanup(c.Close)
		_, err := c.Exchange(t.Context(), "ams1", l.Addr(), &observation.Exchange{})
		switch {
		case i < maxRequests && err != nil:
			t.Errorf("connection %d: %v", i, err)
		case i >= maxRequests && err == nil:
			t.Errorf("connection %d is answered, after %d requests in a heartbeat", i, maxRequests)
		case i >= maxRequests && strings.Contains(err.Error(), "429 Too Many Requests") != (i < maxOpen):
			t.Errorf("connection %d of at most %d: %v", i, maxOpen, err)
		}
	}
	awaitRefused(t, l, Connections, 1)
	if !strings.Contains(log.String(), "fra1 at 127.0.0.1:") {
		t.Errorf("no vantage with an address in\n%s", &log)
	}
	c := NewClient(identityOf("sin1", "ams1"))
	defer c.Close()
	if _, err := c.Exchange(t.Context(), "ams1", l.Addr(), &observation.Exchange{}); err != nil {
		t.Error(err)
	}
}

// TestPublicKeyOfAVantageIsNoProof connects with a certificate of a trusted key by a client that does not have it.
func TestPublicKeyOfAVantageIsNoProof(t *testing.T) {
	l := listen(t, identityOf("ams1", "fra1"), io.Discard, func(*observation.Exchange) observation.Exchange { t.Error("answered"); return observation.Exchange{} })
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, keyOf("fra1").Public(), keyOf("evil"))
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: keyOf("evil")}}}
	c, err := tls.Dial("tcp", l.Addr().String(), secure)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/exchange/prod HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n\x01\x00\x00\x00\x00\x00\x00")
	if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "tls") {
		t.Errorf("%v, want an error of TLS", err)
	}
	counterpart.Await(t, func() error {
		l.conns.mu.Lock()
		defer l.conns.mu.Unlock()
		if len(l.conns.open)+len(l.conns.pending) > 0 {
			return fmt.Errorf("it counts: %v, pending %v", l.conns.open, l.conns.pending)
		}
		return nil
	})
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed *bool
}

func (c fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (c fakeConn) Close() error { *c.closed = true; return nil }

// TestConnectionsFollowTheSlowModel opens, uses and closes connections at random, and compares with a list of all that are open.
func TestConnectionsFollowTheSlowModel(t *testing.T) {
	r := random.New(random.NewPCG(1, 2))
	var s connections
	var model []*connection // open and pending, the oldest first
	drop := func(c *connection) { model = slices.DeleteFunc(model, func(o *connection) bool { return o == c }) }
	for step := range 20_000 {
		switch n := r.IntN(10); {
		case n < 6:
			from := fmt.Sprintf("192.0.2.%d:%d", r.IntN(20), step%60000)
			if n < 2 {
				from = fmt.Sprintf("[2001:db8:0:%x::%x]:1", r.IntN(9), step%9999)
			}
			added, oldest := s.add(fakeConn{from: from, closed: new(bool)})
			var same, pending []*connection
			for _, c := range model {
				if c.vantage == "" {
					pending = append(pending, c)
					if c.from == added.from {
						same = append(same, c)
					}
				}
			}
			var want *connection
			switch {
			case len(same) >= maxPendingOf:
				want = same[0]
			case len(pending) >= maxPending:
				want = pending[0]
			}
			if oldest != want {
				t.Fatalf("step %d: closes %v, want %v", step, oldest, want)
			}
			model = append(model, added)
			if oldest != nil {
				drop(oldest)
				oldest.Close()
			}
		case len(model) == 0:
		case n < 9:
			c, vantage := model[r.IntN(len(model))], []string{"ams1", "fra1", "sin1"}[r.IntN(3)]
			held := 0
			for _, o := range model {
				if o.vantage == vantage {
					held++
				}
			}
			if want := c.vantage != "" || held < maxOpen; s.use(c, vantage) != want {
				t.Fatalf("step %d: %s, which holds %d, may use another: %v", step, vantage, held, !want)
			}
		default:
			c := model[r.IntN(len(model))]
			drop(c)
			c.Close()
			c.Close() // counts once
			if !*c.Conn.(fakeConn).closed || !s.use(c, "ams1") {
				t.Fatalf("step %d: it is not closed", step)
			}
		}
	}
	for _, c := range model {
		c.Close()
	}
	if len(s.pending)+len(s.open) > 0 {
		t.Errorf("all are closed, and %d pending and %v count", len(s.pending), s.open)
	}
}
