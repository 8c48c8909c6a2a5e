package config

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// defaults holds the values of omitted keys; decoding starts from them. A zero value here means empty, off or none; see
// docs/reference/configuration.md.
type defaults struct {
	server   Server
	geo      Geo
	latency  Latency
	metrics  Metrics
	queryLog QueryLog
	check    Check

	resolverStats ResolverStats // with resolver_stats; without the key it is off
	damping       FlapDamping   // of a check with flap_damping; without the key it is off
	idle          IdleProbing   // the same, with idle
	load          LoadSource
	shed          Shed
	pool          Pool
	member        Member
	zone          Zone

	service Service
	cluster Cluster
	signing SigningPolicy
	dnssec  DNSSEC
}

func newDefaults() defaults {
	return defaults{
		server: Server{
			Listen: []netip.AddrPort{
				netip.AddrPortFrom(netip.IPv4Unspecified(), 53),
				netip.AddrPortFrom(netip.IPv6Unspecified(), 53),
			},
			UDPSize:   1232, // fits any path without fragments (DNS flag day 2020)
			ECS:       true,
			RateLimit: RateLimit{Instant: 2500, Slip: 1},
			Top:       Top{Enabled: true, Flood: 1000},
			TCP:       TCP{Idle: 10 * time.Second, Max: 4096, PerClient: 128},
			HTTPS:     ListenHTTPS{Path: "/dns-query"},
			Encrypted: Encrypted{Max: 4096, PerClient: 64, Streams: 100, Idle: 30 * time.Second, Query: 5 * time.Second},
		},
		geo:      Geo{MaxAccuracyRadius: 500},
		metrics:  Metrics{Detail: MemberDetail, MaxSeries: 50_000},
		queryLog: QueryLog{Sample: 1},

		resolverStats: ResolverStats{Sample: 1, Max: 10_000},
		latency:       Latency{Reload: 10 * time.Second, Samples: 10, Tolerance: 5 * time.Millisecond, Alpha: 100},
		check: Check{
			Interval: 5 * time.Second,
			Timeout:  2 * time.Second, // or the interval if that is shorter
			Rise:     2,
			Fall:     3,
			Failback: AutoFailback,
			TLS:      CheckTLS{WarnDays: 14},
		},
		damping: FlapDamping{
			Turns: 4, Window: 10 * time.Minute,
			Hold: time.Minute, Max: 15 * time.Minute,
		},
		cluster: Cluster{Etcd: Etcd{Prefix: "/meridian"}, Heartbeat: 2 * time.Second, Stale: 3},
		idle:    IdleProbing{After: 10 * time.Minute, Factor: 10},
		load:    LoadSource{Interval: 5 * time.Second, Timeout: 2 * time.Second}, // stale after three intervals
		shed:    Shed{Low: 70, High: 90},
		pool:    Pool{Answers: 1, MinUp: MinUp{N: 1}, FailOpen: Remaining, DualStack: Independent, OnDown: Widen, Hash: Mask{IPv4: 24, IPv6: 48}},
		member:  Member{Weight: 1, Enabled: true},
		zone:    Zone{TTL: 30, NegativeTTL: 30, Transfer: Transfer{Pools: DefaultPools}, Journal: Journal{Size: 16 << 20, Depth: 100}},

		signing: defaultSigning(),
		dnssec:  DNSSEC{Cache: 64 << 20},
		service: Service{Priority: 1, Target: ".", ALPN: []string{"h2"}, Hints: true},
	}
}

// ofType sets the defaults of c's type.
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
		c.Rise, c.Fall = 1, 1 // the reporting system has counted already
		c.Lease = 30 * time.Second
	case All, Any, AtLeast, Invert:
		*c = Check{Name: c.Name, Type: c.Type, Pos: c.Pos} // the parts have the other settings
	}
	c.Port = defaultPort(c.Type)
}

// defaultPort returns the port of a type of check; 0: the configuration must set it.
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
