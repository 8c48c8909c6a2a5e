package resolver

import (
	"net/netip"
	"strconv"

	"github.com/miekg/dns"
)

// SystemFile is where a system says which servers its programs ask.
const SystemFile = "/etc/resolv.conf"

// System is the servers that a file such as SystemFile names; as for the C
// library, those of this host where it names none or cannot be read.
func System(file string) []netip.AddrPort {
	local := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("[::1]:53")}
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return local
	}
	port, err := strconv.ParseUint(conf.Port, 10, 16)
	if err != nil {
		return local
	}
	var servers []netip.AddrPort
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, uint16(port)))
		}
	}
	if len(servers) == 0 {
		return local
	}
	return servers
}
