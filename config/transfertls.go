package config

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
)

// ClientTLS is the requirements for the connection of a server that takes a zone (RFC 9103).
type ClientTLS struct {
	CA    string // path of a PEM file with certificates, of which one has signed that of the server; empty: none is needed
	CAPos Pos
	Name  string // in the certificate of the server; empty: any
}

// clientTLS reads the transport of a rule: true, or a mapping with the certificate that a server must have.
func (d *decoder) clientTLS(rule *TransferRule) setter {
	return func(n *yaml.Node) {
		if d.firstOverTLS == (nodeKey{}) {
			d.firstOverTLS = nodeKeyOf(n)
		}
		t := new(ClientTLS)
		if n.Kind == yaml.ScalarNode && !yamldoc.IsNull(n) {
			d.onlyTrue(n)
			rule.TLS = t
			return
		}
		if !d.mapping(n, []field{
			{name: "ca", set: d.path(&t.CA, &t.CAPos)},
			{name: "name", set: setValue(&t.Name, d.host)},
		}) {
			return
		}
		rule.TLS = t
		d.required(n, "ca", "write the path of a PEM file with the certificate that signs those of the servers; tls: true if they need none")
	}
}

// checkTransfersOverTLS warns of rules for transfers by transports that the server does not have.
func (d *decoder) checkTransfersOverTLS(cfg *Config) {
	if d.firstOverTLS != (nodeKey{}) && len(cfg.Server.ListenTLS)+len(cfg.Server.ListenQUIC) == 0 {
		d.warnAt(d.firstOverTLS, "the server does not listen for DNS over TLS: the rule allows nothing", fmt.Sprintf(`write listen_tls: ["0.0.0.0:%d"] under server`, dotPort))
	}
}
