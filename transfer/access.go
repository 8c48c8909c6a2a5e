package transfer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"

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

// Allowed reports whether any rule allows a transfer to a peer:
//
//	the rule has   the peer matches if
//	addresses      its address is in one of them
//	key            the request is signed with that key
//	tls            its connection is encrypted: see overTLS
//	several        all of them are true
func Allowed(rules []config.TransferRule, p Peer, trust Trust) bool {
	for i := range rules {
		if matches(&rules[i], p, trust) {
			return true
		}
	}
	return false
}

func matches(rule *config.TransferRule, p Peer, trust Trust) bool {
	if len(rule.Addresses) > 0 && !contains(rule.Addresses, p.Source) {
		return false
	}
	if rule.Key != "" && (p.Key == nil || !bytes.Equal(p.Key.Name(), rule.Key.Wire())) {
		return false
	}
	return rule.TLS == nil || p.overTLS(rule.TLS, trust)
}

// overTLS reports whether a peer has the connection that a rule wants: TLS 1.3 with the protocol of DNS over TLS or over QUIC
// (RFC 9103 7.1, 9.3.1), and, if the rule has certificates, one for the name that one of them has signed.
func (p *Peer) overTLS(want *config.ClientTLS, trust Trust) bool {
	if p.TLS == nil {
		return false
	}
	state := p.TLS.ConnectionState()
	if state.Version < tls.VersionTLS13 || state.NegotiatedProtocol != "dot" && state.NegotiatedProtocol != "doq" {
		return false
	}
	return want.CA == "" || trust[want.CA] != nil && certified(state.PeerCertificates, trust[want.CA], want.Name)
}

// certified reports whether the first certificate of a chain is for a name and signed by one of the roots. The certificate of a
// name server may be one for servers or for clients.
func certified(chain []*x509.Certificate, roots *x509.CertPool, name string) bool {
	if len(chain) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: name, Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return err == nil
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
