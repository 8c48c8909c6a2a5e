package server

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/certs"
	"meridian/certs/certstest"
	"meridian/counterpart"
	"meridian/server/answer"
)

// clientsWorld serves the encrypted transports and returns the server, and the file of the authority of dns.example.
func clientsWorld(t *testing.T) (s *Server, ca string) {
	t.Helper()
	snapshot, _ := encryptedWorld(t)
	ca = snapshot.Certificates.Pairs()[0].Cert
	snapshot.Config.Server.ListenTLS = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	return serve(t, snapshot, false, "127.0.0.1:0"), ca
}

// output runs a client and returns what it prints.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), counterpart.Find(t, program), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", program, args, err, text)
	}
	return string(text)
}

// port returns the port of a transport, as text.
func port(s *Server, transport answer.Transport) string {
	return fmt.Sprint(s.EncryptedAddrs()[transport][0].Port())
}

func TestClientsUseTLS(t *testing.T) {
	s, ca := clientsWorld(t)
	dot := port(s, answer.DoT)
	for _, c := range []struct {
		program string
		args    []string
		want    []string
	}{
		{"kdig", []string{"@127.0.0.1", "-p", dot, "+tls-ca=" + ca, "+tls-hostname=dns.example", "+padding=128", "+retry=0", "www.example.com"}, []string{"NOERROR", "TLS session (TLS1.3)", "PADDING: ", ";; Received 468 B"}},
		{"dig", []string{"@127.0.0.1", "-p", dot, "+tls-ca=" + ca, "+tls-hostname=dns.example", "+tries=1", "www.example.com"}, []string{"NOERROR", "(TLS)"}},
		{"openssl", []string{"s_client", "-connect", "127.0.0.1:" + dot, "-CAfile", ca, "-servername", "dns.example", "-alpn", "dot", "-brief", "-verify_return_error"}, []string{"Verification: OK", "TLSv1.3"}},
	} {
		text := output(t, c.program, c.args...)
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not print %q:\n%s", c.program, want, text)
			}
		}
	}
	if n := s.Counters().Connections[answer.DoT]; n.Handshakes != 3 {
		t.Errorf("%+v", n)
	}
}

// TestUnboundForwardsOverTLS asks a resolver that forwards all queries over TLS.
func TestUnboundForwardsOverTLS(t *testing.T) {
	s, ca := clientsWorld(t)
	ports, dir := counterpart.FreePorts(t, 1), t.TempDir()
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
server:
  interface: 127.0.0.1@%d
  port: %d
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  tls-cert-bundle: %q
forward-zone:
  name: "."
  forward-tls-upstream: yes
  forward-addr: 127.0.0.1@%s#dns.example
`, ports[0], ports[0], dir, ca, port(s, answer.DoT)), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, "unbound", "-d", "-c", conf)
	counterpart.AwaitListeners(t, ports...)
	text := output(t, "dig", "@127.0.0.1", "-p", fmt.Sprint(ports[0]), "+tries=1", "mail.example.com")
	if !strings.Contains(text, "NOERROR") || !strings.Contains(text, "ANSWER: 1") {
		t.Error(text)
	}
	if n := s.Counters(); n.Encrypted() == 0 {
		t.Errorf("no query over TLS: %+v", n)
	}
}

// TestStubbyForwardsOverTLS asks a stub resolver that forwards all queries over TLS. The strict profile (RFC 8310) verifies the
// name of the server; the opportunistic one does not.
func TestStubbyForwardsOverTLS(t *testing.T) {
	counterpart.Find(t, "stubby")
	s, ca := clientsWorld(t)
	for _, c := range []struct{ authentication, name, want string }{
		{"REQUIRED", "dns.example", "NOERROR"},
		{"REQUIRED", "wrong.example", "SERVFAIL"},
		{"NONE", "wrong.example", "NOERROR"},
	} {
		ports, conf := counterpart.FreePorts(t, 1), filepath.Join(t.TempDir(), "stubby.yml")
		if err := os.WriteFile(conf, fmt.Appendf(nil, `
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_%s
tls_ca_file: %q
tls_query_padding_blocksize: 128
idle_timeout: 10000
appdata_dir: %q
listen_addresses:
  - 127.0.0.1@%d
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: %s
    tls_auth_name: %q
`, c.authentication, ca, filepath.Dir(conf), ports[0], port(s, answer.DoT), c.name), 0o600); err != nil {
			t.Fatal(err)
		}
		before := s.Counters()
		stop := counterpart.Start(t, "stubby", "-C", conf)
		counterpart.AwaitListeners(t, ports...)
		text := output(t, "dig", "@127.0.0.1", "-p", fmt.Sprint(ports[0]), "+tries=1", "+time=30", "mail.example.com")
		stop()
		after := s.Counters()
		answered := after.Encrypted() > before.Encrypted()
		if !strings.Contains(text, "status: "+c.want) || answered != (c.want == "NOERROR") {
			t.Errorf("authentication %s of %s, answered over TLS %v:\n%s", c.authentication, c.name, answered, text)
		}
	}
}

// TestDNSPerfCompletesAllQueries sends many queries over few connections. Over HTTPS it is one at a time: dnsperf loses answers
// that arrive together.
func TestDNSPerfCompletesAllQueries(t *testing.T) {
	snapshot, _ := encryptedWorld(t)
	snapshot.Config.Server.ListenTLS = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s, _ := serveHTTPS(t, snapshot)
	queries := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(queries, []byte("www.example.com A\nmail.example.com A\nnone.example.com AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doh := port(s, answer.DoH)
	uri := "doh-uri=https://127.0.0.1:" + doh + snapshot.Config.Server.HTTPS.Path
	all := 0
	for _, c := range []struct {
		rounds int
		args   []string
	}{
		{200, []string{"-m", "dot", "-p", port(s, answer.DoT), "-c", "4", "-q", "100"}},
		{50, []string{"-m", "doh", "-p", doh, "-O", uri, "-O", "doh-method=GET", "-q", "1"}},
		{5, []string{"-m", "doh", "-p", doh, "-O", uri, "-O", "doh-method=POST", "-q", "1"}},
	} {
		text := output(t, "dnsperf", append(c.args, "-s", "127.0.0.1", "-d", queries, "-n", fmt.Sprint(c.rounds), "-t", "60")...)
		for _, want := range []string{fmt.Sprintf("%d (100.00%%)", 3*c.rounds), fmt.Sprintf("NOERROR %d (66.67%%), NXDOMAIN %d (33.33%%)", 2*c.rounds, c.rounds)} {
			if !strings.Contains(text, want) {
				t.Errorf("dnsperf %v does not print %q:\n%s", c.args, want, text)
			}
		}
		all += 3 * c.rounds
		if n := s.Counters(); n.Encrypted() != uint64(all) {
			t.Errorf("%d queries over encrypted transports, want %d", n.Encrypted(), all)
		}
	}
}

// TestUnverifiedCertificateIsReported connects to a server with a certificate of an unknown authority, one for another name, and
// one that has expired.
func TestUnverifiedCertificateIsReported(t *testing.T) {
	s, ca := clientsWorld(t)
	snapshot, _ := encryptedWorld(t)
	expired, key := certstest.Write(t, t.TempDir(), s.built.Add(-2*time.Hour), "dns.example")
	var err error
	if snapshot.Certificates, err = certs.Open([]certs.Pair{{Cert: expired, Key: key}}, ""); err != nil {
		t.Fatal(err)
	}
	late, _ := serveTLS(t, snapshot)
	foreign, _ := certstest.Write(t, t.TempDir(), s.built, "dns.example")
	for what, c := range map[string]struct {
		s        *Server
		ca, name string
		accepted bool
	}{
		"the certificate":             {s, ca, "dns.example", true},
		"one of an unknown authority": {s, foreign, "dns.example", false},
		"one for another name":        {s, ca, "third.example", false},
		"one that has expired":        {late, expired, "dns.example", false},
	} {
		command := exec.CommandContext(t.Context(), counterpart.Find(t, "kdig"), "@127.0.0.1", "-p", port(c.s, answer.DoT), "+tls-ca="+c.ca, "+tls-hostname="+c.name, "+retry=0", "www.example.com")
		if text, err := command.CombinedOutput(); (err == nil) != c.accepted {
			t.Errorf("%s: kdig ends with %v:\n%s", what, err, text)
		}
	}
}
