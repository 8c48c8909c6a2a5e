package listener

import (
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
	"testing"
	"time"

	"meridian/config"
)

// writePair writes a self-signed certificate of a name and its key.
func writePair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func serveSecurely(t *testing.T, cfg config.Admin) *Listener {
	t.Helper()
	s, err := NewSecurity(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(netip.MustParseAddrPort("127.0.0.1:0"), nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}), s)
	return d
}

func TestClientCertificateIsVerified(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "server")
	ca, userKey := writePair(t, dir, "oncall")
	d := serveSecurely(t, config.Admin{TLS: config.AdminTLS{Cert: cert, Key: key, ClientCA: ca}})
	for _, c := range []struct{ cert, key, want string }{{ca, userKey, "oncall"}, {"", "", ""}, {cert, key, "refused"}} {
		settings := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own certificate
		if c.cert != "" {
			pair, err := tls.LoadX509KeyPair(c.cert, c.key)
			if err != nil {
				t.Fatal(err)
			}
			settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
		response, err := client.Get("https://" + d.Addr() + "/v1/session")
		got := "refused"
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			got = string(body)
		}
		client.CloseIdleConnections()
		if got != c.want {
			t.Errorf("with certificate %q: %q, want %q (%v)", c.cert, got, c.want, err)
		}
	}
}

func TestClientOutsideAllowedNetworksIsRefused(t *testing.T) {
	for network, allowed := range map[string]bool{"127.0.0.0/8": true, "192.0.2.0/24": false} {
		d := serveSecurely(t, config.Admin{Allow: []netip.Prefix{netip.MustParsePrefix(network)}})
		response, err := http.Get("http://" + d.Addr() + "/v1/session")
		if err == nil {
			response.Body.Close()
		}
		if (err == nil) != allowed {
			t.Errorf("with %s: %v", network, err)
		}
	}
}

func TestInvalidCertificateKeepsThePreviousOne(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "server")
	source := &certSource{files: config.AdminTLS{Cert: cert, Key: key}, log: slog.New(slog.DiscardHandler)}
	first, err := source.load()
	if err != nil {
		t.Fatal(err)
	}
	source.current = first
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	source.looked = time.Time{}
	if now, err := source.forClient(nil); now != first || err != nil {
		t.Errorf("a broken certificate is used: %v", err)
	}
	writePair(t, dir, "server")
	source.looked = time.Time{}
	if now, err := source.forClient(nil); now == first || err != nil {
		t.Errorf("the new certificate is not used: %v", err)
	}
}
