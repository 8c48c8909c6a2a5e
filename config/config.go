// Package config reads the one YAML document that describes a Meridian server.
//
// Load decodes it strictly and reports every fault at once, each with its
// file, line, column and key path, so that an operator mends a configuration in
// one pass. What Load returns is complete: defaults are filled in, names and
// networks are parsed into types that cannot be wrong, references are resolved,
// relative paths are joined to the folder of the file.
//
// Everything that YAML writes as a mapping but that has an order which matters
// (regions break ties, failover follows the list) is a slice here, in the order
// written.
//
// A file may hold a million names. It is read in pieces where it is plain enough,
// see the type document, so that memory is for the Config and not for YAML.
//
// The package opens no file but the document itself: whether a database or a
// master file is readable and sound is said by the package that reads it, in
// the same form, by way of [Config.Fault].
package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"time"
)

// Config is a whole valid configuration. It is not changed after Load.
type Config struct {
	File    string // as given to Load; leads every message
	Server  Server
	Admin   Admin
	State   string // path of the folder where verdicts and overrides outlive a restart; empty: in memory only
	Geo     Geo
	Latency Latency
	Regions []Region
	Checks  []Check
	Loads   []LoadSource
	Health  Health
	Pools   []Pool
	Zones   []Zone

	StatePos Pos

	// Root is the directory that holds copies of the master files, under their absolute
	// paths; empty: they are where they say. See Copy.
	Root string

	sources   sourceFiles       // that Pos count the lines of; empty: File alone
	variables map[string]string // of the environment, that values were taken from
}

// Server says where and how questions are taken.
type Server struct {
	Listen  []netip.AddrPort // UDP and TCP on each
	Workers int              // UDP workers for each address; 0: one a core
	NSID    string           // RFC 5001 answer, and that to id.server and hostname.bind; empty: none
	Version string           // answer to version.bind; empty: REFUSED
	UDPSize int              // largest UDP answer in bytes, 512 to 4096
	ECS     bool             // use EDNS Client Subnet (RFC 7871) when a query carries it
	TCP     TCP

	Resolvers []netip.AddrPort // asked for the addresses of members' targets, in this order; empty: those of the system
}

// TCP bounds the connections that clients hold (RFC 7766).
type TCP struct {
	Idle      time.Duration // a connection without a query for this long is closed
	Max       int           // connections in all, for each listening address
	PerClient int           // connections of one client address
}

// Admin says where the HTTP API is, and who may use it.
type Admin struct {
	Listen       netip.AddrPort // the zero value: no API
	TokenFile    string         // path of a file with the token that every request must carry; empty: none is asked for
	TokenFilePos Pos
}

// Geo says how a client is located.
type Geo struct {
	Database    string // path of a MaxMind-format City or Country file; empty: the built-in country table
	DatabasePos Pos
	ASN         string // path of a MaxMind-format ASN file; empty: none
	ASNPos      Pos
	Networks    []Network
	Groups      []CountryGroup
	// MaxAccuracyRadius is in kilometres: of a record of the database that is less exact,
	// the country is used and not the coordinates. 0: the coordinates always are.
	MaxAccuracyRadius int
	Default           string // region of a client that nothing places; the first region where the file names none; empty without regions
}

// Network locates the clients of a prefix before any database is asked: by a point
// (Region or Location), by what it is part of (Country, Subdivision or Continent), or
// by one of each.
type Network struct {
	Prefix      netip.Prefix // masked; IPv4 in its 4-byte form
	Region      string
	Country     string // ISO 3166-1 alpha-2, upper case
	Location    *Location
	Continent   string // AF AN AS EU NA OC SA
	Subdivision string // ISO 3166-2, e.g. US-CA
	City        string // English name; of no file: a what-if that stands in a city, with its Location and all that it is in
	Pos         Pos
}

// CountryGroup is countries that a match may name by one word.
type CountryGroup struct {
	Name      string
	Countries []string // ISO 3166-1 alpha-2, upper case
	Pos       Pos
}

// Location is a point on Earth in degrees.
type Location struct{ Lat, Lon float64 }

// MaxBias is the most that a region's bias may be, either way.
const MaxBias = 99

// Region is a named place.
type Region struct {
	Name     string
	Location Location
	Bias     int // -99..99, DESIGN 5.1: positive draws clients near, negative pushes them off
	// Check probes the region as a whole at Addresses: while all of them are down, every
	// endpoint in the region is. Both are empty where it has no check.
	Check     string
	Addresses []netip.Addr
	Load      *LoadOf // nil: none
	Pos       Pos
}

// Health is what holds for the verdicts of all checks.
type Health struct {
	MaxEjection MaxEjection // of the pools that have none of their own
}

// MaxEjection bounds how much of a pool's weight may go down within a window, and how
// much of it flap damping and slow start may withhold. The zero value of a pool means
// that of Health.
type MaxEjection struct {
	Percent int           // 1 to 100, of the weight of the enabled, undrained members; 0 and 100: no bound
	Window  time.Duration // within which what goes down is counted
}

// String is m as it is written.
func (m MaxEjection) String() string { return strconv.Itoa(m.Percent) + "%/" + span(m.Window) }

// Bounds reports whether there is a bound at all.
func (m MaxEjection) Bounds() bool { return m.Percent > 0 && m.Percent < 100 }

// CheckType is the protocol a check speaks.
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
	All        CheckType = "all"      // composite: up while every part is
	Any        CheckType = "any"      // composite: up while one part is
	AtLeast    CheckType = "at_least" // composite: up while N parts are
	Invert     CheckType = "invert"   // composite: up while its part is down
)

// Check says how an endpoint's address is probed and what turns its verdict. A
// composite check has no probe, and of what is below its Type, Parts and N alone.
type Check struct {
	Name            string
	Base            string // the check of the file that this one is, but for settings of a member's own; empty: it is of the file itself
	Type            CheckType
	Sources         []netip.Addr // where probes come from, at most one address of each family; none of a family: as the system chooses
	Port            int          // icmp has none; exec: as the program is told, 0: it is not
	Interval        time.Duration
	Timeout         time.Duration
	Rise            int           // successes in a row before up
	Fall            int           // failures in a row before down
	Confirm         time.Duration // the probe that would turn a verdict is repeated after this time, and has to agree; 0: it is not
	FlapDamping     FlapDamping
	HoldDown        time.Duration // what is down turns up only after as long as this without a failure
	Failback        Failback
	SlowStart       time.Duration // how long the share of its clients grows after it turned up; 0: all at once
	Method          string
	Path            string
	Host            string // http, https, grpc: host asked for; over TLS the name to verify; empty: the address
	Headers         []Header
	Status          []StatusRange
	Body            *regexp.Regexp // nil: any
	FollowRedirects bool
	HTTP2           bool // http, https: speak HTTP/2 (RFC 9113), else HTTP/1.1
	Secure          bool // over TLS: https and tls always, grpc where the file has tls
	TLS             CheckTLS
	Send            string         // tcp: written after connecting
	Expect          *regexp.Regexp // tcp: read until it matches; nil: connecting is enough
	Service         string         // grpc: whose health is asked for; empty: the server's as a whole
	Query           Name           // dns: the name asked for
	QueryType       uint16         // dns: the type asked for
	Rcode           int            // dns: the response code wanted, 0 to 15
	Answer          *regexp.Regexp // dns: what the data of a record in the answer must match; nil: none need be there
	Command         []string       // exec: the program and its arguments
	CommandPos      Pos
	Unix            string        // http, https, tcp, tls, grpc: path of the socket to connect to; empty: the address
	ProxyProtocol   int           // the same: version of the PROXY header sent first, 1 or 2; 0: none is
	Lease           time.Duration // push: how long a report holds
	Parts           []CheckPart   // composite: whose verdicts it is derived from
	N               int           // at_least: how many parts must be up
	Pos             Pos
}

// Header is one request header.
type Header struct{ Name, Value string }

// StatusRange is an inclusive range of HTTP status codes.
type StatusRange struct{ From, To int }

// CheckTLS says how a check over TLS verifies its peer.
type CheckTLS struct {
	CA         string // path of a PEM bundle; empty: the system's roots
	CAPos      Pos
	Cert, Key  string // paths of the client's certificate and key in PEM; empty: none
	CertPos    Pos
	ServerName string // name to verify; empty: Host, else the address
	Insecure   bool   // no verification
	WarnDays   int    // log a warning when the certificate has fewer days left; 0: never
}

// Policy is how a pool picks among its members.
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

// RanksRegions reports whether p takes the members of one region, the first of
// its ranking: each member has one then.
func (p Policy) RanksRegions() bool { return p == Proximity || p == LatencyPolicy }

// OnDown is what a geolocation pool does for clients whose match is down.
type OnDown string

// The ways.
const (
	Widen OnDown = "widen" // takes the next wider match that is up
	Fence OnDown = "fence" // never leaves the match: NODATA
	Open  OnDown = "open"  // never leaves the match: answers from it as if its members were up
)

// Fences reports whether clients never leave their most specific match.
func (o OnDown) Fences() bool { return o == Fence || o == Open }

// FailOpen is what a pool that a name is bound to answers while neither it nor its
// fallback is live.
type FailOpen string

// The ways. Members that are disabled, drained, forced down or of weight 0 are never answered.
const (
	Remaining FailOpen = "remaining" // the members that are up; if none is, as AsIfUp
	AsIfUp    FailOpen = "all"       // every member, as if it were up
	NeverOpen FailOpen = "never"     // NODATA
)

// DualStack is how the two families of a member depend on each other.
type DualStack string

// The ways.
const (
	Independent DualStack = "independent" // while one is down, the other is answered
	Together    DualStack = "together"    // while one is down, none is answered
)

// Mask is how many bits of a client's address, from the first, count in a hash.
type Mask struct{ IPv4, IPv6 int }

// Pool is a node of the steering tree: one policy over members.
type Pool struct {
	Name     string
	Policy   Policy
	Check    string // for the members that name none; empty: none
	Answers  int    // most addresses in one answer; 0: all that are eligible
	MinUp    MinUp
	Fallback string // pool asked when this one is not live; empty: none
	FailOpen FailOpen

	DualStack     DualStack
	ECS           ECS    // of the names that are bound to the pool and say nothing
	DefaultNoData bool   // geolocation: who matches no member gets NODATA
	OnDown        OnDown // geolocation
	Hash          Mask   // hash, and where Sticky
	Bound         int    // of a hash: the most that a member carries, in per cent of its fair share of the load; 0: no bound
	Sticky        bool   // weighted, round-robin: a hash of the client's network draws
	StickyTTL     bool   // beside Sticky: and of the time, so that it draws again after each TTL
	Trickle       int    // failover: per cent of the draws that go to the next eligible standby
	SpreadRegion  bool   // no two members of one region in an answer while another region has one
	Shed          Shed

	MaxEjection MaxEjection // after inheritance from Health

	Members []Member
	Pos     Pos
}

// MinUp is how many members must be live for their pool to be live.
type MinUp struct {
	N       int
	Percent bool // N is a percentage of the members that can be eligible (enabled, undrained, with weight), rounded up
}

// MaxWeight is the most that a member may weigh.
const MaxWeight = 1_000_000

// Member is an endpoint (Addresses, or those that Target leads to), a name to go
// on with (CName) or another pool (Pool).
type Member struct {
	Name      string
	Region    string // empty: none
	Addresses []netip.Addr
	Target    Name // a name whose addresses are resolved and tracked; empty: none
	CName     Name // answered as a CNAME; empty: none
	Pool      string
	Weight    int    // 0..1000000; 0: never
	Check     string // of Config.Checks, after inheritance from the pool; empty: none
	Enabled   bool
	Match     *Match  // geolocation only
	Load      *LoadOf // nil: none
	Pos       Pos
}

// Match is the clients that a member of a geolocation pool is for: those of
// whom at least one of these is true, or who match no other member (Default).
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

// MatchTerm is a value of a match, as it is written.
type MatchTerm struct {
	Kind  string // asn, city or subdivision
	Value string // as Match has it
	Text  string // as a message calls it: city FR/Paris
	Path  string // below that of the match: .city[1]
	Pos   Pos
}

// Zone is a delegated domain.
type Zone struct {
	Name        Name
	Nameservers []Nameserver
	Contact     Name   // the mailbox in SOA RNAME form; empty without `contact`
	TTL         uint32 // seconds, of answers from pools
	NegativeTTL uint32 // seconds, SOA minimum
	File        string // path of a master file; empty: none
	FilePos     Pos
	Names       []BalancedName
	Pos         Pos
}

// Nameserver is an NS of the apex, with its addresses when it is inside the zone.
type Nameserver struct {
	Name      Name
	Addresses []netip.Addr
	Pos       Pos
}

// BalancedName binds a name to a pool.
type BalancedName struct {
	Name    Name // absolute; the leftmost label may be *
	Pool    string
	TTL     uint32   // seconds; the zone's where the file gives none
	Answers int      // the pool's where the file gives none
	HTTPS   *Service // nil: no HTTPS record comes from the pool
	ECS     ECS
	Pos     Pos
}

// Service is the HTTPS record of a balanced name (RFC 9460), but for its address
// hints, which are the pool's choice for the client.
type Service struct {
	Priority      int      // 1..65535
	Target        Name     // whose addresses serve; ".": the name itself
	ALPN          []string // protocols, beside http/1.1
	NoDefaultALPN bool     // http/1.1 is not spoken
	Port          int      // 0: that of the URL
	Pos           Pos
}

// Pos is the line and column of a value, both from 1; zero when it was not written. Of
// several files the lines count on from one to the next: Config.Fault names the file.
type Pos struct{ Line, Column uint32 }
