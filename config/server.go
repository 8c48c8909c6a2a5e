package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// maxWorkers is the most UDP workers for one address: more than the cores of any machine.
const maxWorkers = 1024

// The sizes of UDP answers: every client takes the smallest (RFC 1035 2.3.4), and larger ones than the largest are of no
// use (RFC 6891 6.2.5).
const (
	minUDPSize = 512
	maxUDPSize = 4096
)

func (d *decoder) server(s *Server) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "listen", set: d.listen(&s.Listen, 53)},
			{name: "listen_tls", set: d.listen(&s.ListenTLS, 853)},
			{name: "listen_quic", set: d.listen(&s.ListenQUIC, 853)},
			{name: "listen_https", set: d.listenHTTPS(&s.HTTPS)},
			{name: "workers", set: d.integerInRange(&s.Workers, 0, maxWorkers)},
			{name: "nsid", set: d.identity(&s.NSID)},
			{name: "version", set: d.identity(&s.Version)},
			{name: "udp_size", set: d.integerInRange(&s.UDPSize, minUDPSize, maxUDPSize)},
			{name: "ecs", set: d.flag(&s.ECS)},
			{name: "ecs_from", set: d.networkList(&s.ECSFrom, "write the networks of the resolvers, leave the key out for all, or write ecs: false")},
			{name: "rotate", set: d.flag(&s.Rotate)},
			{name: "tcp", set: d.tcp(&s.TCP)},
			{name: "proxy", set: d.proxy(&s.ProxyFrom)},
			{name: "tls", set: d.serverTLS(&s.TLS)},
			{name: "encrypted", set: d.encrypted(&s.Encrypted)},
			{name: "cookies", set: d.cookies(&s.Cookies)},
			{name: "udp_size_without_cookie", set: setValue(&s.UDPSizeWithoutCookie, d.sizeWithoutCookie)},
			{name: "report_agent", set: d.reportAgent(s)},
			{name: "rate_limit", set: d.rateLimit(&s.RateLimit)},
			{name: "filter", set: d.filter(&s.Filter)},
			{name: "top", set: d.top(&s.Top)},
			{name: "resolvers", set: d.resolvers(&s.Resolvers)},
			{name: "xdp", set: d.xdp(&s.XDP)},
		})
		if size := yamldoc.Child(n, "udp_size_without_cookie"); size != nil && s.UDPSizeWithoutCookie > s.UDPSize {
			d.warn(size, fmt.Sprintf("%d is more than udp_size, %d, which bounds all answers: it has no effect", s.UDPSizeWithoutCookie, s.UDPSize),
				"write a smaller number, or 0 for off")
		}
		if proxy := yamldoc.Child(n, "proxy"); proxy != nil && len(s.ProxyFrom) > 0 && len(s.XDP.Interfaces) > 0 {
			d.errorf(proxy, "PROXY headers are not read on the interfaces of server.xdp", "leave out proxy or xdp")
		}
		d.checkEncrypted(n, s)
	}
}

// maxConnections is more than one process can hold open.
const maxConnections = 1_000_000

// proxy reads the sources that send headers of the PROXY protocol.
func (d *decoder) proxy(from *[]netip.Prefix) setter {
	return func(n *yaml.Node) {
		const hint = "write the networks of the load balancers in front of this server: from: [10.0.0.0/24]"
		if n.Kind != yaml.MappingNode && !yamldoc.IsNull(n) {
			d.shapes.see(n)
			d.errorf(n, "found "+yamldoc.Describe(n), "write the load balancers as {from: [10.0.0.1/32]}")
			d.shapes.reject(n)
			return
		}
		d.mapping(n, []field{{name: "from", set: d.proxySources(from, hint)}})
		if n.Kind == yaml.MappingNode {
			d.required(n, "from", hint)
		}
	}
}

// proxySources reads the networks of load balancers.
func (d *decoder) proxySources(from *[]netip.Prefix, hint string) setter {
	return func(n *yaml.Node) {
		d.eachNetwork(n, hint, func(p netip.Prefix, item *yaml.Node) {
			if p.Bits() == 0 {
				d.warn(item, quote(item.Value)+" is every host: each may pretend to be any client, and queries without a header are dropped",
					"write the addresses of the load balancers")
			}
			*from = append(*from, p)
		})
	}
}

func (d *decoder) tcp(t *TCP) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "idle", set: d.duration(&t.Idle, time.Millisecond, time.Hour)},
			{name: "max", set: d.integerInRange(&t.Max, 1, maxConnections)},
			{name: "per_client", set: d.integerInRange(&t.PerClient, 1, maxConnections)},
		})
	}
}

// longestAgent leaves room for the names of reports: they hold the reported name before that of the agent.
const longestAgent = 128

// reportAgent reads the name below which resolvers report errors (RFC 9567).
func (d *decoder) reportAgent(s *Server) setter {
	return func(n *yaml.Node) {
		name, ok := d.domain(n)
		_, notAddress := netip.ParseAddr(strings.TrimSuffix(n.Value, "."))
		switch {
		case !ok:
		case name == "." || name.Wildcard() || notAddress == nil:
			d.errorf(n, quote(n.Value)+" cannot be an agent for reports", "write a name that has no other use, such as agent.example.com")
		case len(name) > longestAgent:
			d.errorf(n, "the name has more than 128 characters", "write a shorter one: the names of reports have the reported name before it")
		default:
			s.ReportAgent, s.ReportAgentPos = name, posOf(n)
		}
	}
}

func (d *decoder) cookies(c *Cookies) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "secret_file", set: d.path(&c.SecretFile, &c.SecretFilePos)},
			{name: "require", set: d.flag(&c.Require)},
		})
	}
}

// The bounds of a limit on answers: beyond them it has no effect on a server of this kind.
const (
	maxRate = 100_000
	maxSlip = 10
)

func (d *decoder) rateLimit(r *RateLimit) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "rate", set: d.integerInRange(&r.Rate, 0, maxRate)},
			{name: "instant", set: d.integerInRange(&r.Instant, 1, maxRate)},
			{name: "slip", set: d.integerInRange(&r.Slip, 0, maxSlip)},
			{name: "exempt", set: d.prefixes(&r.Exempt)},
			{name: "dry_run", set: d.flag(&r.DryRun)},
		})
		if n.Kind == yaml.MappingNode && len(n.Content) > 0 && yamldoc.Child(n, "rate") == nil {
			d.warn(n, "rate_limit has no effect without rate: nothing is counted or limited", "write rate, or leave rate_limit out")
		}
	}
}

// maxFlood is a rate that no single server has.
const maxFlood = 1_000_000_000

func (d *decoder) top(t *Top) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "enabled", set: d.flag(&t.Enabled)},
			{name: "flood", set: d.integerInRange(&t.Flood, 0, maxFlood)},
		})
		if flood := yamldoc.Child(n, "flood"); flood != nil && t.Flood > 0 && !t.Enabled {
			d.warn(flood, "flood has no effect with enabled: false: no query is sampled", "leave one of them out")
		}
	}
}

// prefixes reads a list of networks, which may be empty.
func (d *decoder) prefixes(to *[]netip.Prefix) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			if prefix, ok := d.prefix(item); ok {
				*to = append(*to, prefix)
			}
		})
	}
}

// sizeWithoutCookie reads 0, which is off, or the size of a UDP answer.
func (d *decoder) sizeWithoutCookie(n *yaml.Node) (size int, ok bool) {
	d.integerInRange(&size, 0, maxUDPSize)(n)
	if size > 0 && size < minUDPSize {
		d.errorf(n, quote(n.Value)+" is out of range", fmt.Sprintf("0 for off, or %d to %d", minUDPSize, maxUDPSize))
		return 0, false
	}
	return size, true
}

// listen reads addresses to listen on; port is the usual one.
func (d *decoder) listen(to *[]netip.AddrPort, port uint16) setter {
	return func(n *yaml.Node) {
		var addrs []netip.AddrPort
		ok := d.list(n, func(item *yaml.Node) {
			a, ok := d.addrPort(item, func(s string) string { return listenHint(s, port) })
			if !ok {
				return
			}
			if i := slices.IndexFunc(addrs, func(b netip.AddrPort) bool { return overlap(a, b) }); i >= 0 {
				d.errorf(item, quote(item.Value)+twice(a, addrs[i]), "leave one out")
			}
			addrs = append(addrs, a)
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one address, or leave the key out")
		}
		*to = addrs
	}
}

// overlap reports whether a and b cannot both be listened on: they are equal, or one is the wildcard address of the
// other's family with the same port.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() != 0 && a.Port() == b.Port() && a.Addr().Is4() == b.Addr().Is4() &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

func twice(a, b netip.AddrPort) string {
	switch {
	case a == b:
		return " is listed twice"
	case a.Addr().IsUnspecified():
		return " covers " + quote(b.String())
	}
	return " is covered by " + quote(b.String())
}

func (d *decoder) addrPort(n *yaml.Node, hint func(string) string) (netip.AddrPort, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		d.errorf(n, quote(s)+" is not an address and port", hint(s))
	case a.Addr().Zone() != "":
		d.errorf(n, quote(s)+" has a zone", "write an address that is not link-local")
	case a.Addr().Is4In6():
		d.errorf(n, quote(s)+" is an IPv4 address in IPv6 form", "write "+netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String())
	case a.Addr().IsMulticast():
		d.errorf(n, quote(s)+" is a multicast address", "write one address of one host")
	default:
		return a, true
	}
	return netip.AddrPort{}, false
}

// listenHint returns a suggestion in place of s; usual is the usual port.
func listenHint(s string, usual uint16) string {
	if port, ok := strings.CutPrefix(s, ":"); ok && decimal(port) {
		return `write "0.0.0.0:` + port + `" and "[::]:` + port + `" for every address of both families`
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return "write " + netip.AddrPortFrom(a, usual).String()
	}
	if trimmed := trimZeros(s); trimmed != s {
		if a, err := netip.ParseAddrPort(trimmed); err == nil {
			return "octets have no leading zeros: write " + a.String()
		}
	}
	return fmt.Sprintf("write it like 192.0.2.53:%d or [2001:db8::53]:%d", usual, usual)
}
