package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/certs/certstest"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const securedConfig = `
server:
  listen: ["127.0.0.1:0"]
  listen_tls: ["127.0.0.1:0"]
  listen_quic: ["127.0.0.1:0"]
  tls: {certificates: [{cert: DIR/dns.example.pem, key: DIR/dns.example.key}]}
  workers: 1
zones:
  any.example:
    nameservers: {ns.example.net: []}
    contact: host@example.com
    transfer: {out: [{addresses: [127.0.0.1], tls: true}]}
  certified.example:
    nameservers: {ns.example.net: []}
    contact: host@example.com
    transfer: {out: [{tls: {ca: DIR/ns2.example.pem, name: ns2.example}}]}
`

// securedWorld builds the snapshot of securedConfig, with the certificates of two secondaries in dir.
func securedWorld(t *testing.T) (_ *snapshot.Snapshot, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"dns.example", "ns2.example", "other.example"} {
		certstest.Write(t, dir, time.Now(), name)
	}
	return answertest.Build(t, strings.ReplaceAll(securedConfig, "DIR", dir), ""), dir
}

// settingsOf returns the settings of a client with a certificate in dir; empty: none.
func settingsOf(t *testing.T, dir, cert string, version uint16, protocols ...string) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "dns.example", MaxVersion: version, NextProtos: protocols}
	pem, err := os.ReadFile(dir + "/dns.example.pem")
	if err != nil || !c.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	if cert == "" {
		return c
	}
	pair, err := tls.LoadX509KeyPair(dir+"/"+cert+".pem", dir+"/"+cert+".key")
	if err != nil {
		t.Fatal(err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil } // whatever the server accepts
	return c
}

// rcodeOver returns the response code of the first message of a transfer over a connection.
func rcodeOver(t *testing.T, conn *dns.Conn, zone string) int {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(eventTimeout))
	if err := conn.WriteMsg(asked{zone: zone}.message()); err != nil {
		t.Fatal(err)
	}
	m, err := conn.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m.Rcode
}

// TestRulesWithTLSRefuseOtherConnections asks for two zones by each kind of connection. A rule with tls never allows a transfer by
// plain TCP, and one with a certificate none without it.
func TestRulesWithTLSRefuseOtherConnections(t *testing.T) {
	world, dir := securedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	over := s.EncryptedAddrs()[answer.DoT][0]
	plain := func() *dns.Conn { return &dns.Conn{Conn: dial(t, "tcp", s.Addrs()[0])} }
	secure := func(cert string, version uint16, protocols ...string) func() *dns.Conn {
		return func() *dns.Conn {
			return &dns.Conn{Conn: dialTLS(t, over, settingsOf(t, dir, cert, version, protocols...))}
		}
	}
	const yes, no = dns.RcodeSuccess, dns.RcodeRefused
	for _, c := range []struct {
		name           string
		open           func() *dns.Conn
		any, certified int
	}{
		{"plain TCP", plain, no, no},
		{"TLS", secure("", 0, "dot"), yes, no},
		{"TLS without a protocol", secure("ns2.example", 0), no, no},
		{"TLS 1.2", secure("ns2.example", tls.VersionTLS12, "dot"), no, no},
		{"the certificate", secure("ns2.example", 0, "dot"), yes, yes},
		{"the certificate of another server", secure("other.example", 0, "dot"), yes, no},
	} {
		if first, second := rcodeOver(t, c.open(), "any.example."), rcodeOver(t, c.open(), "certified.example."); first != c.any || second != c.certified {
			t.Errorf("%s: %s and %s, want %s and %s", c.name, dns.RcodeToString[first], dns.RcodeToString[second], dns.RcodeToString[c.any], dns.RcodeToString[c.certified])
		}
	}
	for cert, want := range map[string]int{"": no, "ns2.example": yes, "other.example": no} {
		conn := dialQUIC(t, s.EncryptedAddrs()[answer.DoQ][0], settingsOf(t, dir, cert, 0, "doq"))
		if m := readQUIC(t, sendQUIC(t, conn, quicQuery(t, asked{zone: "certified.example."}.message()))); m.Rcode != want {
			t.Errorf("QUIC with the certificate %q: %v", cert, m)
		}
	}
}

// TestRightKeyDoesNotReplaceTLS signs AXFR and IXFR with the key of a rule with tls. Only over TLS is the zone sent.
func TestRightKeyDoesNotReplaceTLS(t *testing.T) {
	_, dir := securedWorld(t)
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="
	if err := os.WriteFile(dir+"/xfr.key", []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "tsig: {xfr: {secret_file: DIR/xfr.key}}" + strings.ReplaceAll(securedConfig, "tls: true", "key: xfr, tls: true")
	s := serve(t, answertest.Build(t, strings.ReplaceAll(text, "DIR", dir), ""), false, "127.0.0.1:0")
	plain, over := s.Addrs()[0], s.EncryptedAddrs()[answer.DoT][0]
	for _, asks := range []*dns.Msg{new(dns.Msg).SetAxfr("any.example."), new(dns.Msg).SetIxfr("any.example.", 1, "ns.", "h.")} {
		kind := dns.TypeToString[asks.Question[0].Qtype]
		ask := func(conn net.Conn, key string) int {
			t.Helper()
			defer conn.Close()
			c := &dns.Conn{Conn: conn, TsigSecret: map[string]string{"xfr.": secret}}
			_ = c.SetDeadline(time.Now().Add(eventTimeout))
			m := asks.Copy()
			if key != "" {
				m.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
			}
			if err := c.WriteMsg(m); err != nil {
				t.Fatal(err)
			}
			answer, err := c.ReadMsg()
			if err != nil {
				t.Fatal(err)
			}
			return answer.Rcode
		}
		secure := func() net.Conn { return dialTLS(t, over, settingsOf(t, dir, "", 0, "dot")) }
		if got := ask(dial(t, "tcp", plain), "xfr."); got != dns.RcodeRefused {
			t.Errorf("%s by plain TCP with the key: %s", kind, dns.RcodeToString[got])
		}
		if got := ask(secure(), ""); got != dns.RcodeRefused {
			t.Errorf("%s over TLS without the key: %s", kind, dns.RcodeToString[got])
		}
		if got := ask(secure(), "xfr."); got != dns.RcodeSuccess {
			t.Errorf("%s over TLS with the key: %s", kind, dns.RcodeToString[got])
		}
	}
}

// TestCertificateForAnotherNameIsRefused has the right authority sign a certificate for another name.
func TestCertificateForAnotherNameIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dns.example", "ns2.example"} {
		certstest.Write(t, dir, time.Now(), name)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(securedConfig, "DIR", dir), "name: ns2.example", "name: ns3.example")
	s := serve(t, answertest.Build(t, text, ""), false, "127.0.0.1:0")
	conn := dialTLS(t, s.EncryptedAddrs()[answer.DoT][0], settingsOf(t, dir, "ns2.example", 0, "dot"))
	if got := rcodeOver(t, &dns.Conn{Conn: conn}, "certified.example."); got != dns.RcodeRefused {
		t.Errorf("%s", dns.RcodeToString[got])
	}
}

// encryptedSecondary is named, which takes certified.example over TLS from port %[1]d, and serves it at port %[2]d. In %[3]s are
// the certificates; it may keep files in %[4]s.
const encryptedSecondary = `options { directory "%[4]s"; pid-file none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; min-retry-time 1; max-retry-time 1; };
controls { };
tls primary { protocols { TLSv1.3; }; ca-file "%[3]s/dns.example.pem"; remote-hostname "dns.example"; cert-file "%[3]s/ns2.example.pem"; key-file "%[3]s/ns2.example.key"; };
zone certified.example { type secondary; file "copy"; masterfile-format text; allow-transfer { 127.0.0.1; }; primaries { 127.0.0.1 port %[1]d tls primary; }; };
`

// TestSecondaryTakesTheZoneOverTLS has another name server take a zone that needs its certificate.
func TestSecondaryTakesTheZoneOverTLS(t *testing.T) {
	counterpart.Find(t, "named")
	world, dir := securedWorld(t)
	s := serve(t, world, false, "127.0.0.1:0")
	port := counterpart.FreePorts(t, 1)[0]
	counterpart.StartWith(t, "named", fmt.Sprintf(encryptedSecondary, s.EncryptedAddrs()[answer.DoT][0].Port(), port, dir, t.TempDir()), "-g", "-c")
	counterpart.Await(t, func() error {
		got, err := fetch(t, fmt.Sprintf("127.0.0.1:%d", port), asked{zone: "certified.example."})
		if err == nil && !slices.ContainsFunc(got, func(rr string) bool { return strings.Contains(rr, "ns.example.net.") }) {
			return fmt.Errorf("it has\n%s", strings.Join(got, "\n"))
		}
		return err
	})
}
