package server

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/certs"
	"meridian/certs/certstest"
	"meridian/counterpart"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// connectOpenSSL runs the client of OpenSSL with the input of a file, and returns what it prints.
func connectOpenSSL(t *testing.T, to netip.AddrPort, stdin string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), counterpart.Find(t, "openssl"),
		append([]string{"s_client", "-connect", to.String(), "-servername", "dns.example", "-alpn", "dot", "-tls1_3"}, args...)...)
	in, err := os.Open(stdin)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	command.Stdin = in
	text, _ := command.CombinedOutput() // it ends with 1 when the server does not answer
	return string(text)
}

// sessionFiles writes a query, and returns its file and one for a session.
func sessionFiles(t *testing.T) (query, session string) {
	t.Helper()
	dir := t.TempDir()
	query, session = filepath.Join(dir, "query"), filepath.Join(dir, "session")
	if err := os.WriteFile(query, framed(answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))), 0o600); err != nil {
		t.Fatal(err)
	}
	return query, session
}

// TestTLSOverTCPHasNoEarlyData offers a query as early data of a resumed session. Neither setting allows that over TCP.
func TestTLSOverTCPHasNoEarlyData(t *testing.T) {
	for _, early := range []bool{false, true} {
		snapshot, _ := encryptedWorld(t)
		snapshot.Config.Server.Encrypted.EarlyData = early
		s, at := serveTLS(t, snapshot)
		query, session := sessionFiles(t)
		_ = connectOpenSSL(t, at, query, "-sess_out", session)
		before := s.Counters()
		text := connectOpenSSL(t, at, os.DevNull, "-sess_in", session, "-early_data", query)
		if !strings.Contains(text, "Reused, TLSv1.3") || !strings.Contains(text, "Early data was not sent") {
			t.Errorf("early data %v, want a resumed session without early data:\n%s", early, text)
		}
		awaitConnections(t, s, answer.DoT, func(c answer.Connections) bool { return c.Accepted == 2 && c.Open == 0 })
		if after := s.Counters(); after.Encrypted() != before.Encrypted() {
			t.Errorf("early data %v: %d queries were answered", early, after.Encrypted()-before.Encrypted())
		}
	}
}

// TestOpenSSLResumesSessionsOfOtherNodes connects to two nodes with one secret for tickets, each with a store of its own, and to
// one with another secret.
func TestOpenSSLResumesSessionsOfOtherNodes(t *testing.T) {
	dir := t.TempDir()
	cert, key := certstest.Write(t, dir, time.Now(), "dns.example")
	node := func(secret string) netip.AddrPort {
		t.Helper()
		file := filepath.Join(dir, secret)
		if err := os.WriteFile(file, []byte(strings.Repeat(secret, 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		snapshot, _ := encryptedWorld(t)
		var err error
		if snapshot.Certificates, err = certs.Open([]certs.Pair{{Cert: cert, Key: key}}, file); err != nil {
			t.Fatal(err)
		}
		_, at := serveTLS(t, snapshot)
		return at
	}
	query, session := sessionFiles(t)
	_ = connectOpenSSL(t, node("ab"), query, "-sess_out", session)
	for secret, want := range map[string]string{"ab": "Reused, TLSv1.3", "cd": "New, TLSv1.3"} {
		if text := connectOpenSSL(t, node(secret), query, "-sess_in", session); !strings.Contains(text, want) {
			t.Errorf("secret %s, want %q:\n%s", secret, want, text)
		}
	}
}
