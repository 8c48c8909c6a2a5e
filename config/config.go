// Package config reads the one YAML document that describes a Meridian server.
//
// Load decodes it strictly and reports all errors at once, each with its file, line, column and key path, so that an
// operator can correct a configuration in one pass. The result of Load is complete: defaults are filled in, names and
// networks are parsed into types that cannot be invalid, references are resolved, and relative paths are joined to the
// folder of the file.
//
// Mappings with a significant order (regions break ties, failover follows the list) are slices here, in the order
// written.
//
// A file may hold a million names. Load reads it in pieces if it is plain enough (see the type document), so that
// memory is used for the Config and not for YAML.
//
// The package opens no file but the document itself. The package that reads a database or a master file checks whether
// it is readable and valid, and reports errors in the same form through [Config.ErrorAt].
package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// Config is a complete valid configuration. It does not change after Load.
type Config struct {
	File          string // as passed to Load; starts every message
	Log           Log
	Node          string // the name of this node in its cluster; empty: none is written, and there is no cluster
	Cluster       Cluster
	Server        Server
	Admin         Admin
	Metrics       Metrics
	QueryLog      QueryLog
	ResolverStats ResolverStats
	State         string // path of the folder that keeps health states and overrides across restarts; empty: in memory only
	Geo           Geo
	Latency       Latency
	Regions       []Region
	Checks        []Check
	Loads         []LoadSource
	Health        Health
	Pools         []Pool
	Views         []View
	Zones         []Zone // those of zones, then those of catalogs, then those that WithMembers adds
	Notify        []Sink

	Guardrails  Guardrails
	Maintenance []Maintenance
	DNSSEC      DNSSEC
	TSIG        []TSIGKey

	StatePos Pos

	// Root is the directory with copies of the master files, under their absolute paths; empty: the files are read from
	// their own paths. See Copy.
	Root string

	sources   sourceFiles       // files that the lines of a Pos count through; empty: File alone
	variables map[string]string // environment variables that values were taken from
}

// Server holds the addresses and settings of the DNS listeners.
type Server struct {
	Listen  []netip.AddrPort // UDP and TCP on each
	Workers int              // UDP workers for each address; 0: one for each core
	NSID    string           // answer to RFC 5001 NSID, id.server and hostname.bind; empty: none
	Version string           // answer to version.bind; empty: REFUSED
	UDPSize int              // largest UDP answer in bytes, 512 to 4096
	ECS     bool             // use EDNS Client Subnet (RFC 7871) when a query carries it
	ECSFrom []netip.Prefix   // the client subnets of queries from these sources are used; empty: all
	Rotate  bool             // the records of a static set begin at another one for each query
	TCP     TCP

	ListenTLS  []netip.AddrPort // DNS over TLS (RFC 7858); empty: off
	ListenQUIC []netip.AddrPort // DNS over QUIC (RFC 9250); empty: off
	HTTPS      ListenHTTPS
	TLS        ServerTLS
	Encrypted  Encrypted

	Cookies              Cookies
	UDPSizeWithoutCookie int // largest UDP answer to a query without a valid cookie, 512 to 4096; 0: UDPSize

	ReportAgent    dnsname.Name // where resolvers report errors to (RFC 9567); empty: nowhere
	ReportAgentPos Pos

	ProxyFrom []netip.Prefix // sources of connections and packets with a header of the PROXY protocol; empty: none

	RateLimit RateLimit
	Filter    []FilterRule // the first one that matches a query applies
	Top       Top

	Resolvers []netip.AddrPort // resolvers for the addresses of members' targets, in this order; empty: those of the system

	XDP XDP
}

// TCP limits the connections that clients hold (RFC 7766).
type TCP struct {
	Idle      time.Duration // a connection is closed after this time without a query
	Max       int           // total connections for each listening address
	PerClient int           // connections of one client address
}

// Cookies holds the settings of DNS cookies (RFC 7873, 9018).
type Cookies struct {
	SecretFile    string // path of a file with secrets, a line of 32 hexadecimal digits each; empty: a random secret
	SecretFilePos Pos
	Require       bool // answer BADCOOKIE over UDP to a client that sends cookies and has no valid one
}

// RateLimit holds the limit on answers over UDP to each client network.
type RateLimit struct {
	Rate    int            // answers a second to an address; 0: no limit
	Instant int            // answers to an address at once
	Slip    int            // every so many answers over the limit is sent, truncated; 0: none
	Exempt  []netip.Prefix // clients without a limit, masked
	DryRun  bool           // count and do not limit
}

// Limits reports whether answers are limited, not only counted.
func (r *RateLimit) Limits() bool { return r.Rate > 0 && !r.DryRun }

// Top holds the settings of the sample of queries, and of the search for floods.
type Top struct {
	Enabled bool // sample queries
	Flood   int  // the least queries a second of a flood; 0: none is reported
}

// MaxBias is the largest absolute value of a region's bias.
const MaxBias = 99

// Region is a named place.
type Region struct {
	Name     string
	Location Location
	Bias     int // -99..99: a positive bias attracts clients, a negative one repels them
	// Check probes the region as a whole at Addresses: while all of them are down, every endpoint in the region is
	// down. Both are empty if the region has no check.
	Check     string
	Addresses []netip.Addr
	Load      *LoadOf      // nil: none
	Subnet    netip.Prefix // of usual clients of the region, for targets with ecs: region; invalid: none
	Pos       Pos
}

// Health holds the settings that apply to the health states of all checks.
type Health struct {
	MaxEjection MaxEjection // default for pools without their own
}

// MaxEjection limits how much of a pool's weight may go down within a window, and how much of it flap damping and slow
// start may withhold. The zero value in a pool means the value in Health.
type MaxEjection struct {
	Percent int           // 1 to 100, of the weight of the enabled, undrained members; 0 and 100: no limit
	Window  time.Duration // window in which weight that goes down is counted
}

// String returns m as written in the file.
func (m MaxEjection) String() string {
	return strconv.Itoa(m.Percent) + "%/" + FormatDuration(m.Window)
}

// Bounds reports whether m sets a limit.
func (m MaxEjection) Bounds() bool { return m.Percent > 0 && m.Percent < 100 }

// CheckType is the protocol of a check.
type CheckType string

// The check types.
const (
	HTTP       CheckType = "http"
	HTTPS      CheckType = "https"
	TCPConnect CheckType = "tcp"
	TLS        CheckType = "tls"
	GRPC       CheckType = "grpc"
	DNS        CheckType = "dns"
	ICMP       CheckType = "icmp"
	Exec       CheckType = "exec"
	Push       CheckType = "push"     // no probe: an outside system reports
	All        CheckType = "all"      // composite: up while all parts are up
	Any        CheckType = "any"      // composite: up while any part is up
	AtLeast    CheckType = "at_least" // composite: up while N parts are up
	Invert     CheckType = "invert"   // composite: up while its part is down
)

// Check defines how an address is probed and which results change its health state. A composite check has no probe and
// uses only Type, Parts and N.
type Check struct {
	Name            string
	Base            string // the check in the file that this one is derived from by a member's own settings; empty: it is in the file itself
	Type            CheckType
	Sources         []netip.Addr // source addresses of probes, at most one of each family; a family without one: the system's choice
	Port            int          // icmp has none; exec: passed to the program, 0: not passed
	Interval        time.Duration
	Timeout         time.Duration
	Rise            int           // consecutive successes before up
	Fall            int           // consecutive failures before down
	Confirm         time.Duration // a probe that would change the state is repeated after this time and has to agree; 0: no repetition
	FlapDamping     FlapDamping
	HoldDown        time.Duration // down becomes up only after this time without a failure
	Failback        Failback
	SlowStart       time.Duration // how long the share of clients grows after the change to up; 0: all at once
	Idle            IdleProbing
	Method          string
	Path            string
	Host            string // http, https, grpc: host in the request; over TLS the name to verify; empty: the address
	Headers         []Header
	Status          []StatusRange
	Body            *regexp.Regexp // nil: any
	FollowRedirects bool
	HTTP2           bool // http, https: speak HTTP/2 (RFC 9113), else HTTP/1.1
	Secure          bool // over TLS: https and tls always, grpc where the file has tls
	TLS             CheckTLS
	Send            string         // tcp: written after connecting
	Expect          *regexp.Regexp // tcp: read until it matches; nil: connecting is enough
	Service         string         // grpc: the service to ask the health of; empty: the whole server
	Query           dnsname.Name   // dns: the name to query
	QueryType       uint16         // dns: the type to query
	Rcode           int            // dns: the response code expected, 0 to 15
	Answer          *regexp.Regexp // dns: pattern for the data of a record in the answer; nil: no record is required
	Command         []string       // exec: the program and its arguments
	CommandPos      Pos
	Unix            string        // http, https, tcp, tls, grpc: path of the socket to connect to; empty: the address
	ProxyProtocol   int           // the same: version of the PROXY header to send first, 1 or 2; 0: none
	Lease           time.Duration // push: how long a report is valid
	Parts           []CheckPart   // composite: the checks that it is derived from
	N               int           // at_least: how many parts must be up
	Quorum          Quorum        // how the vantages of a cluster decide; without a cluster it has no effect
	Pos             Pos
}

// Header is one request header.
type Header struct{ Name, Value string }

// StatusRange is an inclusive range of HTTP status codes.
type StatusRange struct{ From, To int }

// CheckTLS defines how a check verifies its peer over TLS.
type CheckTLS struct {
	CA         string // path of a PEM bundle; empty: the system's roots
	CAPos      Pos
	Cert, Key  string // paths of the client's certificate and key in PEM; empty: none
	CertPos    Pos
	ServerName string // name to verify; empty: Host, else the address
	Insecure   bool   // no verification
	WarnDays   int    // log a warning when the certificate has fewer days left; 0: never
}

// Policy defines how a pool selects among its members.
type Policy string

// The policies.
const (
	Proximity     Policy = "proximity"
	Geolocation   Policy = "geolocation"
	Weighted      Policy = "weighted"
	RoundRobin    Policy = "round-robin"
	Failover      Policy = "failover"
	Hash          Policy = "hash"
	LatencyPolicy Policy = "latency"
	Fastest       Policy = "fastest"
	LeastLoad     Policy = "least-load"
	AllMembers    Policy = "all"
)

// RanksRegions reports whether p answers with the members of the first usable region in the client's ranking. Each
// member then has a region.
func (p Policy) RanksRegions() bool { return p == Proximity || p == LatencyPolicy }

// OnDown is the behaviour of a geolocation pool for clients with a match that is down.
type OnDown string

// The values of OnDown.
const (
	Widen OnDown = "widen" // uses the next wider match that is up
	Fence OnDown = "fence" // never leaves the match: NODATA
	Open  OnDown = "open"  // never leaves the match: answers from it as if its members were up
)

// Fences reports whether clients never leave their most specific match.
func (o OnDown) Fences() bool { return o == Fence || o == Open }

// FailOpen is the answer of a pool with names bound to it while neither the pool nor its fallback is live.
type FailOpen string

// The values of FailOpen. Members that are disabled, drained, forced down or of weight 0 are never answered.
const (
	Remaining FailOpen = "remaining" // the members that are up; if none is up, the same as AsIfUp
	AsIfUp    FailOpen = "all"       // every member, as if it were up
	NeverOpen FailOpen = "never"     // NODATA
)

// DualStack defines how the two families of a member depend on each other.
type DualStack string

// The values of DualStack.
const (
	Independent DualStack = "independent" // while one is down, the other is answered
	Together    DualStack = "together"    // while one is down, neither is answered
)

// Mask is the number of leading bits of a client's address that a hash uses.
type Mask struct{ IPv4, IPv6 int }

// Pool is a node of the decision tree: one policy over members.
type Pool struct {
	Name     string
	Policy   Policy
	Check    string // default for the members; empty: none
	Answers  int    // most addresses in one answer; 0: all eligible addresses
	MinUp    MinUp
	Fallback string // pool used while this one is not live; empty: none
	FailOpen FailOpen

	DualStack     DualStack
	ECS           ECS    // default for the names that are bound to the pool
	DefaultNoData bool   // geolocation: clients without a match get NODATA
	OnDown        OnDown // geolocation
	Hash          Mask   // of policy hash, and of Sticky
	Bound         int    // of a hash: the most load of a member, in per cent of its fair share; 0: no limit
	Sticky        bool   // weighted, round-robin: a hash of the client's network selects
	StickyTTL     bool   // with Sticky: the hash includes the time, so that the selection changes after each TTL
	Trickle       int    // failover: per cent of the answers that go to the next eligible standby
	SpreadRegion  bool   // no two members of one region in an answer while another region has one
	Shed          Shed

	MaxEjection MaxEjection // after inheritance from Health

	Members []Member
	Pos     Pos
}

// MinUp is the number of live members that makes their pool live.
type MinUp struct {
	N       int
	Percent bool // N is a percentage of the members that can be eligible (enabled, undrained, with weight), rounded up
}

// MaxWeight is the largest weight of a member.
const MaxWeight = 1_000_000

// Member is an endpoint (Addresses, or those of Target; Records), an alias (CName), another pool (Pool), or records alone.
type Member struct {
	Name      string
	Region    string // empty: none
	Addresses []netip.Addr
	Target    Target
	CName     dnsname.Name // answered as a CNAME; empty: none
	Pool      string
	Weight    int    // 0..1000000; 0: never
	Check     string // of Config.Checks, after inheritance from the pool; empty: none
	Enabled   bool
	Match     *Match  // geolocation only
	Load      *LoadOf // nil: none
	Records   []Record
	Pos       Pos
}

// Match selects the clients of a member of a geolocation pool: those that satisfy at least one of these conditions, or
// that match no other member (Default).
type Match struct {
	Networks     []netip.Prefix // masked; IPv4 in its 4-byte form
	ASNs         []uint32
	Cities       []string // US-CA/san jose: country or subdivision in upper case, English name in lower
	Subdivisions []string // ISO 3166-2, upper case
	Countries    []string // ISO 3166-1 alpha-2, upper case
	Groups       []string // of Geo.Groups
	Continents   []string // AF AN AS EU NA OC SA
	Default      bool
	Terms        []MatchTerm // of the ASNs, cities and subdivisions, for messages
	Pos          Pos
}

// MatchTerm is a value of a match, as written in the file.
type MatchTerm struct {
	Kind  string // asn, city or subdivision
	Value string // as in Match
	Text  string // as in messages: city FR/Paris
	Path  string // relative to that of the match: .city[1]
	Pos   Pos
}

// Zone is a delegated domain.
type Zone struct {
	Name        dnsname.Name
	Nameservers []Nameserver
	Contact     dnsname.Name // the mailbox in SOA RNAME form; empty without `contact`
	TTL         uint32       // seconds, of answers from pools
	DegradedTTL uint32       // as that of a BalancedName
	NegativeTTL uint32       // seconds, SOA minimum
	File        string       // path of a master file; empty: none
	FilePos     Pos
	Names       []BalancedName
	Whoami      []WhoamiName
	Access      Access        // the clients that are answered
	Views       []ViewBinding // of Names, for some clients
	Pos         Pos

	DNSSEC         string // policy of Config.DNSSEC.Policies, or Unsigned; empty: presigned if File has signatures, else unsigned
	Family         Family // default: that of the policy; without a policy strict
	FamilyPos      Pos    // of the zone's own; zero: none
	Rotate         *bool  // nil: as the server
	Variety        int    // most different sets of several addresses, for each name, family and region; default: that of the policy; 0: no limit
	ExtraDNSKEYs   string // path of a master file with DNSKEY records of other signers; empty: none
	ExtraDNSKEYPos Pos

	Transfer Transfer
	Entry    CatalogEntry
	Produced bool        // a catalog with the zones that are in it, of catalogs
	Consumed *Consumer   // of a catalog of other servers, of catalogs; nil: it is none
	Member   *Membership // of a zone in such a catalog; nil: the zone is written in the configuration
	Journal  Journal
	Update   []UpdateRule // who may change records of the zone

	Primaries    []Primary // that the zone is transferred from; empty: none
	PrimariesPos Pos
	MaxSize      int // of a transfer, in octets

	Serial    SerialPolicy
	SerialPos Pos // zero: none is written
}

// Nameserver is an NS of the apex, with its addresses if it is inside the zone.
type Nameserver struct {
	Name      dnsname.Name
	Addresses []netip.Addr
	Pos       Pos
}

// BalancedName binds a name to a pool.
type BalancedName struct {
	Name        dnsname.Name // absolute; the leftmost label may be *
	Pool        string
	TTL         uint32   // seconds; default: the zone's
	DegradedTTL uint32   // the TTL while a member that the answer could have used is down, drained or uncertain; 0: TTL
	Answers     int      // default: the pool's
	HTTPS       *Service // nil: the pool provides no HTTPS record
	ECS         ECS
	Pos         Pos

	AAAA     *BalancedName // the binding for AAAA, if that has a pool of its own; else nil
	OnlyAAAA bool          // this is the AAAA of another binding
}

// WhoamiName is a name that answers with the addresses that a query comes from.
type WhoamiName struct {
	Name dnsname.Name // absolute; the leftmost label may be *
	Pos  Pos
}

// Pos is the line and column of a value, both from 1; zero if it is not in the file. With several files the line
// numbers continue from one file to the next: Config.ErrorAt finds the file.
type Pos struct{ Line, Column uint32 }

// Compare orders positions of one file from its beginning.
func (p Pos) Compare(q Pos) int { return yamldoc.Pos(p).Compare(yamldoc.Pos(q)) }

func posOf(n *yaml.Node) Pos { return Pos(yamldoc.PosOf(n)) }
