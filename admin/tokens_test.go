package admin_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/admin"
	"meridian/config"
)

// tokenFile writes a token to a file.
func tokenFile(t *testing.T, token string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTokensOfConfiguration(t *testing.T) {
	first, second := strings.Repeat("a", 20), strings.Repeat("b", 20)
	var cfg config.Admin
	cfg.TokenFile = tokenFile(t, first, 0o600)
	cfg.Tokens = []config.AdminToken{{Name: "wall", Role: "viewer", File: tokenFile(t, second, 0o600)}}
	tokens, err := admin.Tokens(cfg)
	want := []admin.Token{{Name: "token_file", Role: admin.Admin, Secret: first}, {Name: "wall", Role: admin.Viewer, Secret: second}}
	if err != nil || len(tokens) != 2 || tokens[0] != want[0] || tokens[1] != want[1] {
		t.Errorf("%v, %v; want %v", tokens, err, want)
	}
	cfg.Tokens[0].File = tokenFile(t, second, 0o644)
	if _, err := admin.Tokens(cfg); err == nil || !strings.Contains(err.Error(), `token "wall": other users can read it: chmod 600`) {
		t.Errorf("a file that all can read: %v", err)
	}
	cfg.TokenFile = filepath.Join(t.TempDir(), "none")
	if _, err := admin.Tokens(cfg); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a missing file: %v", err)
	}
}

// TestClientCertificates sends requests with verified client certificates: the name of the certificate is the user, and a
// token of that name gives the role.
func TestClientCertificates(t *testing.T) {
	secret := strings.Repeat("w", 20)
	h := api(t, admin.Options{ClientCA: true, Tokens: []admin.Token{{Name: "wall", Role: admin.Viewer, Secret: secret}, {Name: "lead", Role: admin.Admin, Secret: secret + "l"}}})
	for name, c := range map[string]struct {
		cert       x509.Certificate
		user, role string
		change     int // the status of a change
	}{
		"by its common name":   {x509.Certificate{Subject: pkix.Name{CommonName: "deploy"}}, "deploy", "operator", 200},
		"by its DNS name":      {x509.Certificate{DNSNames: []string{"ci.example.com"}}, "ci.example.com", "operator", 200},
		"by its mail address":  {x509.Certificate{EmailAddresses: []string{"a@example.com"}}, "a@example.com", "operator", 200},
		"without a name":       {x509.Certificate{SerialNumber: big.NewInt(77)}, "certificate 77", "operator", 200},
		"of a viewer's token":  {x509.Certificate{Subject: pkix.Name{CommonName: "wall"}}, "wall", "viewer", 403},
		"of an admin's token":  {x509.Certificate{Subject: pkix.Name{CommonName: "lead"}}, "lead", "admin", 200},
		"common name is first": {x509.Certificate{Subject: pkix.Name{CommonName: "deploy"}, DNSNames: []string{"wall"}}, "deploy", "operator", 200},
	} {
		with := func(r *http.Request) *http.Request {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&c.cert}, VerifiedChains: [][]*x509.Certificate{{&c.cert}}}
			return r
		}
		if _, body := answered(h, with(asked("GET", "/v1/session", ""))); !strings.Contains(body, `"name": "`+c.user+`", "role": "`+c.role+`"`) {
			t.Errorf("%s: %s, want %s of the role %s", name, body, c.user, c.role)
		}
		if code, body := answered(h, with(asked("POST", "/v1/clear", `{"target": "web"}`))); code != c.change {
			t.Errorf("%s: a change: %d %s, want %d", name, code, body, c.change)
		}
	}
	unverified := asked("GET", "/v1/session", "")
	unverified.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "lead"}}}}
	if code, _ := answered(h, unverified); code != http.StatusUnauthorized {
		t.Errorf("a certificate that is not verified: %d, want 401", code)
	}
}
