package resolvers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"meridian/pools"
	"meridian/server/answer"
)

var (
	start   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	memberA = pools.MemberNames{Pool: "web", Member: "a", Region: "eu"}
	memberB = pools.MemberNames{Pool: "web", Member: "b", Region: "us"}
)

// observe adds an answer with a member, for one name and TTL 30.
func observe(t *Table, resolver int, member pools.MemberNames, at time.Time) {
	t.Observe(&answer.Observation{Resolver: address(resolver), Name: 1, Type: 1, TTL: 30, Members: []pools.MemberNames{member}}, at)
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}) }

// drainA returns the removals of a drain of member a.
func drainA(at time.Time) []Removal {
	return []Removal{{ID: "a", Since: at, Members: func() map[pools.MemberNames]bool { return map[pools.MemberNames]bool{memberA: true} }}}
}

// simulated is a resolver with a cache that obeys the TTL, or keeps answers for longer.
type simulated struct {
	until time.Time // of the answer in its cache
	old   bool      // it has member a
	keeps time.Duration
	pause time.Duration // between two questions of its clients
	next  time.Time
}

// TestProgressAgreesWithSimulatedCaches compares the share of clients that may have an old answer with the caches of 400
// resolvers, of which some keep answers for four times the TTL and some are asked seldom.
func TestProgressAgreesWithSimulatedCaches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table := New(1000, start)
	all := make([]simulated, 400)
	for i := range all {
		all[i] = simulated{keeps: 30 * time.Second, pause: time.Duration(1+random.IntN(20)) * time.Second, next: start.Add(time.Duration(random.IntN(300)) * time.Second)}
		switch i % 10 {
		case 0:
			all[i].keeps = 2 * time.Minute
		case 1:
			all[i].pause = 10 * time.Minute
		}
	}
	step := func(now time.Time, member pools.MemberNames) {
		for i := range all {
			r := &all[i]
			if now.Before(r.next) {
				continue
			}
			r.next = now.Add(r.pause)
			if !now.Before(r.until) {
				observe(table, i, member, now)
				r.until, r.old = now.Add(r.keeps), member == memberA
			}
		}
	}
	now := start
	for range 3600 {
		step(now, memberA)
		now = now.Add(time.Second)
	}
	table.SetRemovals(drainA(now), now)
	before := 0
	for second := range 150 {
		holding := 0
		for i := range all {
			if all[i].old && now.Before(all[i].until) {
				holding++
			}
		}
		if second == 0 {
			before = holding
		}
		p, ok := table.Progress("a", now)
		if !ok || math.Abs(p.Asked+p.Expired+p.Holding-1) > 1e-9 {
			t.Fatalf("after %d s: %+v, %v", second, p, ok)
		}
		if truth := float64(holding) / float64(before); math.Abs(p.Holding-truth) > 0.12 { // it weighs them by their queries
			t.Errorf("after %d s: %.3f may have the old answer, by the caches %.3f", second, p.Holding, truth)
		}
		if p.Holding == 0 && holding > 0 {
			t.Errorf("after %d s: none left, and %d caches have the old answer", second, holding)
		}
		if p.Until.IsZero() != (p.Holding == 0) {
			t.Errorf("after %d s: %.3f left, until %v", second, p.Holding, p.Until)
		}
		step(now, memberB)
		now = now.Add(time.Second)
	}
	if p, _ := table.Progress("a", now); p.Holding != 0 || p.Asked < 0.85 {
		t.Errorf("at the end %+v, want none left", p)
	}
	table.SetRemovals(nil, now)
	if _, ok := table.Progress("a", now); ok {
		t.Error("the drain is measured after its end")
	}
}

// TestNewAnswerToOneOfSeveralCachesProvesNothing has a resolver with many caches behind its address.
func TestNewAnswerToOneOfSeveralCachesProvesNothing(t *testing.T) {
	table, now := New(1000, start), start
	for range 100 {
		observe(table, 1, memberA, now)
		now = now.Add(time.Second)
	}
	if got := table.Statistics().Resolvers[0].Caching; got != ManyCaches {
		t.Fatalf("caching %q, want that of many caches", got)
	}
	table.SetRemovals(drainA(now), now)
	observe(table, 1, memberB, now.Add(time.Second))
	if p, _ := table.Progress("a", now.Add(2*time.Second)); p.Holding != 1 {
		t.Errorf("%+v after one new answer, want all holding", p)
	}
	if p, _ := table.Progress("a", now.Add(30*time.Second)); p.Expired != 1 {
		t.Errorf("%+v after the TTL, want all expired", p)
	}
}

func TestOldAnswersAfterADrainAreHeldAgain(t *testing.T) {
	table := New(1000, start)
	observe(table, 1, memberA, start)
	table.SetRemovals(drainA(start), start)
	observe(table, 1, memberA, start.Add(20*time.Second)) // the pool fails open
	if p, _ := table.Progress("a", start.Add(40*time.Second)); p.Holding != 1 || !p.Until.Equal(start.Add(50*time.Second)) {
		t.Errorf("%+v, want holding until 50 s", p)
	}
}

func TestDrainBeforeTheStatisticsIsNotMeasured(t *testing.T) {
	table := New(1000, start)
	table.SetRemovals(drainA(start.Add(-time.Minute)), start)
	if p, ok := table.Progress("a", start); ok {
		t.Errorf("measured: %+v", p)
	}
}

func TestCachingIsInferredFromGaps(t *testing.T) {
	for _, c := range []struct {
		gap  time.Duration
		n    int
		want Caching
	}{
		{30 * time.Second, 10, UnknownCaching},
		{30 * time.Second, 30, KeepsTTL},
		{10 * time.Minute, 30, KeepsLonger}, // or it has few clients: both need time
		{45 * time.Second, 30, KeepsTTL},
		{time.Second, 30, ManyCaches},
		{0, 30, ManyCaches},
	} {
		table, now := New(10, start), start
		for range c.n + 1 {
			observe(table, 1, memberA, now)
			now = now.Add(c.gap)
		}
		r := table.Statistics().Resolvers[0]
		if r.Caching != c.want || r.Gaps != c.n {
			t.Errorf("%d gaps of %v: caching %q of %d gaps, want %q", c.n, c.gap, r.Caching, r.Gaps, c.want)
		}
		if c.gap > 0 && (r.TypicalGap < c.gap-20*time.Millisecond || float64(r.TypicalGap) > 1.26*float64(c.gap)) {
			t.Errorf("gaps of %v: typically %v", c.gap, r.TypicalGap)
		}
	}
}

func TestTableIsBounded(t *testing.T) {
	table, now := New(100, start), start
	for i := range 1000 {
		observe(table, i, memberA, now)
		now = now.Add(time.Second)
	}
	s := table.Statistics()
	if len(s.Resolvers) != 100 || s.Evicted != 900 || s.Resolvers[0].Address != address(999) {
		t.Errorf("%d resolvers, %d evicted, the last %v", len(s.Resolvers), s.Evicted, s.Resolvers[0].Address)
	}
	for i := range 5000 { // one resolver asks for very many names, and others remain
		table.Observe(&answer.Observation{Resolver: address(999), Name: uint64(i), TTL: 30, Members: []pools.MemberNames{memberA}}, now)
		if table.answers > 100*answersPerResolver {
			t.Fatalf("%d answers after %d", table.answers, i)
		}
	}
	n := 0
	for _, r := range table.known {
		n += len(r.answers)
	}
	if n != table.answers {
		t.Errorf("%d answers counted, there are %d", table.answers, n)
	}
	table.SetMax(1)
	if len(table.known) > 1 {
		t.Errorf("%d resolvers, want one", len(table.known))
	}
}

// TestOneResolverDoesNotDisplaceOthers has one resolver that asks for more names than the table keeps answers.
func TestOneResolverDoesNotDisplaceOthers(t *testing.T) {
	table := New(20, start)
	for i := range 5 {
		observe(table, i, memberA, start)
	}
	for name := range uint64(1000) {
		table.Observe(&answer.Observation{Resolver: address(99), Name: name, Type: 1, TTL: 30}, start)
	}
	if s := table.Statistics(); len(s.Resolvers) != 6 || s.Evicted != 0 {
		t.Errorf("%d resolvers, %d evicted, want 6 and 0", len(s.Resolvers), s.Evicted)
	}
}

func TestFrequentClientsAreKept(t *testing.T) {
	table := New(10, start)
	for i := range 2000 {
		network := netip.MustParsePrefix("203.0.113.0/24")
		if i%2 == 1 {
			network = netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255))
		}
		table.Observe(&answer.Observation{Resolver: address(1), Subnet: network, Clients: network, TTL: 30}, start)
	}
	found := table.Statistics().Resolvers[0]
	if len(found.Clients) != clientNetworks || found.WithSubnet != 2000 {
		t.Errorf("%d networks, %d queries with a subnet", len(found.Clients), found.WithSubnet)
	}
	for _, c := range found.Clients {
		if c.Network == netip.MustParsePrefix("203.0.113.0/24") && c.Queries >= 1000 {
			return
		}
	}
	t.Errorf("the most frequent network is not among %v", found.Clients)
}
