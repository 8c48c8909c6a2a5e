package pools

import (
	"math/bits"
	"slices"

	"meridian/health"
	"meridian/pools/internal/bitset"
)

// state is an immutable snapshot of the members that are live: everything that a decision
// depends on beside the request, the tree's shape and the turns of round-robin. Apply
// makes the next state and swaps the pointer, so a goroutine that loaded a state reads
// one consistent state for as long as it keeps it, without a lock.
//
//	Tree.state ──► state ──► pages ──► words   for each pool its sets, see pool.state
//	                                   words   from Tree.downs on: a bit per target, set if it is down
//	                                   words   from Tree.regionDowns on: a bit per checked region
//	                                   words   from Tree.deferrals on: two bits per member, set if its ejection is deferred
//
// States share equal pages, so a health state change among a million members
// copies a few kilobytes and the collector finds one pointer for each page.
type state struct {
	tree  *Tree
	pages []*page

	memberOverrides []memberOverride // what operators set, by member; usually empty
	overrides       []Override       // the sources of memberOverrides

	starting []fraction // of the targets in slow start; usually empty
	slow     []fraction // of the members that are reduced by those or by shedding

	loads    []Load     // by load target; empty if no report has arrived
	shedding []fraction // of the members that shed load; usually empty
	bounded  []fraction // of the members that carry more than their bound; usually empty

	degraded bitset.Set // by degradedBit, see Tree.Degraded; empty if no pool is watched
}

// page holds some words of a state. At a million members, some 1,600 pages, a list
// of pages and a page cost about the same to copy.
type page [pageWords]uint64

const pageWords = 512

func (st *state) word(at uint32) uint64 { return st.pages[at/pageWords][at%pageWords] }

// selectSource returns the pool that answers for a pool that a name is bound to, and its basis:
//
//	pool is live  fallback is live  fail_open  a member is     answered by
//	yes           -                 -          -               the pool
//	no            yes               -          -               its fallback
//	no            no or none        remaining  up              the pool: its members that are up
//	no            no or none        remaining  not up, usable  the pool, as if all were up
//	no            no or none        all        usable          the pool, as if all were up
//	no            no or none        not never  not usable      NODATA
//	no            no or none        never      -               NODATA
//
// A member is usable if it is enabled, has weight and an address, and is neither
// drained nor forced down. The fallback's own fallback is not used. Clients that a
// fence holds do not get the fallback, see Scratch.source.
func (st *state) selectSource(id ID, f Family) (Mode, ID, basis) {
	p := &st.tree.pools[id]
	switch {
	case st.isLive(id, f, byVerdict):
		return Normal, id, byVerdict
	case p.fallback != none && !p.holdsAll && st.isLive(ID(p.fallback), f, byVerdict):
		return FallenBack, ID(p.fallback), byVerdict
	}
	return st.failedOpen(id, f)
}

// failedOpen is selectSource for a pool that is not live and has no live fallback.
func (st *state) failedOpen(id ID, f Family) (Mode, ID, basis) {
	p := &st.tree.pools[id]
	switch {
	case !p.failOpen:
	case !p.openAll && st.isLive(id, f, remaining):
		return FailedOpen, id, remaining
	case st.isLive(id, f, failOpen):
		return FailedOpen, id, failOpen
	}
	return Dead, id, byVerdict
}

// isLive reports whether a pool has as many eligible members as it needs. With a basis
// other than byVerdict it needs one.
func (st *state) isLive(id ID, f Family, pl basis) bool {
	n := st.countEligible(id, f, pl)
	return n >= st.need(id) || pl != byVerdict && n > 0
}

// need returns how many members must be live for a pool to be live: at least one.
func (st *state) need(id ID) int {
	p := &st.tree.pools[id]
	if p.percent {
		return int(st.word(p.needAt()))
	}
	return int(p.minUp)
}

func (st *state) countEligible(id ID, f Family, pl basis) int {
	p, n := &st.tree.pools[id], 0
	for i := range p.words {
		n += bits.OnesCount64(st.word(p.eligible(f, pl) + i))
	}
	return n
}

// gives reports whether a pool has an eligible member that can give the family.
func (st *state) gives(id ID, f Family, pl basis) bool {
	p := &st.tree.pools[id]
	for i := range p.words {
		if st.word(p.giving(f, pl)+i) != 0 {
			return true
		}
	}
	return false
}

// isUp reports whether an address may be answered.
func (st *state) isUp(r addrRef) bool { return r.target == none || !st.isDown(r.target) }

func (st *state) isDown(target uint32) bool {
	return st.word(st.tree.downs+target/64)>>(target%64)&1 != 0
}

// verdict returns a target's health state.
func (st *state) verdict(target uint32) health.Verdict {
	switch {
	case st.tree.provisional[target/64].Load()>>(target%64)&1 != 0:
		return health.Uncertain
	case st.isDown(target):
		return health.Down
	case st.tree.up[target/64].Load()>>(target%64)&1 != 0:
		return health.Up
	}
	return health.Unknown
}

// builder is the next state under construction. Callers hold Tree.writing.
type builder struct {
	*state        // as far as it is built
	from   *state // the previous state; pages that both share must not be written

	dirty  [][]ID // by height: pools to recompute
	queued []bool // by pool: it is in dirty

	restarted []fraction // of targets, not yet in the state
	stale     []uint32   // members with fractions to recompute
	staleIn   []ID       // pools with slow members to recompute

	cause ejecting
}

// begin starts from a state.
func (d *builder) begin(from *state) { d.state, d.from = from, from }

// setWord sets or clears a bit of a word and reports whether that changed it.
func (d *builder) setWord(at uint32, bit uint64, on bool) bool {
	old := d.word(at)
	if old&bit != 0 == on {
		return false
	}
	d.setBit(at, old^bit)
	return true
}

// setBit writes a word.
func (d *builder) setBit(at uint32, word uint64) {
	d.copyOnWrite()
	p := &d.pages[at/pageWords]
	if *p == d.from.pages[at/pageWords] {
		copied := **p
		*p = &copied
	}
	(*p)[at%pageWords] = word
}

// copyOnWrite copies the state before its first change.
func (d *builder) copyOnWrite() {
	if d.state == d.from {
		next := *d.from
		next.pages = slices.Clone(d.from.pages)
		d.state = &next
	}
}

// markDirty queues a pool to be recomputed.
func (d *builder) markDirty(id ID) {
	if !d.queued[id] {
		d.queued[id] = true
		h := d.tree.pools[id].height
		d.dirty[h] = append(d.dirty[h], id)
	}
}
