// Package encrypted has what the encrypted transports have in common: their TLS settings, and the framing of DNS over
// HTTPS and over QUIC.
//
// It opens no sockets, and answers no queries itself.
package encrypted

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"

	"meridian/certs"
)

// TLS makes the TLS settings of connections from the certificates in use. It is safe for concurrent use.
type TLS struct {
	current func() *certs.Material // nil: there is none
	asks    func() bool            // whether clients are asked for their certificates
	gate    Gate
}

// Gate runs the costly part of the handshake of a client, so that handshakes do not take all processors, nor those of one
// client all that handshakes have. The context is that of the handshake. An error means that the handshake has to end.
type Gate func(ctx context.Context, client net.Addr, work func()) error

// Paced is a connection that takes part in this by itself: over TCP, the whole work from the first message of the client on is in
// one goroutine, until the client has to answer.
type Paced interface {
	// BeginWork waits for the turn of the client. The turn ends when the connection is read or written next, or closed.
	// During a turn, it lets other work than handshakes go first.
	BeginWork(ctx context.Context) error
}

// NewTLS returns settings with the certificates that current returns at each handshake. Clients of transports that transfer
// zones are asked for their certificates while asks returns true. They need none: the rules of transfers verify them.
func NewTLS(current func() *certs.Material, asks func() bool, gate Gate) *TLS {
	return &TLS{current: current, asks: asks, gate: gate}
}

// errNoCertificate is the error of a handshake after the certificates were removed from the configuration.
var errNoCertificate = errors.New("there is no certificate")

// prepared is the settings made from one material.
type prepared struct {
	of     *certs.Material
	asks   bool
	config *tls.Config
}

// Config returns the settings of connections with one of the protocols (ALPN). A client that names other protocols only
// is refused; over TCP, one that names none is accepted.
func (t *TLS) Config(minVersion uint16, protocols ...string) *tls.Config {
	var last atomic.Pointer[prepared]
	transfers := slices.Contains(protocols, "dot") || slices.Contains(protocols, "doq")
	return &tls.Config{
		MinVersion: minVersion,
		NextProtos: protocols,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if paced, ok := hello.Conn.(Paced); ok {
				if err := paced.BeginWork(hello.Context()); err != nil {
					return nil, err
				}
			}
			now := t.current()
			if now == nil {
				return nil, errNoCertificate
			}
			asks := transfers && t.asks()
			if p := last.Load(); p != nil && p.of == now && p.asks == asks {
				return p.config, nil
			}
			p := &prepared{now, asks, t.configOf(now, minVersion, protocols)}
			if asks {
				p.config.ClientAuth = tls.RequestClientCert
				p.config.SetSessionTicketKeys(ticketKeysOfAsking(now.TicketKeys))
			}
			last.Store(p)
			return p.config, nil
		},
	}
}

// configOf returns the settings for a material.
func (t *TLS) configOf(m *certs.Material, minVersion uint16, protocols []string) *tls.Config {
	c := &tls.Config{
		MinVersion: minVersion, NextProtos: protocols,
		DynamicRecordSizingDisabled: true, // answers are small, and written together
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := *choose(m.Certificates, hello)
			if paced, ok := hello.Conn.(Paced); ok {
				return &cert, paced.BeginWork(hello.Context()) // the keys are exchanged, which is half of the work
			}
			if signer, ok := cert.PrivateKey.(crypto.Signer); ok {
				cert.PrivateKey = gatedSigner{signer, hello.Context(), hello.Conn.RemoteAddr(), t.gate}
			}
			return &cert, nil
		},
	}
	c.SetSessionTicketKeys(m.TicketKeys)
	return c
}

// ticketKeysOfAsking returns the ticket keys of settings that ask for certificates. They differ from those of others: a
// session that resumes one without a certificate would have none.
func ticketKeysOfAsking(keys [][32]byte) [][32]byte {
	derived := make([][32]byte, len(keys))
	for i, key := range keys {
		derived[i] = sha256.Sum256(append(key[:], "client certificates"...))
	}
	return derived
}

// choose returns the first certificate that suits a client, or the first one of all.
func choose(all []tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for i := range all {
		if hello.SupportsCertificate(&all[i]) == nil {
			return &all[i]
		}
	}
	return &all[0]
}

// gatedSigner is a private key that is used through a gate: the signature is much of the work of a handshake.
type gatedSigner struct {
	crypto.Signer
	ctx    context.Context
	client net.Addr
	gate   Gate
}

// Sign is part of crypto.Signer.
func (s gatedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	if refused := s.gate(s.ctx, s.client, func() { signature, err = s.Signer.Sign(random, digest, opts) }); refused != nil {
		return nil, refused
	}
	return signature, err
}
