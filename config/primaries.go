package config

import (
	"fmt"
	"net/netip"
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// Primary is a server that a zone is transferred from.
type Primary struct {
	Address netip.AddrPort
	Key     dnsname.Name // of TSIG, on all messages; empty: none
	TLS     *PrimaryTLS  // nil: plain TCP
	Pos     Pos
}

// PrimaryTLS is how a transfer is encrypted (RFC 9103).
type PrimaryTLS struct {
	CA    string // path of a PEM file with the certificates to trust; empty: those of the system
	CAPos Pos
	Name  string // in the certificate of the primary; empty: its address
	Cert  string // path of a PEM file with the certificate of this server, for a primary that asks for one; empty: none
	Key   string // path of a PEM file with its key
	Pos   Pos    // of Cert
}

const (
	dotPort         = 853 // of DNS over TLS
	maxPrimaries    = 16  // more servers than any zone has
	defaultMaxSize  = 512 << 20
	leastMaxSize    = 4 << 10
	mostMaxSize     = 4 << 30
	zoneFromPrimary = "the zone comes from primaries, with its records"
)

// primaries reads the servers that a zone is transferred from.
func (d *decoder) primaries(to *[]Primary) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			p := Primary{Pos: posOf(item)}
			var address *yaml.Node
			if !d.mapping(item, []field{
				{name: "address", set: capture(&address)},
				{name: "key", set: d.tsigKey(&p.Key)},
				{name: "tls", set: d.primaryTLS(&p.TLS)},
			}) {
				return
			}
			if address == nil {
				d.required(item, "address", "write the address of a name server, such as 192.0.2.1")
				return
			}
			a, ok := d.primaryAddress(address, p.TLS != nil)
			switch {
			case !ok:
			case slices.ContainsFunc(*to, func(q Primary) bool { return q.Address == a }):
				d.errorf(address, quote(address.Value)+" is listed twice", "leave one out")
			default:
				p.Address = a
				*to = append(*to, p)
			}
		})
		switch {
		case !ok:
		case len(n.Content) == 0:
			d.errorAtKey(n, "an empty list", "write at least one {address: ADDRESS}, or a file of records")
		case len(n.Content) > maxPrimaries:
			d.errorAtKey(n, fmt.Sprintf("%d servers", len(n.Content)), fmt.Sprintf("at most %d", maxPrimaries))
		}
	}
}

// primaryAddress reads the address of a server. Without a port it is that of the transport.
func (d *decoder) primaryAddress(n *yaml.Node, encrypted bool) (netip.AddrPort, bool) {
	a, ok := d.serverAddress(n)
	if _, err := netip.ParseAddr(n.Value); ok && err == nil && encrypted {
		a = netip.AddrPortFrom(a.Addr(), dotPort)
	}
	return a, ok
}

func (d *decoder) primaryTLS(to **PrimaryTLS) setter {
	return func(n *yaml.Node) {
		t := new(PrimaryTLS)
		if d.mapping(n, []field{
			{name: "ca", set: d.path(&t.CA, &t.CAPos)},
			{name: "name", set: setValue(&t.Name, d.host)},
			{name: "cert", set: d.path(&t.Cert, &t.Pos)},
			{name: "key", set: d.path(&t.Key, new(Pos))},
		}) {
			*to = t
			if (t.Cert == "") != (t.Key == "") {
				d.errorAtKey(n, "one of cert and key without the other", "a certificate of this server takes both")
			}
		}
	}
}

// checkPrimaries rejects keys that have no meaning in a zone that comes from primaries, or only there.
func (d *decoder) checkPrimaries(n *yaml.Node, z *Zone) {
	if yamldoc.Child(n, "primaries") == nil {
		if size := yamldoc.Child(n, "max_size"); size != nil {
			d.errorf(size, "the zone has no primaries", "write primaries, or leave max_size out")
		}
		return
	}
	for _, key := range [...]string{"file", "nameservers", "contact", "serial", "negative_ttl", "journal", "update"} {
		if other := yamldoc.Child(n, key); other != nil {
			d.errorf(other, zoneFromPrimary, "remove "+key+", or primaries")
		}
	}
	z.PrimariesPos = posOf(yamldoc.Child(n, "primaries"))
	if z.MaxSize == 0 {
		z.MaxSize = defaultMaxSize
	}
}
