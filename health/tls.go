package health

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

// credentials are what a check's TLS files hold.
type credentials struct {
	roots *x509.CertPool    // whom to trust; nil: the system's
	certs []tls.Certificate // to show to the peer, at most one
}

// probeTLS passes when the peer completes a handshake with a certificate that
// can be trusted. Nothing is sent in it, so any protocol inside will do.
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
	return "certificate expires " + when(t.expires, time.Now()), nil
}

// peerName is the name that the peer's certificate must have: the check's,
// else the host that it asks for, else the address.
func (t *attempt) peerName() string {
	return cmp.Or(t.check.TLS.ServerName, t.check.Host, t.addr.WithZone("").String())
}

// handshake speaks TLS on conn and verifies that the peer is name; protocols
// are what is offered to speak inside (ALPN, RFC 7301). There is no session to
// resume: each probe sees the certificate that is served now.
func (t *attempt) handshake(conn net.Conn, name string, protocols ...string) (*tls.Conn, error) {
	t.doing = "negotiating TLS"
	secure := tls.Client(conn, &tls.Config{
		RootCAs:            t.roots,
		Certificates:       t.certs,
		ServerName:         name,
		InsecureSkipVerify: t.check.TLS.Insecure,
		NextProtos:         protocols,
	})
	if err := secure.Handshake(); err != nil {
		return nil, handshakeFinding(err)
	}
	t.expires = earlierOf(t.expires, lastsUntil(secure.ConnectionState()))
	return secure, nil
}

// handshakeFinding puts what was wrong with a certificate, or with the peer's
// TLS, in an operator's words; errors of the connection stay as they are.
func handshakeFinding(err error) error {
	var (
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		mismatch x509.HostnameError
		record   tls.RecordHeaderError
		remote   *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expiry(invalid.Cert, time.Now())
	case errors.As(err, &mismatch):
		return fmt.Errorf("certificate is for %s, want %q", certificateNames(mismatch.Certificate), mismatch.Host)
	case errors.As(err, &unknown):
		return verifyErrorText(unknown.Cert)
	case errors.As(err, &record):
		return fmt.Errorf("peer does not speak TLS: it sent %q", record.RecordHeader[:])
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert
		return fmt.Errorf("peer refuses: %w", remote.Err)
	}
	return err
}

// expiry says which end of a certificate's life now is past.
func expiry(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("certificate not valid before %s", cert.NotBefore.UTC().Format(time.DateOnly))
	}
	return fmt.Errorf("certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))
}

func verifyErrorText(cert *x509.Certificate) error {
	if cert == nil {
		return errors.New("certificate is signed by an unknown authority")
	}
	if cert.CheckSignatureFrom(cert) == nil || cert.Issuer.String() == cert.Subject.String() {
		return fmt.Errorf("certificate is self-signed by %q, which no known authority vouches for", cert.Issuer)
	}
	return fmt.Errorf("certificate is signed by %q, an unknown authority", cert.Issuer)
}

// certificateNames lists the first of the names that a certificate is for.
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
