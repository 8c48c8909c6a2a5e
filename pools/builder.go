package pools

import (
	"math/bits"
	"slices"

	"meridian/health"
)

// state is who is live at one moment: all that a decision depends on beside the
// question, the tree's shape and the turns of round-robin. It never changes.
// Apply makes the next one and swaps the pointer, so whoever loaded it reads one
// consistent state for as long as it likes, from any goroutine and without a lock.
//
//	Tree.state ──► state ──► pages ──► words   for each pool its sets, see pool.state
//	                                   words   from Tree.downs on: a bit a target, whether it is down
//	                                   words   from Tree.regionDowns on: a bit a region that is checked
//	                           words   from Tree.deferrals on: two bits a member, whether its ejection is deferred
//
// States share the pages that are equal, so that a turn among a million members
// copies some kilobytes and the collector finds one pointer for each page.
type state struct {
	tree  *Tree
	pages []*page

	memberOverrides []memberOverride // what operators set by hand, by member; mostly none
	overrides       []Override       // where hands come from

	starting []fraction // of the targets that start slowly; mostly none
	slow     []fraction // of the members that do, by those, or shed

	loads    []Load     // by load target; empty: no report has come
	shedding []fraction // of the members that shed; mostly none
	bounded  []fraction // of those that carry more than their bound; mostly none
}

// page is some words of a state. At a million members, some 1,600 pages, a list
// of pages and a page are about equally dear to copy.
type page [pageWords]uint64

const pageWords = 512

func (st *state) word(at uint32) uint64 { return st.pages[at/pageWords][at%pageWords] }

// selectSource returns which pool answers for a pool that a name is bound to, and on which plane:
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
// A member is usable when it is enabled, has weight and an address, and is neither
// drained nor forced down. The fallback's own fallback is not asked. Clients that a
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

// failedOpen is answerer for a pool that is not live and has no fallback.
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

// isLive reports whether a pool has as many eligible members as it needs. On the
// other planes than asIs it needs one.
func (st *state) isLive(id ID, f Family, pl basis) bool {
	n := st.countEligible(id, f, pl)
	return n >= st.need(id) || pl != byVerdict && n > 0
}

// need is how many members must be live for a pool to be: never none.
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

// verdict is a target's verdict.
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

// builder is the next state while it is made. Who uses it holds Tree.writing.
type builder struct {
	*state        // as far as it is made
	from   *state // the one before; what the two have in common is not to be written

	dirty  [][]ID // by height: pools to look at again
	queued []bool // by pool: it is in dirty

	restarted []fraction // of targets, not yet in the state
	stale     []uint32   // members whose shares are to be worked out again
	staleIn   []ID       // pools of whose slow members that is so

	cause ejecting
}

// begin starts from a state.
func (d *builder) begin(from *state) { d.state, d.from = from, from }

// setWord sets or clears a bit of the word at some place and reports whether that changed it.
func (d *builder) setWord(at uint32, bit uint64, on bool) bool {
	old := d.word(at)
	if old&bit != 0 == on {
		return false
	}
	d.setBit(at, old^bit)
	return true
}

// setBit writes the word at some place.
func (d *builder) setBit(at uint32, word uint64) {
	d.copyOnWrite()
	p := &d.pages[at/pageWords]
	if *p == d.from.pages[at/pageWords] {
		copied := **p
		*p = &copied
	}
	(*p)[at%pageWords] = word
}

// copyOnWrite makes the state one that may be written to.
func (d *builder) copyOnWrite() {
	if d.state == d.from {
		next := *d.from
		next.pages = slices.Clone(d.from.pages)
		d.state = &next
	}
}

// markDirty puts a pool on the list of those to settle.
func (d *builder) markDirty(id ID) {
	if !d.queued[id] {
		d.queued[id] = true
		h := d.tree.pools[id].height
		d.dirty[h] = append(d.dirty[h], id)
	}
}
