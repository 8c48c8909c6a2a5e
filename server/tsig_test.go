package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
)

const tsigSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="

// TestDigVerifiesSignedAnswers asks with each algorithm, and with a wrong secret, which dig refuses.
func TestDigVerifiesSignedAnswers(t *testing.T) {
	counterpart.Find(t, "dig")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(tsigSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var keys strings.Builder
	for _, algorithm := range []string{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		fmt.Fprintf(&keys, "  %s.key: {algorithm: %s, secret_file: %s}\n", algorithm, algorithm, file)
	}
	s := serve(t, answertest.World(t, "\nzones:", "\ntsig:\n"+keys.String()+"zones:"), false, "127.0.0.1:0")
	ask := func(algorithm, secret string, more ...string) string {
		args := append([]string{"@127.0.0.1", "-p", fmt.Sprint(s.Addrs()[0].Port()), "+tries=1", "-y", algorithm + ":" + algorithm + ".key:" + secret, "www.example.com", "A"}, more...)
		return counterpart.Output(t, "dig", args...)
	}
	for _, algorithm := range []string{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		for _, transport := range []string{"+notcp", "+tcp"} {
			out := ask(algorithm, tsigSecret, transport)
			if !strings.Contains(out, "status: NOERROR") || !strings.Contains(out, "TSIG PSEUDOSECTION") || strings.Contains(out, "verify") {
				t.Errorf("%s %s:\n%s", algorithm, transport, out)
			}
		}
	}
	if out := ask("hmac-sha256", "d3Jvbmcgc2VjcmV0"); !strings.Contains(out, "BADSIG") || !strings.Contains(out, "status: NOTAUTH") {
		t.Errorf("a wrong secret:\n%s", out)
	}
}
