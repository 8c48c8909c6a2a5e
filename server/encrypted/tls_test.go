package encrypted_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"meridian/certs"
	"meridian/server/encrypted"
)

// TestSessionWithoutCertificateIsNotResumed asks clients for certificates from a reload on: a session from before it would be
// resumed without one.
func TestSessionWithoutCertificateIsNotResumed(t *testing.T) {
	cert := selfSigned(t)
	material := &certs.Material{Certificates: []tls.Certificate{cert}, TicketKeys: [][32]byte{{1}}}
	asks := false
	gate := func(_ context.Context, _ net.Addr, work func()) error { work(); return nil }
	server := encrypted.NewTLS(func() *certs.Material { return material }, func() bool { return asks }, gate).Config(tls.VersionTLS13, "dot")
	trust := x509.NewCertPool()
	trust.AddCert(cert.Leaf)
	client := &tls.Config{RootCAs: trust, ServerName: "ns1.example.com", NextProtos: []string{"dot"}, ClientSessionCache: tls.NewLRUClientSessionCache(4), Certificates: []tls.Certificate{cert}}
	for _, c := range []struct {
		asks, resumed bool
		certificates  int
	}{{false, false, 0}, {false, true, 0}, {true, false, 1}, {true, true, 1}} {
		asks = c.asks
		if s := handshake(t, server, client); s.DidResume != c.resumed || len(s.PeerCertificates) != c.certificates {
			t.Errorf("%+v: resumed %v, with %d certificates", c, s.DidResume, len(s.PeerCertificates))
		}
	}
}

// handshake returns the state of a connection at the server, after the client has its ticket.
func handshake(t *testing.T, server, client *tls.Config) tls.ConnectionState {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	states := make(chan tls.ConnectionState, 1)
	go func() {
		defer close(states)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{1}); err == nil {
			states <- conn.(*tls.Conn).ConnectionState()
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the ticket comes before it
		t.Fatal(err)
	}
	return <-states
}

// selfSigned returns a certificate that signs itself.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"ns1.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}
