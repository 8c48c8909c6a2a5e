package config

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// defaults are the values of what a file leaves out, each the starting point of
// what is decoded. What is zero here is empty, off or none; see
// docs/reference/configuration.md.
type defaults struct {
	server  Server
	geo     Geo
	latency Latency
	check   Check
	damping FlapDamping // of a check that has flap_damping; without the key there is none
	load    LoadSource
	shed    Shed
	pool    Pool
	member  Member
	zone    Zone

	service Service
}

func newDefaults() defaults {
	return defaults{
		server: Server{
			Listen: []netip.AddrPort{
				netip.AddrPortFrom(netip.IPv4Unspecified(), 53),
				netip.AddrPortFrom(netip.IPv6Unspecified(), 53),
			},
			UDPSize: 1232, // fits any path without fragments (DNS flag day 2020)
			ECS:     true,
			TCP:     TCP{Idle: 10 * time.Second, Max: 4096, PerClient: 128},
		},
		geo:     Geo{MaxAccuracyRadius: 500},
		latency: Latency{Reload: 10 * time.Second, Samples: 10, Tolerance: 5 * time.Millisecond, Alpha: 100},
		check: Check{
			Interval: 5 * time.Second,
			Timeout:  2 * time.Second, // or the interval, where that is shorter
			Rise:     2,
			Fall:     3,
			Failback: AutoFailback,
			TLS:      CheckTLS{WarnDays: 14},
		},
		damping: FlapDamping{
			Turns: 4, Window: 10 * time.Minute,
			Hold: time.Minute, Max: 15 * time.Minute,
		},
		load:   LoadSource{Interval: 5 * time.Second, Timeout: 2 * time.Second}, // and stale after three intervals
		shed:   Shed{Low: 70, High: 90},
		pool:   Pool{Answers: 1, MinUp: MinUp{N: 1}, FailOpen: Remaining, DualStack: Independent, OnDown: Widen, Hash: Mask{IPv4: 24, IPv6: 48}},
		member: Member{Weight: 1, Enabled: true},
		zone:   Zone{TTL: 30, NegativeTTL: 30},

		service: Service{Priority: 1, Target: ".", ALPN: []string{"h2"}},
	}
}

// ofType fills in what only checks of c's type have.
func (c *Check) ofType() {
	switch c.Type {
	case HTTP, HTTPS:
		c.Method = "GET"
		c.Path = "/"
		c.Status = []StatusRange{{From: 200, To: 299}}
	case DNS:
		c.QueryType = dns.TypeA
		c.Rcode = dns.RcodeSuccess
	case Push:
		c.Interval, c.Timeout = 0, 0
		c.Rise, c.Fall = 1, 1 // who reports has counted already
		c.Lease = 30 * time.Second
	case All, Any, AtLeast, Invert:
		*c = Check{Name: c.Name, Type: c.Type, Pos: c.Pos} // its parts have the rest
	}
	c.Port = defaultPort(c.Type)
}

// defaultPort is where a check of a type probes unless told; 0: it must be told.
func defaultPort(t CheckType) int {
	switch t {
	case HTTP:
		return 80
	case HTTPS, TLS:
		return 443
	case DNS:
		return 53
	}
	return 0
}
