package pools

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"meridian/config"
)

// mayAnswer returns every address that a walk of a pool may answer, whatever its policies
// choose:
//
//	a member that is                              when as it is   when failing open
//	disabled, drained, forced down, of weight 0   nothing         nothing
//	assumed down, or in a region that is down     nothing         all of the family
//	forced up                                     all of it       all of it
//	none of these                                 the up ones     all of it
//	a pool, where an endpoint would have any      what that may   what that may
func (r reference) mayAnswer(p *config.Pool, f Family, pl basis, may map[netip.Addr]bool) {
	for i := range p.Members {
		m := &p.Members[i]
		kind := r.kind(m)
		switch {
		case !m.Enabled, m.Weight == 0, kind == Drained, kind == ForcedDown:
			continue
		case pl != failOpen && (kind == AssumedDown || kind == 0 && r.regionDown(m.Region)):
			continue
		case m.Pool != "":
			r.mayAnswer(r.pool(m.Pool), f, pl, may)
		}
		for _, a := range of(m, f) {
			may[a] = may[a] || pl == failOpen || kind == ForcedUp || !r.down[a]
		}
	}
}

// TestDecisionsNeverAnswerForbiddenAddresses checks over random worlds of all policies that no answer
// has an address of the wrong family, or of a member that is disabled, drained or of weight
// 0, directly or through a nested pool; or a down one, unless the pool fails open,
// which it does only if it may and is not live, or an operator forced the member up.
func TestDecisionsNeverAnswerForbiddenAddresses(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld+roundTripsOfTheWorld))
	modes := map[Mode]int{}
	for range rounds(12) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		for range 5 {
			stir(rnd, tree, r)
			for id := range cfg.Pools {
				checkAnswers(t, rnd, tree, *r, ID(id), modes)
			}
			if t.Failed() {
				t.Fatalf("seed %d, down %v, overrides %+v, loads %v, world:\n%s", seed, r.down, r.overrides, r.loads, text)
			}
		}
	}
	if !raceEnabled && (modes[Normal] < 500 || modes[FailedOpen] < 50) {
		t.Errorf("this tests little: %v", modes)
	}
}

// checkAnswers asks a pool from several clients, and counts the modes.
func checkAnswers(t *testing.T, rnd *rand.Rand, tree *Tree, r reference, id ID, modes map[Mode]int) {
	t.Helper()
	p := &r.cfg.Pools[id]
	s := tree.Scratch()
	for _, f := range []Family{IPv4, IPv6} {
		live := r.poolLive(p, f, byVerdict)
		may := [...]map[netip.Addr]bool{{}, {}}
		r.mayAnswer(p, f, byVerdict, may[byVerdict])
		r.mayAnswer(p, f, failOpen, may[failOpen])
		for range 15 {
			q := Request{Pool: id, Family: f, Answers: rnd.IntN(4), Draw: rnd.Uint64(), Client: publicClient(rnd)}
			d := tree.Decide(q, s)
			modes[d.Mode]++
			allowed := may[byVerdict]
			switch d.Mode {
			case FallenBack:
				allowed = map[netip.Addr]bool{}
				r.mayAnswer(r.pool(p.Fallback), f, byVerdict, allowed)
			case FailedOpen:
				allowed = may[failOpen]
			case Dead:
				allowed = nil
			}
			if hasOpen(r.cfg) && d.Mode == FailedOpen {
				allowed = may[failOpen]
				if p.Fallback != "" {
					r.mayAnswer(r.pool(p.Fallback), f, failOpen, allowed)
				}
			} else if d.Mode != Normal && live || d.Mode == FailedOpen && p.FailOpen == config.NeverOpen {
				t.Errorf("%+v: mode %s; the pool is live %v, and may fail open %v", q, d.Mode, live, p.FailOpen)
			}
			for _, a := range s.Addrs {
				if !allowed[a] || a.Is4() != (f == IPv4) {
					t.Errorf("%+v: mode %s, got %s, which must not be answered; allowed are %v", q, d.Mode, a, allowed)
				}
			}
		}
	}
}
