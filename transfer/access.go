package transfer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"

	"meridian/config"
	"meridian/transfer/tsig"
)

// Peer is a server that asks for a transfer.
type Peer struct {
	Source netip.Addr
	Key    *tsig.Key // that signed the request, which was verified; nil: it is not signed
	TLS    TLS       // its connection; nil: it is not encrypted
}

// TLS is an encrypted connection. Its handshake is complete.
type TLS interface{ ConnectionState() tls.ConnectionState }

// Trust holds the certificates of the rules for transfers over TLS, by the paths of their files.
type Trust map[string]*x509.CertPool

// Refusal returns why no rule allows a transfer to a peer; empty: one allows it. Of several rules, the reason is that of the one
// of which the most conditions are true.
//
//	the rule has   the peer matches if
//	addresses      its address is in one of them
//	key            the request is signed with that key
//	tls            its connection is encrypted: see overTLS
//	several        all of them are true
func Refusal(rules []config.TransferRule, p Peer, trust Trust) (reason string) {
	reason, most := "the zone has no transfer.out", -1
	for i := range rules {
		met, why := mismatch(&rules[i], p, trust)
		if why == "" {
			return ""
		}
		if met > most {
			reason, most = why, met
		}
	}
	return reason
}

// mismatch returns the first condition of a rule that a peer does not meet, empty if it meets all, and how many it meets before.
func mismatch(rule *config.TransferRule, p Peer, trust Trust) (met int, why string) {
	if len(rule.Addresses) > 0 && !contains(rule.Addresses, p.Source) {
		return 0, "no rule of transfer.out has the address of the client"
	}
	switch {
	case rule.Key == "":
	case p.Key == nil:
		return 1, "the request is not signed, and transfer.out wants the key " + string(rule.Key)
	case !bytes.Equal(p.Key.Name(), rule.Key.Wire()):
		return 1, "transfer.out wants the key " + string(rule.Key)
	}
	if rule.TLS == nil {
		return 3, ""
	}
	return 2, p.overTLS(rule.TLS, trust)
}

// overTLS returns why a peer does not have the connection that a rule wants; empty: it has. That is TLS 1.3 with the protocol of DNS
// over TLS or over QUIC (RFC 9103 7.1, 9.3.1), and, if the rule has certificates, one for the name that one of them has signed.
func (p *Peer) overTLS(want *config.ClientTLS, trust Trust) (why string) {
	if p.TLS == nil {
		return "transfer.out wants tls, and the connection is not encrypted"
	}
	state := p.TLS.ConnectionState()
	switch {
	case state.Version < tls.VersionTLS13:
		return "transfer.out wants TLS 1.3, and the connection has " + tls.VersionName(state.Version)
	case state.NegotiatedProtocol != "dot" && state.NegotiatedProtocol != "doq":
		return "the client has not negotiated the protocol dot or doq (ALPN)"
	case want.CA == "":
		return ""
	case trust[want.CA] == nil:
		return "the file of tls.ca is not loaded"
	case len(state.PeerCertificates) == 0:
		return "the client has sent no certificate"
	}
	if err := certified(state.PeerCertificates, trust[want.CA], want.Name); err != nil {
		return "the certificate of the client: " + clip(err.Error())
	}
	return ""
}

// clip shortens an error, which has all names of a certificate, to 300 octets.
func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), 300)], "") }

// certified verifies that the first certificate of a chain is for a name and signed by one of the roots. The certificate of a
// name server may be one for servers or for clients.
func certified(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: name, Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return err
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// RuleFor returns the first rule with the address of a secondary, of which the key signs notifications to it; nil: none.
func RuleFor(rules []config.TransferRule, secondary netip.Addr) *config.TransferRule {
	for i := range rules {
		if contains(rules[i].Addresses, secondary) {
			return &rules[i]
		}
	}
	return nil
}
