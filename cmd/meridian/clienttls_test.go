package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makeAuthority writes ca.pem, and a certificate with its key for the server and for the user alice.
func makeAuthority(t *testing.T, dir string) {
	t.Helper()
	template := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: n == 1,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
	}
	ca := template(1, "authority")
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n, name := range []string{"ca", "server", "alice"} {
		key, made := caKey, ca
		if n > 0 {
			if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				t.Fatal(err)
			}
			made = template(int64(n)+1, name)
		}
		der, err := x509.CreateCertificate(rand.Reader, made, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCommandsUseClientCertificates(t *testing.T) {
	dir := t.TempDir()
	makeAuthority(t, dir)
	file := filepath.Join(dir, "meridian.yaml")
	text := fmt.Sprintf(`server: {listen: ["127.0.0.1:0"], workers: 1}
admin:
  listen: "127.0.0.1:0"
  tls: {cert: %[1]s/server.pem, key: %[1]s/server.key, client_ca: %[1]s/ca.pem}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com, names: {www: {pool: web}}}}
`, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, 0, "check", "-c", file), `^ZONE`)
	if err := os.Chmod(filepath.Join(dir, "server.key"), 0o604); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, 0, "check", "-c", file), `meridian.yaml:4:8: admin.tls.key: other users can read the private key `+dir+`/server.key; chmod 600 `)
	_, stderr := background(t, "serve", "-c", file)
	stderr.await(t, `msg="other users can read the private key of the API" file=`)
	api := "--server=https://" + stderr.await(t, `msg=serving .*admin=(\S+)`)[1]
	ca, cert, key := "--ca="+filepath.Join(dir, "ca.pem"), "--cert="+filepath.Join(dir, "alice.pem"), "--key="+filepath.Join(dir, "alice.key")

	moved := freeAddress(t)
	if err := os.WriteFile(file, []byte(strings.Replace(text, `listen: "127.0.0.1:0"`, "listen: "+moved, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, 0, "reload", api, ca, cert, key), "the API is now at https://"+moved)
	api = "--server=https://" + moved
	said(t, 0, "drain", "web/a", "--yes", api, ca, cert, key)
	expectMatch(t, said(t, 0, "events", "--kind", "audit", api, ca, cert, key), "by alice")
	expectMatch(t, said(t, 0, "config", "history", api, ca, cert, key), "serving")
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123"), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, 1, "status", api, ca, cert, key, "--token-file="+token), "missing or wrong token")
	expectMatch(t, said(t, 1, "status", api), `^meridian: the certificate of https://\S+ is not trusted: x509: .*\n  --ca FILE names the certificate of the authority`)
	expectMatch(t, said(t, 1, "status", api, ca), "--cert FILE --key FILE")
	expectMatch(t, said(t, 1, "status", api, ca, key), "--key without --cert")
	expectMatch(t, said(t, 1, "status", api, ca, cert, "--key="+filepath.Join(dir, "server.key")), "private key does not match")
	expectMatch(t, said(t, 1, "status", api, "--ca="+file), "has no certificate in PEM form")
	expectMatch(t, said(t, 1, "status", api, "--ca="+filepath.Join(dir, "missing.pem")), "--ca: open .*missing.pem: no such file")
}

// TestCheckListsAllListeners checks that the last line of check has the addresses of encrypted transports too.
func TestCheckListsAllListeners(t *testing.T) {
	t.Chdir(t.TempDir())
	makeAuthority(t, ".")
	const text = `server:
  listen: ["127.0.0.1:5300"]
  listen_tls: ["127.0.0.1:8530"]
  listen_quic: ["127.0.0.1:8531"]
  listen_https: {addresses: ["127.0.0.1:8443"]}
  tls: {certificates: [{cert: server.pem, key: server.key}]}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com}}
`
	if err := os.WriteFile("meridian.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, exitOK, "check", "meridian.yaml"), `would listen on 127\.0\.0\.1:5300, for TLS on 127\.0\.0\.1:8530, for QUIC on 127\.0\.0\.1:8531, for HTTPS on 127\.0\.0\.1:8443 and probe 0\n`)
	expectMatch(t, said(t, exitOK, "check", "meridian.yaml", "-o", "json"), `(?s)"listen_tls": .*"listen_quic": .*"listen_https": `)
}
