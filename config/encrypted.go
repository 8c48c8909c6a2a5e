package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// ServerTLS holds the certificates of the encrypted transports.
type ServerTLS struct {
	Certificates     []Certificate // the first one is for clients that name no other
	TicketSecretFile string        // path of a file with secrets of session tickets; empty: a random secret
	TicketSecretPos  Pos
}

// Certificate is a certificate with its key.
type Certificate struct {
	Cert string // path of a PEM file with the certificate and its chain
	Key  string // path of a PEM file with its key
	Pos  Pos
}

// ListenHTTPS holds the addresses of DNS over HTTPS.
type ListenHTTPS struct {
	Addresses []netip.AddrPort // empty: off
	Path      string           // of queries
	HTTP3     bool             // also over HTTP/3, on the UDP ports of the addresses
}

// Encrypted limits the connections of the encrypted transports.
type Encrypted struct {
	Max       int           // connections for each listening address
	PerClient int           // of these, of one client
	Streams   int           // queries of one connection of HTTP/2 or QUIC at the same time
	Idle      time.Duration // a connection is closed after this time without a query
	Query     time.Duration // a client has this long for a handshake, and for a query once it has begun
	EarlyData bool          // accept queries over QUIC in the first packet of a resumed session (0-RTT)
}

// Encrypts reports whether there is an encrypted transport.
func (s *Server) Encrypts() bool {
	return len(s.ListenTLS)+len(s.ListenQUIC)+len(s.HTTPS.Addresses) > 0
}

// serverTLS reads the certificates of the encrypted transports.
func (d *decoder) serverTLS(t *ServerTLS) setter {
	return func(n *yaml.Node) {
		if d.mapping(n, []field{
			{name: "certificates", set: d.certificates(&t.Certificates)},
			{name: "ticket_secret_file", set: d.path(&t.TicketSecretFile, &t.TicketSecretPos)},
		}) {
			d.required(n, "certificates", "write certificates: [{cert: server.pem, key: server.key}]")
		}
	}
}

func (d *decoder) certificates(to *[]Certificate) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			c := Certificate{Pos: posOf(item)}
			if !d.mapping(item, []field{
				{name: "cert", set: d.path(&c.Cert, new(Pos))},
				{name: "key", set: d.path(&c.Key, new(Pos))},
			}) {
				return
			}
			d.required(item, "cert", "write the path of a PEM file with the certificate and its chain")
			d.required(item, "key", "write the path of a PEM file with its key")
			*to = append(*to, c)
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one certificate")
		}
	}
}

// listenHTTPS reads the addresses of DNS over HTTPS.
func (d *decoder) listenHTTPS(h *ListenHTTPS) setter {
	return func(n *yaml.Node) {
		if d.mapping(n, []field{
			{name: "addresses", set: d.listen(&h.Addresses, 443)},
			{name: "path", set: setValue(&h.Path, d.urlPath)},
			{name: "http3", set: d.flag(&h.HTTP3)},
		}) {
			d.required(n, "addresses", `write addresses: ["0.0.0.0:443"]`)
		}
	}
}

// urlPath reads the path of a URL, without variables.
func (d *decoder) urlPath(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if !ok {
		return "", false
	}
	u, err := url.ParseRequestURI(s)
	if err != nil || s[0] != '/' || u.Path != s {
		d.errorf(n, quote(s)+" is not the path of a URL", "write it like /dns-query")
		return "", false
	}
	return s, true
}

func (d *decoder) encrypted(e *Encrypted) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "max", set: d.integerInRange(&e.Max, 1, maxConnections)},
			{name: "per_client", set: d.integerInRange(&e.PerClient, 1, maxConnections)},
			{name: "streams", set: d.integerInRange(&e.Streams, 1, maxStreams)},
			{name: "idle", set: d.duration(&e.Idle, time.Millisecond, time.Hour)},
			{name: "query", set: d.duration(&e.Query, time.Millisecond, time.Minute)},
			{name: "early_data", set: d.flag(&e.EarlyData)},
		})
	}
}

// maxStreams is more than a client has to send at the same time.
const maxStreams = 10_000

// checkEncrypted checks what the keys of encrypted transports say together.
func (d *decoder) checkEncrypted(n *yaml.Node, s *Server) {
	d.checkPorts(n, "listen_tls", s.ListenTLS, "listen", s.Listen)
	d.checkPorts(n, "listen_https", s.HTTPS.Addresses, "listen", s.Listen)
	d.checkPorts(n, "listen_https", s.HTTPS.Addresses, "listen_tls", s.ListenTLS)
	d.checkPorts(n, "listen_quic", s.ListenQUIC, "listen", s.Listen)
	if s.HTTPS.HTTP3 {
		d.checkPorts(n, "listen_https", s.HTTPS.Addresses, "listen_quic", s.ListenQUIC)
	}
	listens := false
	for _, key := range []string{"listen_tls", "listen_quic", "listen_https"} {
		listen := yamldoc.Child(n, key)
		listens = listens || listen != nil
		if listen != nil && yamldoc.Child(n, "tls") == nil {
			d.errorf(listen, "there is no certificate", "write tls: {certificates: [{cert: server.pem, key: server.key}]}")
		}
	}
	if listens {
		return
	}
	for _, key := range []string{"tls", "encrypted"} {
		if at := yamldoc.Child(n, key); at != nil {
			d.warn(at, key+" has no effect without an encrypted transport", "write listen_tls, listen_quic or listen_https, or leave "+key+" out")
		}
	}
}

// checkPorts reports the addresses of a key that use the same port as those of another key.
func (d *decoder) checkPorts(n *yaml.Node, key string, addrs []netip.AddrPort, other string, taken []netip.AddrPort) {
	for _, a := range addrs {
		for _, b := range taken {
			if overlap(a, b) {
				d.errorf(yamldoc.Child(n, key), fmt.Sprintf("%s is in %s as well", quote(a.String()), other), "write another port")
			}
		}
	}
}
