package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// credentials holds the contents of a check's TLS files.
type credentials struct {
	roots *x509.CertPool    // trusted authorities; nil: the system's
	certs []tls.Certificate // for the peer, at most one
}

// probeTLS passes if the peer completes a handshake with a trusted certificate. It sends no data, so it works for any
// protocol inside.
func probeTLS(ctx context.Context, t *attempt) (string, error) {
	conn, hangUp, err := t.connect(ctx, "tcp", t.check.Port)
	if err != nil {
		return "", err
	}
	defer hangUp()
	secure, err := t.handshake(conn, t.peerName())
	if err != nil {
		return "", err
	}
	secure.Close()
	return "certificate expires " + formatExpiry(t.expires, time.Now()), nil
}

// peerName returns the name that the peer's certificate must have: the check's, else the Host of the check, else the
// address.
func (t *attempt) peerName() string {
	return cmp.Or(t.check.TLS.ServerName, t.check.Host, t.addr.WithZone("").String())
}

// handshake performs a TLS handshake on conn and verifies that the peer is name; protocols are offered by ALPN (RFC 7301).
// It resumes no session: each probe sees the current certificate.
func (t *attempt) handshake(conn net.Conn, name string, protocols ...string) (*tls.Conn, error) {
	t.begin("tls", "negotiating TLS")
	secure := tls.Client(conn, &tls.Config{
		RootCAs:            t.roots,
		Certificates:       t.certs,
		ServerName:         name,
		InsecureSkipVerify: t.check.TLS.Insecure,
		NextProtos:         protocols,
	})
	if err := secure.Handshake(); err != nil {
		return nil, handshakeError(err)
	}
	t.traceTLS(secure.ConnectionState())
	t.expires = earlierOf(t.expires, verifiedUntil(secure.ConnectionState()))
	return secure, nil
}

// handshakeError describes what is wrong with a certificate, or with the peer's TLS, for an operator; connection errors
// stay unchanged.
func handshakeError(err error) error {
	var (
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		mismatch x509.HostnameError
		record   tls.RecordHeaderError
		remote   *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expiryError(invalid.Cert, time.Now())
	case errors.As(err, &mismatch):
		return fmt.Errorf("certificate is for %s, want %q", certificateNames(mismatch.Certificate), mismatch.Host)
	case errors.As(err, &unknown):
		return untrustedError(unknown.Cert)
	case errors.As(err, &record):
		return fmt.Errorf("peer does not speak TLS: it sent %q", record.RecordHeader[:])
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert
		return fmt.Errorf("peer rejected the handshake: %w", remote.Err)
	}
	return err
}

// expiryError reports which end of a certificate's validity now is past.
func expiryError(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("certificate not valid before %s", cert.NotBefore.UTC().Format(time.DateOnly))
	}
	return fmt.Errorf("certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))
}

func untrustedError(cert *x509.Certificate) error {
	if cert == nil {
		return errors.New("certificate is signed by an unknown authority")
	}
	if cert.CheckSignatureFrom(cert) == nil || cert.Issuer.String() == cert.Subject.String() {
		return fmt.Errorf("certificate is self-signed by %q, not by a known authority", cert.Issuer)
	}
	return fmt.Errorf("certificate is signed by %q, an unknown authority", cert.Issuer)
}

// certificateNames lists the first names of a certificate.
func certificateNames(cert *x509.Certificate) string {
	var names []string
	for _, name := range cert.DNSNames {
		names = append(names, fmt.Sprintf("%q", name))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, fmt.Sprintf("%q", ip))
	}
	switch {
	case len(names) == 0:
		return "no name or address"
	case len(names) > 3:
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}
