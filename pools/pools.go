// Package pools steers: it decides which addresses answer a client.
package pools

import (
	"net/netip"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
)

// Family is an address family.
type Family uint8

// The families, in the order in which per-family tables are indexed.
const (
	IPv4 Family = iota
	IPv6
)

// ID is the index of a pool in the configuration's Pools.
type ID uint32

// Tree is all pools, compiled. Its shape never changes; which members are live
// follows the verdicts given to Apply. Decide and Explain may run on any
// number of goroutines beside one another and beside Apply.
type Tree struct{}

// Compile compiles cfg's pools; every target counts as up until Apply says otherwise.
func Compile(cfg *config.Config, where *geo.Locator) (*Tree, error) { panic("skeleton") }

// Targets is what must be probed, each distinct (check, address) once. Do not change it.
func (t *Tree) Targets() []health.Target { panic("skeleton") }

// Apply takes turns over into the pools that they concern, and only those.
// Turn.Index is an index of Targets. The changes say which pools bound to names
// began or ended to fail open or to use their fallback.
func (t *Tree) Apply(turns []health.Turn) []Change { panic("skeleton") }

// Change is a pool's turning from one Mode to another for a family.
type Change struct {
	Pool     string
	Family   Family
	From, To Mode
}

// Mode is how a pool that a name is bound to answers.
type Mode uint8

// The modes.
const (
	Normal     Mode = iota // the pool is live
	FallenBack             // its fallback answers
	FailedOpen             // as if every enabled member with weight were up
	Dead                   // NODATA: fail_open is false, or no member is enabled
)

func (m Mode) String() string {
	return [...]string{"normal", "fallback", "fail-open", "nodata"}[m]
}

// Question is the input of a decision beside the tree and its verdicts.
type Question struct {
	Pool    ID
	Family  Family
	Answers int        // most addresses: the name's setting; 0: all
	Client  netip.Addr // who is to be served: the ECS address or the packet's source
	Draw    uint64     // one random number; equal draws give equal answers
}

// Decision is what Decide found. The addresses are in Scratch.Addrs.
type Decision struct {
	Mode  Mode
	Scope uint8 // ECS scope: 0 when the decision did not look at the client
}

// Scratch is a worker's own memory: Decide's output, the turns of round-robin
// pools, and what recursion needs. Not for concurrent use. Made by Tree.Scratch
// for one tree.
type Scratch struct {
	Addrs []netip.Addr // the answer of the last Decide, all of the asked family; valid until the next
}

// Scratch makes the scratch of one worker.
func (t *Tree) Scratch() *Scratch { panic("skeleton") }

// Decide is the one pure decision function (DESIGN 1): it neither locks, nor allocates, nor calls out. An empty s.Addrs is NODATA.
func (t *Tree) Decide(q Question, s *Scratch) Decision { panic("skeleton") }

// Explain is Decide, recorded.
func (t *Tree) Explain(q Question, s *Scratch) (Decision, []Step) { panic("skeleton") }

// Step is a member as the decision looked at it.
type Step struct {
	Pool       string   `json:"pool"`
	Policy     string   `json:"policy"`
	Member     string   `json:"member"`
	Region     string   `json:"region,omitempty"`
	Verdict    string   `json:"verdict"` // unknown up down disabled ...
	Eligible   bool     `json:"eligible"`
	Chosen     bool     `json:"chosen"`
	Reason     string   `json:"reason"`
	DistanceKm *float64 `json:"distance_km,omitempty"`
	Weight     *int     `json:"weight,omitempty"`
}
