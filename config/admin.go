package config

import (
	"net/netip"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// Admin holds the address and the access token of the HTTP API.
type Admin struct {
	Listen       netip.AddrPort // the zero value: no API
	TokenFile    string         // path of a file with the token that every request must carry; empty: no token
	TokenFilePos Pos
	Tokens       []AdminToken
	TLS          AdminTLS
	Allow        []netip.Prefix // networks that may connect, masked; empty: all
	Debug        bool           // profiles of the process are served
}

// AdminTLS holds the certificate of the HTTP API.
type AdminTLS struct {
	Cert     string // path of the certificate with its chain; empty: plain HTTP
	Key      string // path of its key
	ClientCA string // path of the authorities of clients, which must have a certificate or a token; empty: none
	Pos      Pos
}

// AdminToken is a token of the HTTP API and what it allows.
type AdminToken struct {
	Name string // in audit records
	Role string // viewer, operator, admin
	File string // path of the file with the token
	Pos  Pos
}

func (d *decoder) admin(a *Admin) setter {
	return func(n *yaml.Node) {
		ok := d.mapping(n, []field{
			{name: "listen", set: setValue(&a.Listen, d.adminListen)},
			{name: "token_file", set: d.path(&a.TokenFile, &a.TokenFilePos)},
			{name: "tokens", set: d.adminTokens(&a.Tokens)},
			{name: "tls", set: d.adminTLS(&a.TLS)},
			{name: "allow", set: d.networkList(&a.Allow, "write at least one network, or leave the key out to allow all")},
			{name: "debug", set: setValue(&a.Debug, d.boolean)},
		})
		if !ok {
			return
		}
		d.required(n, "listen", "write listen: 127.0.0.1:8053, or leave admin out for no API")
		if listen := yamldoc.Child(n, "listen"); listen != nil && a.Listen.IsValid() && !a.Listen.Addr().IsLoopback() && !a.authenticates(n) {
			d.errorf(listen, quote(a.Listen.String())+" is not loopback and there are no tokens: anyone who can connect has full control",
				"listen on 127.0.0.1:8053, or write tokens or tls with client_ca")
		}
	}
}

// authenticates reports whether users must identify themselves. Settings with an error count.
func (a *Admin) authenticates(n *yaml.Node) bool {
	return a.TLS.ClientCA != "" || yamldoc.Child(n, "token_file") != nil || yamldoc.Child(n, "tokens") != nil
}

// adminTLS reads the certificate of the API.
func (d *decoder) adminTLS(t *AdminTLS) setter {
	return func(n *yaml.Node) {
		t.Pos = posOf(n)
		if d.mapping(n, []field{
			{name: "cert", set: d.path(&t.Cert, new(Pos))},
			{name: "key", set: d.path(&t.Key, new(Pos))},
			{name: "client_ca", set: d.path(&t.ClientCA, new(Pos))},
		}) {
			d.required(n, "cert", "write the path of a PEM file with the certificate")
			d.required(n, "key", "write the path of a PEM file with its key")
		}
	}
}

func (d *decoder) adminListen(n *yaml.Node) (netip.AddrPort, bool) {
	return d.addrPort(n, func(s string) string {
		if port, ok := strings.CutPrefix(s, ":"); ok && decimal(port) {
			return "write 127.0.0.1:" + port + " for this machine only"
		}
		if a, err := netip.ParseAddr(s); err == nil {
			return "write " + netip.AddrPortFrom(a, 8053).String()
		}
		return "write it like 127.0.0.1:8053 or [::1]:8053"
	})
}

// roles are the roles of users of the API.
var roles = []string{"viewer", "operator", "admin"}

func (d *decoder) adminTokens(to *[]AdminToken) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			t := AdminToken{Pos: posOf(item)}
			if !d.mapping(item, []field{
				{name: "name", set: setValue(&t.Name, d.word)},
				{name: "role", set: setValue(&t.Role, func(n *yaml.Node) (string, bool) { return d.oneOf(n, "role", roles) })},
				{name: "file", set: d.path(&t.File, new(Pos))},
			}) {
				return
			}
			d.required(item, "name", "it identifies the user in audit records, e.g. name: oncall")
			d.required(item, "role", "write role: viewer, operator or admin")
			d.required(item, "file", "write the path of a file with the token")
			for _, before := range *to {
				if before.Name == t.Name && t.Name != "" {
					d.errorf(yamldoc.Child(item, "name"), "token "+quote(t.Name)+" is defined twice", "give each user a name")
				}
			}
			*to = append(*to, t)
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one token, or leave the key out")
		}
	}
}
