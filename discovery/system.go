package discovery

import (
	"net/netip"
	"strconv"

	"github.com/miekg/dns"
)

// SystemFile is the file with the servers that the system's programs use.
const SystemFile = "/etc/resolv.conf"

// System returns the servers in a file such as SystemFile. Like the C library, it returns those of this host if the
// file names none or is unreadable.
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
