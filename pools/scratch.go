package pools

import (
	"net/netip"

	"meridian/pools/internal/bitset"
)

// Scratch is a worker's own memory: Decide's output, the turns of round-robin
// pools, and the stack of the walk. Not for concurrent use. Tree.Scratch makes one
// for its tree.
type Scratch struct {
	Addrs []netip.Addr // the answer of the last Decide, all of the requested family, of both IPv4 first; valid until the next
	CName []byte       // the answer if a member with a cname was drawn: its name in wire form, not to be changed

	// Given are the members that gave the answer of the last Decide, each before the member of the outer pool that nests
	// its pool. If both families were asked, they are those that gave IPv4 addresses, or if none did, IPv6. Valid until
	// the next Decide.
	Given []MemberID

	PoolAnswers []PoolAnswer // how the requested pool answers, for each family decided for; of the last Explain

	// Time is when the next request is asked, in Unix seconds, and TTL how many seconds its
	// answer is kept: the caller sets both if Tree.UsesTime. They are not in Request, which
	// would not fit into registers with them.
	Time int64
	TTL  uint32

	// Widen makes the next requests draw only members that have the requested family, wherever they are: the family is
	// chosen before the region. In signed zones, NODATA for one client would be NODATA for others (RFC 8198).
	Widen bool

	tree  *Tree
	turns []uint32 // by pool.turn and turnCounter

	startAtRandom bool // the turns are not seeded yet, see StartAtRandom

	// Of the current request.
	state       *state
	family      Family
	recordType  uint16 // see DecideRecords; 0: addresses are asked for
	turnCounter turnCounter
	taken       []taken // by the first of both families, and not yet by the second
	client      netip.Addr
	draw        uint64
	scope       uint8
	opened      bool      // a match failed open
	picked      []uint32  // numbers of the addresses of the answer
	words       []uint64  // a stack of sets, one frame for each pool being walked
	top         int       // of the stack
	record      *recorder // nil except in Explain
}

// Scratch returns the scratch of one worker.
func (t *Tree) Scratch() *Scratch {
	return &Scratch{
		tree:   t,
		turns:  make([]uint32, int(turnCounters)*t.turns),
		words:  make([]uint64, t.stackWords),
		Addrs:  make([]netip.Addr, 0, 16),
		picked: make([]uint32, 0, 16),
		taken:  make([]taken, 0, 4),
		Given:  make([]MemberID, 0, 16),
	}
}

// setsPerVisit is how many sets a pool being walked keeps on the stack.
const setsPerVisit = 5

// take allocates a set of some words on the stack. Its content is undefined.
func (s *Scratch) take(words uint32) bitset.Set {
	from := s.top
	s.top += int(words)
	return s.words[from:s.top:s.top]
}
