package probe

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"meridian/config"
)

// Real endpoints on loopback, and probes of them.

// endpoint is a listener on loopback that serves each connection on its own goroutine. The test waits for all of them to
// end.
type endpoint struct {
	netip.AddrPort
	served sync.WaitGroup
	mu     sync.Mutex
	count  int
}

// connections returns the number of accepted connections.
func (e *endpoint) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// serve listens until the test ends. handle must end when its connection does.
func serve(t testing.TB, handle func(net.Conn)) *endpoint {
	t.Helper()
	return serveOn(t, "tcp", "127.0.0.1:0", handle)
}

// serveOn serves on an address of a network; a unix socket has no AddrPort.
func serveOn(t testing.TB, network, address string, handle func(net.Conn)) *endpoint {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		e.AddrPort = a.AddrPort()
	}
	e.served.Add(1)
	go func() {
		defer e.served.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.count++
			e.mu.Unlock()
			e.served.Add(1)
			go func() {
				defer e.served.Done()
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		e.served.Wait()
	})
	return e
}

// says returns a handler that reads a request and answers with text.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, text)
	}
}

// page returns a complete HTTP answer.
func page(status, body string) string {
	return "HTTP/1.1 " + status + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// then runs handlers in sequence on a connection.
func then(handlers ...func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		for _, h := range handlers {
			h(conn)
		}
	}
}

// silent sends nothing and waits for the peer to close.
func silent(conn net.Conn) { io.Copy(io.Discard, conn) }

// endless writes chunk after chunk until the peer closes.
func endless(chunk string) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}
}

// drips writes a byte every few milliseconds until the peer closes.
func drips(text string) func(net.Conn) {
	return func(conn net.Conn) {
		for i := 0; ; i++ {
			if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond) // part of the injected fault, not a wait
		}
	}
}

// resets closes with a RST instead of a FIN.
func resets(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// over performs a TLS handshake with cert before the handler.
func over(cert tls.Certificate, handle func(net.Conn)) func(net.Conn) {
	return overConfig(&tls.Config{Certificates: []tls.Certificate{cert}}, handle)
}

func overConfig(c *tls.Config, handle func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		secure := tls.Server(conn, c)
		if secure.Handshake() == nil {
			handle(secure)
			secure.Close()
		}
	}
}

// httpCheck returns a check of e with the default settings.
func httpCheck(e *endpoint) config.Check {
	return config.Check{
		Name: "web", Type: config.HTTP, Port: int(e.Port()), Method: "GET", Path: "/healthz",
		Interval: 5 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3,
		Status: []config.StatusRange{{From: 200, To: 299}},
	}
}

func httpsCheck(e *endpoint, ca string) config.Check {
	c := httpCheck(e)
	c.Type, c.Host, c.TLS.CA = config.HTTPS, "www.example.com", ca
	return c
}

// shortTimeout is long enough for real answers and short enough to wait for missing ones.
const shortTimeout = 750 * time.Millisecond

// probeOnce runs check against e.
func probeOnce(t *testing.T, check config.Check, e *endpoint) Result {
	t.Helper()
	return probeAddr(t, check, e.Addr())
}

func probeAddr(t *testing.T, check config.Check, addr netip.Addr) Result {
	t.Helper()
	c, flaws := New(&check)
	if len(flaws) > 0 {
		t.Fatal(flaws)
	}
	r, _ := c.Probe(t.Context(), addr, SystemDial, slog.New(slog.DiscardHandler))
	return r
}

// want compares a result with an outcome and a reason.
func want(t *testing.T, r Result, outcome Outcome, reason string) {
	t.Helper()
	if r.Outcome != outcome || r.Reason != reason {
		t.Errorf("%v: %s\nwant %v: %s", r.Outcome, r.Reason, outcome, reason)
	}
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // the certificate in PEM
}

func newAuthority(t *testing.T) *authority { return newNamedAuthority(t, "Test Authority") }

func newNamedAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		DNSNames: []string{"www.example.com"},
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, writeFile(t, "ca.pem", pemOf("CERTIFICATE", der))}
}

// issue returns a signed certificate; change may alter it before signing.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"www.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// files writes a certificate and its key in PEM.
func files(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", pemOf("CERTIFICATE", c.Certificate[0])), writeFile(t, "key.pem", pemOf("PRIVATE KEY", der))
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(t *testing.T, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

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

// liveHeap returns the heap in use after a collection.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
