package server

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

// TestUnverifiedCertificateIsReported connects with an authority that did not make the certificate.
func TestUnverifiedCertificateIsReported(t *testing.T) {
	s, _ := clientsWorld(t)
	foreign, _ := certstest.Write(t, t.TempDir(), s.built, "dns.example")
	command := exec.CommandContext(t.Context(), counterpart.Find(t, "kdig"), "@127.0.0.1", "-p", port(s, answer.DoT), "+tls-ca="+foreign, "+tls-hostname=dns.example", "+retry=0", "www.example.com")
	if text, err := command.CombinedOutput(); err == nil {
		t.Errorf("kdig accepts a certificate of a foreign authority:\n%s", text)
	}
}
