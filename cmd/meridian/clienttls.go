package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// clientTLS is how a command and a server with admin.tls identify each other; the zero value is the system's
// authorities, and no client certificate.
type clientTLS struct {
	ca, cert, key string // files
	made          *http.Client
}

// client returns the HTTP client, which it makes once.
func (t *clientTLS) client() (*http.Client, error) {
	if *t == (clientTLS{}) {
		return http.DefaultClient, nil
	}
	if t.made != nil {
		return t.made, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if err := errors.Join(t.loadAuthorities(cfg), t.loadCertificate(cfg)); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg
	t.made = &http.Client{Transport: transport}
	return t.made, nil
}

// loadAuthorities reads the file of --ca.
func (t *clientTLS) loadAuthorities(cfg *tls.Config) error {
	if t.ca == "" {
		return nil
	}
	text, err := os.ReadFile(t.ca)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("--ca: %s has no certificate in PEM form", t.ca)
	}
	return nil
}

// loadCertificate reads the files of --cert and --key.
func (t *clientTLS) loadCertificate(cfg *tls.Config) error {
	switch {
	case t.cert == "" && t.key == "":
		return nil
	case t.cert == "":
		return errors.New("--key without --cert; give both, or neither")
	}
	pair, err := tls.LoadX509KeyPair(t.cert, cmp.Or(t.key, t.cert)) // one file may hold both
	if err != nil {
		return fmt.Errorf("--cert %s, --key %s: %w", t.cert, cmp.Or(t.key, t.cert), err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return nil
}

// untrusted returns the error of a server with a certificate that is not trusted; nil for other errors.
func untrusted(server string, err error) error {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) {
		return nil
	}
	hint := "ask for a certificate that is valid now and for this name, or give --server the name that it has"
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		hint = "--ca FILE names the certificate of the authority that signed the server's"
	}
	return hinted(fmt.Sprintf("the certificate of %s is not trusted: %v", server, refused.Err), hint)
}
