package pools

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
	"meridian/pools/internal/bitset"
	"meridian/pools/internal/rendezvous"
)

// none means no pool, no target, no table.
const none = ^uint32(0)

// Tree holds all pools, compiled. Its shape and addresses never change; the live members
// follow the health states passed to Apply. Decide and Explain may run on any
// number of goroutines, concurrently with Apply.
type Tree struct {
	shape
	addressing
	feedback
	unresolved *unresolved // what Resolve continues from

	// Written by Apply, read concurrently.
	state       atomic.Pointer[state]
	up          []atomic.Uint64 // a bit per target, for explain only; neither up nor down: unknown
	provisional []atomic.Uint64 // a bit per target: uncertain, whatever it counts as

	writing sync.Mutex // one Apply at a time; guards the fields below
	next    builder
	modes   [][2]Mode                // by pool and family, of those that Apply reports
	since   []atomic.Pointer[sinces] // by pool; for status only: read without the lock

	ejections poolEjections
	damped    bitset.Set // of targets: flap damping alone keeps them down

	reportClock time.Time // when the latest report was made

	loadFingerprint string    // see LoadFingerprint; empty: not computed yet
	heldUntil       time.Time // the last heldUntil of balancers and shedding; zero: none
}

// shape is the part of a tree that does not depend on the addresses of targets. Trees that differ only
// in those share it.
type shape struct {
	cfg       *config.Config            // names and texts, for output
	locator   *geo.Locator              // for Explain
	geoTables []*geo.Table              // each table that a pool uses, once
	matches   map[uint32][]config.Match // by table: its matches, if it does not rank regions; for Explain

	roundTrips *geo.Latency               // nil: none are measured
	measured   map[uint32][]config.Region // by table: the regions that it ranks by round trips; for Explain

	weights []uint32   // by member; 0 for disabled ones
	groups  bitset.Set // pool after pool: the members of each group, pool.words words a group
	cnames  [][]byte   // of members, in wire form
	records recordSets
	keys    []uint64          // of the members of pools that hash, and of the groups of pools that rank regions, see keyOf
	log2    *rendezvous.Table // nil if no pool hashes or spreads

	parents       index[memberRef] // by pool: the members that nest it
	fallbackUsers index[ID]        // by pool: the pools bound to names that have it as fallback
	bound         []bool           // by pool: a name is bound to it
	watched       []ID             // the pools of names with another TTL while the pool is degraded

	checked         []regionCheck       // the regions with a check
	checkOf         map[string]uint32   // by region: its index in checked
	regionsByTarget map[uint32][]uint32 // by target: the regions, in checked, that it is probed for

	poolWords  uint32 // words of a state for the sets of all pools
	levels     int    // levels of nesting, at least 1
	turns      int    // turns that a Scratch keeps
	stackWords int    // words that a Scratch needs for the deepest walk
	feeds      bool   // some pool depends on loads or capacities
}

// addressing is the part of a tree that depends on the addresses of targets.
type addressing struct {
	resolved      map[config.Target]Resolved // the resolved targets of members
	pools         []pool                     // by ID
	members       []member                   // pool after pool, in the order written
	refs          []addrRef                  // of a member: its IPv4 addresses, then its IPv6 ones
	v4            [][4]byte
	v6            [][16]byte
	soleAddresses []soleAddresses // pool after pool, for those that fastDecide handles
	targets       []health.Target

	membersByTarget index[memberRef] // by target: the endpoints that have it
	timed           index[uint32]    // of the members of `fastest` pools: the targets that determine their response time

	withFreeCapacity uint32 // where in a state a word per member of a least-load pool begins, its free capacity
	deferrals        uint32 // and two bits per member, set if its ejection is deferred
	downs            uint32 // and the bits of the targets; from here on the first state is zero
	regionDowns      uint32 // and those of the checked regions
	responses        uint32 // and a word per target, its response time; none if no pool uses it
}

// feedback is the part of a tree that follows loads and capacities.
type feedback struct {
	loadTargets []LoadTarget          // the sources of load reports
	memberLoads map[uint32]loadSource // by member, of those with a load
	regionLoads map[string]loadSource // by region, of those with a load
	loadSharers map[placed]int        // by group: how many members share their region's load
	ttls        []time.Duration       // by pool, see clientTTLs; empty if no load is reported
	scores      []regionScore         // by pool and group, of pools that spread the clients of lost regions
	roomCount   int                   // members of least-load pools

	balancers []balancer  // of the least-load pools; guarded by Tree.writing
	shedding  []shedGroup // of the pools that shed, pool after pool; guarded by Tree.writing
}

// pool is a compiled config.Pool. The fields that fastDecide reads come first, on half a cache line.
type pool struct {
	policy   policy
	percent  bool    // minUp is a percentage of the members that can be eligible; the resulting number is in the state
	even     bool    // all its weights that are not 0 are equal
	nests    bool    // one of its members is a pool
	failOpen bool    // fail_open is not never
	has      [2]bool // by family: on some level it has an address, enabled or not
	state    uint32  // in a state: for each family and basis its eligible members, then which of them can give the family
	words    uint32  // of a set of members
	minUp    uint32  // members that must be live for the pool to be live, see state.need
	table    uint32  // in Tree.geoTables; none if the client does not matter
	groups   uint32  // in Tree.groups; in the order of the configuration's regions, then the members without one
	singles  uint32  // in Tree.soleAddresses; none if fastDecide does not apply
	first    uint32  // in Tree.members
	members  uint32  // how many
	ngroups  uint32
	weighing uint32   // how many members are enabled and have weight
	answers  uint32   // 0: all
	fallback uint32   // a pool, or none
	turn     uint32   // in Scratch.turns, for round-robin
	together bool     // dual_stack: a member is live for both families or for none
	spread   bool     // no two members of one region in an answer while another has one
	openAll  bool     // fail_open: all
	depends  bool     // whether it has an answer depends on the client, see Scratch.hasAnswer
	fence    bool     // geolocation: on_down is fence or open
	opens    bool     // geolocation: on_down: open
	holdsAll bool     // geolocation: it has fence, and every client has a match
	fences   bool     // it, or a pool below it, has fence, see Scratch.fenced
	matches  uint32   // geolocation: in Tree.groups, the members of each match, in the order of Tree.matches
	perTTL   bool     // hash: sticky: ttl, see slotOf
	spans    bool     // geolocation: the members of some match are of several regions
	mask     [2]uint8 // hash: by family of the client, the bits of its network
	keys     uint32   // in Tree.keys: of its members (hash, and geolocation that spans) or groups (proximity, latency)
	timed    uint32   // fastest: in Tree.timed
	room     uint32   // least-load: in a state, from Tree.withFreeCapacity on
	trickle  uint64   // failover: the share of the draws that go to the standby, of 2^64
	scores   uint32   // proximity and latency that shed: in Tree.scores; otherwise none
	height   uint32   // 0: endpoints only; otherwise one more than the highest pool in it
}

// member is a compiled config.Member.
type member struct {
	child  uint32 // the nested pool; none: an endpoint
	group  uint32 // among the pool's groups
	first  uint32 // in Tree.refs
	n4, n6 uint16 // how many addresses of each family
}

// addrRef is an address of an endpoint.
type addrRef struct {
	addr   uint32 // in Tree.v4 or Tree.v6, equal addresses have equal numbers; or an alias, see aliasBit
	target uint32 // in Tree.targets; none: no check, always up
}

// memberRef is a member by its pool and its index there.
type memberRef struct{ pool, member uint32 }

// basis is a way to decide which members count as up.
type basis uint32

const (
	byVerdict basis = iota // by health states, and pools by min_up
	failOpen               // as if every enabled, undrained member with weight that is not forced down were up
	remaining              // by health states, and pools as if every min_up were 1
)

// eligible returns where in a state the pool keeps its eligible members. The bases
// byVerdict and remaining differ only in members that are pools.
func (p *pool) eligible(f Family, pl basis) uint32 {
	if pl == remaining && !p.nests {
		pl = byVerdict
	}
	return p.state + (uint32(pl)*2+uint32(f))*2*p.words
}

// giving returns where in a state the pool keeps which of its eligible members can
// give an address of the family.
func (p *pool) giving(f Family, pl basis) uint32 { return p.eligible(f, pl) + p.words }

// needAt returns where in a state a pool with min_up in percent keeps the resulting
// number of members.
func (p *pool) needAt() uint32 {
	if p.nests {
		return p.state + p.words*statePerWord*3
	}
	return p.state + p.words*statePerWord*2
}

// end returns where in a state the next pool's words begin.
func (p *pool) end() uint32 {
	if p.percent {
		return p.needAt() + 1
	}
	return p.needAt()
}

// statePerWord is how many words of a state a basis of a pool takes for each word
// of its sets: two families, two sets.
const statePerWord = 2 * 2

// group returns the members of a group.
func (t *Tree) group(p *pool, g uint32) bitset.Set {
	return t.groups[p.groups+g*p.words:][:p.words]
}

// addrs returns the addresses of m of a family.
func (t *Tree) addrs(m *member, f Family) []addrRef {
	if f == IPv4 {
		return t.refs[m.first:][:m.n4]
	}
	return t.refs[m.first+uint32(m.n4):][:m.n6]
}

// verdictAddrs returns the addresses with the health states that count for a family of m:
// those of the family, or the others if it has none.
func (t *Tree) verdictAddrs(m *member, f Family) []addrRef {
	if refs := t.addrs(m, f); len(refs) > 0 {
		return refs
	}
	return t.addrs(m, 1-f)
}

func (t *Tree) addr(f Family, number uint32) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4(t.v4[number])
	}
	return netip.AddrFrom16(t.v6[number])
}

// index holds a list of T for each number from 0, in two flat slices.
type index[T any] struct {
	start []uint32
	items []T
}

func (x *index[T]) of(i uint32) []T { return x.items[x.start[i]:x.start[i+1]] }

// extended returns the index with n lists and more items. each is as for newIndex.
func (x *index[T]) extended(n int, each func(yield func(key uint32, item T))) index[T] {
	start := make([]uint32, n+1)
	each(func(key uint32, _ T) { start[key]++ })
	sum, known := uint32(0), len(x.start)-1
	for i, count := range start {
		if i < known {
			count += x.start[i+1] - x.start[i]
		}
		sum += count
		start[i] = sum
	}
	items := make([]T, sum)
	for i := range known {
		before := x.of(uint32(i))
		start[i] -= uint32(len(before))
		copy(items[start[i]:], before)
	}
	each(func(key uint32, item T) {
		start[key]--
		items[start[key]] = item
	})
	return index[T]{start, items}
}

// newIndex builds an index of n lists. each runs twice and must yield the same
// keys and items both times.
func newIndex[T any](n int, each func(yield func(key uint32, item T))) index[T] {
	start := make([]uint32, n+1)
	each(func(key uint32, _ T) { start[key]++ })
	sum := uint32(0)
	for i, count := range start {
		sum += count
		start[i] = sum
	}
	items := make([]T, sum)
	// Filling from the back of each list leaves start[i] at its front; the items
	// are in reverse order, which does not matter to readers.
	each(func(key uint32, item T) {
		start[key]--
		items[start[key]] = item
	})
	return index[T]{start, items}
}
