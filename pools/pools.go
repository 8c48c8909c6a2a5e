// Package pools decides which addresses answer a client.
//
// A pool is one policy over members; a member is an endpoint, which has
// addresses, or another pool. All pools of a configuration form one [Tree]:
//
//	name ──► pool "web" (proximity)
//	           ├─ us-east ─┬─ use-1   192.0.2.10  2001:db8:1::10
//	           │           └─ use-2   192.0.2.11
//	           ├─ eu-west ─── euw-1   198.51.100.10
//	           └─ ap-south ── aps ──► pool "web-india" (weighted)
//	                                    ├─ bom-1   203.0.113.10
//	                                    └─ bom-2   203.0.113.11
//
// The terms are those of the configuration: a member is live, also called
// eligible, for a family if it is enabled, has weight, and its address
// of that family is up (or, if it has none of that family, its other address
// is). A pool is live if min_up of its members are. Parents see only that.
//
// A group is the members of one pool that share a region; the members without a
// region are one group too. Policies choose among eligible members of any
// family, so that the A and the AAAA of a client return one region;
// then a member that has the family is chosen inside the group.
//
// # Data layout
//
// [Compile] numbers pools, members, addresses and targets and stores each kind in
// one flat slice without pointers, so that a million members cost the garbage
// collector nothing. The live members of each pool and family are a bit set;
// a second one, which health states do not change, holds the members that
// failing open may choose from:
//
//	health state change ──► Apply ──► bits of the pools that have the target,
//	                                  then of their parents, and so on
//	request ──► Decide ──► reads those bits, all of one state
//
// These bits never change in place. Apply, under a lock that only writers
// take, builds the next state beside the current one and swaps a pointer. Decide
// takes no lock: it loads the pointer once and uses that state to the end, so
// that it sees a concurrent change in all pools or in none.
//
// # Policies
//
// Each policy is a file with its truth table: proximity.go, geolocation.go,
// weighted.go, roundrobin.go, failover.go, hash.go, fastest.go, latency.go, all.go. A policy
// narrows the members to choose from, or chooses among them, or both, and returns the
// probabilities of its choice; policy.go lists which. The rest (families, `answers`,
// nesting, fallback, failing open) is common to all and in decide.go; [Tree.Probabilities]
// is the same walk with probabilities instead of draws.
package pools

import "net/netip"

// Family is an address family.
type Family uint8

// Families, in the order in which per-family tables are indexed.
const (
	IPv4 Family = iota
	IPv6
)

func (f Family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// ID is the index of a pool in the configuration's Pools.
type ID uint32

// Mode is how a pool that a name is bound to answers.
type Mode uint8

// Mode values.
const (
	Normal     Mode = iota // the pool is live
	FallenBack             // its fallback answers
	FailedOpen             // members answer although the pool is not live, or a match although it has none eligible; see config.FailOpen, config.Open
	Dead                   // NODATA: fail_open is never, or no member can be answered
)

// ModeCount is the number of modes.
const ModeCount = int(Dead) + 1

func (m Mode) String() string {
	return [...]string{"normal", "fallback", "fail-open", "nodata"}[m]
}

// Request is the input of a decision beside the tree and its health states.
type Request struct {
	Pool    ID
	Family  Family
	Both    bool       // decide for both families, ignoring Family, by one draw and one state
	Answers int        // most members drawn, overrides the pool's own: the name's setting; 0: all
	Client  netip.Addr // the client's address: the ECS address or the packet's source
	Draw    uint64     // one random number; equal draws give equal answers
}

// Decision is the result of Decide. The addresses are in Scratch.Addrs, or an alias is in Scratch.CName.
type Decision struct {
	Mode  Mode  // for both families: IPv4's, or FailedOpen if either failed open
	Scope uint8 // ECS scope: 0 if the decision does not depend on the client; for both families the longer one
}
