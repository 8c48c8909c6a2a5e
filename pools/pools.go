// Package pools steers: it decides which addresses answer a client.
//
// A pool is one policy over members; a member is an endpoint, which has
// addresses, or another pool. All pools of a configuration are one [Tree]:
//
//	name ──► pool "web" (proximity)
//	           ├─ us-east ─┬─ use-1   192.0.2.10  2001:db8:1::10
//	           │           └─ use-2   192.0.2.11
//	           ├─ eu-west ─── euw-1   198.51.100.10
//	           └─ ap-south ── aps ──► pool "web-india" (weighted)
//	                                    ├─ bom-1   203.0.113.10
//	                                    └─ bom-2   203.0.113.11
//
// The words, which are those of the configuration: a member is live, which is
// to say eligible, for a family when it is enabled, has weight, and its address
// of that family is up (or, where it has none of that family, its other one
// is). A pool is live when min_up of its members are. Parents see only that.
//
// A group is the members of one pool that share a region; those without a
// region are one group too. Policies choose among eligible members whatever
// families they have, so that the A and the AAAA of a client lead to one region;
// only then, inside the group, is a member looked for that has the family.
//
// # How it is laid out
//
// [Compile] numbers pools, members, addresses and targets and puts each kind in
// one flat slice without pointers, so that a million members cost the garbage
// collector nothing. Which members are live is a bit set for each pool and
// family, and a second one, which no verdict changes, says what failing open
// may choose from:
//
//	verdict turns ──► Apply ──► bits of the pools that have the target,
//	                            then of their parents, then no further
//	question ──► Decide ──► reads those bits, all of one state
//
// Those bits are never changed in place. Apply, under a lock that only writers
// take, makes the next state beside the present one and swaps a pointer. Decide
// takes no lock: it loads the pointer once and goes by that state to its end, so
// that turns meanwhile are seen wholly or not at all, in all pools alike.
//
// # Where policies live
//
// Each policy is a file with its truth table: proximity.go, geolocation.go,
// weighted.go, roundrobin.go, failover.go, hash.go, fastest.go, latency.go, all.go. A policy
// narrows what may be chosen from, or chooses from it, or both, and tells the
// chances of its choice; policy.go lists which. The rest (families, `answers`,
// nesting, fallback, failing open) is decide.go's and the same for all, and [Tree.Odds]
// is the same walk with chances in place of draws.
package pools

import "net/netip"

// Family is an address family.
type Family uint8

// The families, in the order in which per-family tables are indexed.
const (
	IPv4 Family = iota
	IPv6
)

func (f Family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// ID is the index of a pool in the configuration's Pools.
type ID uint32

// Mode is how a pool that a name is bound to answers.
type Mode uint8

// The modes.
const (
	Normal     Mode = iota // the pool is live
	FallenBack             // its fallback answers
	FailedOpen             // members answer though the pool is not live, or a match though it has none eligible; see config.FailOpen, config.Open
	Dead                   // NODATA: fail_open is never, or no member can be answered
)

func (m Mode) String() string {
	return [...]string{"normal", "fallback", "fail-open", "nodata"}[m]
}

// Request is the input of a decision beside the tree and its verdicts.
type Request struct {
	Pool    ID
	Family  Family
	Both    bool       // decide for both families, whatever Family is, by one draw and one state
	Answers int        // most members drawn, in place of the pool's own: the name's setting; 0: all
	Client  netip.Addr // who is to be served: the ECS address or the packet's source
	Draw    uint64     // one random number; equal draws give equal answers
}

// Decision is what Decide found. The addresses are in Scratch.Addrs, or an alias is in Scratch.CName.
type Decision struct {
	Mode  Mode  // for both families: IPv4's, or FailedOpen where either did
	Scope uint8 // ECS scope: 0 when the decision did not look at the client; for both families the longer one
}
