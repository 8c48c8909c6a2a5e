package config

import (
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"
)

func (d *decoder) admin(a *Admin) setter {
	return func(n *yaml.Node) {
		ok := d.mapping(n, []field{
			{name: "listen", set: setValue(&a.Listen, d.adminListen)},
			{name: "token_file", set: d.path(&a.TokenFile, &a.TokenFilePos)},
		})
		if !ok {
			return
		}
		d.required(n, "listen", "write listen: 127.0.0.1:8053, or leave admin out for no API")
		if a.Listen.IsValid() && !a.Listen.Addr().IsLoopback() && a.TokenFile == "" {
			d.warn(child(n, "listen"), quote(a.Listen.String())+" is not loopback and there is no token_file: anyone who can connect has full control",
				"listen on 127.0.0.1:8053, or write token_file")
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
