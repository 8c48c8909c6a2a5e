package pools

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"meridian/config"
)

// networksThatMove counts the client networks, of n, that two trees answer differently.
func networksThatMove(t *testing.T, a, b *Tree, n int) (moved int) {
	t.Helper()
	s, r := a.Scratch(), b.Scratch()
	for i := range n {
		client := fmt.Sprintf("11.%d.%d.7", i/256, i%256)
		a.Decide(ask(t, a, "web", IPv4, client), s)
		b.Decide(ask(t, b, "web", IPv4, client), r)
		if answerOf(s) != answerOf(r) {
			moved++
		}
	}
	return moved
}

// TestEditOfOtherPoolMovesNoClient checks that shedding and slow start select clients
// by names, and not by positions of pools and members in memory.
func TestEditOfOtherPoolMovesNoClient(t *testing.T) {
	const other = "pool aaa weighted\n  x 192.0.2.99\n  y 192.0.2.98\n"
	for _, c := range []struct{ behaviour, head, pool, edited string }{
		{"proximity", nearMidFar, "pool web proximity\n  a region=near 192.0.2.1\n  b region=mid 192.0.2.2\n  c region=far 192.0.2.3\n", ""},
		{
			"proximity, members in another order", nearMidFar, "pool web proximity\n  a region=near 192.0.2.1\n  b region=mid 192.0.2.2\n",
			"pool web proximity\n  b region=mid 192.0.2.2\n  a region=near 192.0.2.1\n",
		},
		{"failover", "", "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", ""},
	} {
		if c.edited == "" {
			c.edited = other + c.pool
		}
		make := func(text string) *Tree {
			return compile(t, shedding(loaded(t, world(t, c.head+text), "web/a=100")))
		}
		shed := make(c.pool)
		for at := range 30 {
			report(shed, 60*at, 80)
		}
		next := make(c.edited)
		next.CarryOver(shed)
		expect(t, c.behaviour+", shed: networks that move", networksThatMove(t, shed, next, 2000), 0)
		slow, edited := make(c.pool), make(c.edited)
		start(t, slow, 128, "web/a")
		start(t, edited, 128, "web/a")
		expect(t, c.behaviour+", slow start: networks that move", networksThatMove(t, slow, edited, 2000), 0)
		if n := networksThatMove(t, slow, make(c.pool), 2000); n < 200 {
			t.Errorf("%s: a slow start moves %d of 2000 networks", c.behaviour, n)
		}
	}
}

// restarted returns the tree of a process that starts with the state that another saved.
func restarted(t *testing.T, cfg *config.Config, saved LoadMemory, at time.Time) *Tree {
	t.Helper()
	text, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	var read LoadMemory
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	tree := compile(t, cfg)
	tree.RestoreLoads(read, at)
	return tree
}

// TestRestartedNodeShedsLikeItsPeer checks this at once, and during further reports with changing loads.
func TestRestartedNodeShedsLikeItsPeer(t *testing.T) {
	for _, text := range []string{threeRegions, "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n", "pool web hash bound=110\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n"} {
		cfg := shedding(loaded(t, world(t, text), "web/a=100", "web/b=1000"))
		runs := compile(t, cfg)
		loads := func(at int) []float64 { return []float64{80 + float64(at%7), 20 + float64(at%5)} }
		at := 0
		for ; at < 100; at++ {
			report(runs, 10*at, loads(at)...)
		}
		saved := runs.LoadMemory()
		node := restarted(t, cfg, saved, time.Unix(int64(10*at-5), 0))
		expect(t, "networks that differ after the start", networksThatMove(t, runs, node, 2000), 0)
		for range 5 {
			report(runs, 10*at, loads(at)...)
			report(node, 10*at, loads(at)...)
			expect(t, "networks that differ after a report", networksThatMove(t, runs, node, 2000), 0)
			at++
		}
		// Reports missed while it is down make only a small difference, for two intervals.
		saved = runs.LoadMemory()
		for range 3 {
			report(runs, 10*at, loads(at)...)
			at++
		}
		node = restarted(t, cfg, saved, time.Unix(int64(10*at-5), 0))
		for range 2 {
			report(runs, 10*at, loads(at)...)
			report(node, 10*at, loads(at)...)
			at++
		}
		if n := networksThatMove(t, runs, node, 2000); n > 40 {
			t.Errorf("%d of 2000 networks differ two intervals after a start", n)
		}
	}
}

func TestRestartedNodeBalancesLikeItsPeer(t *testing.T) {
	cfg := loaded(t, world(t, three), "web/a=100", "web/b=200", "web/c=100")
	runs := compile(t, cfg)
	for at := range 50 {
		report(runs, 10*at, 30, 120, 40)
	}
	node := restarted(t, cfg, runs.LoadMemory(), time.Unix(495, 0))
	report(runs, 500, 31, 118, 42)
	report(node, 500, 31, 118, 42)
	q := ask(t, runs, "web", IPv4, "11.0.0.1")
	want := oddsOf(t, runs, q)
	for addr, p := range oddsOf(t, node, q) {
		if d := p - want[addr]; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s has %.4f, on the node that ran on %.4f", addr, p, want[addr])
		}
	}
}

// TestRestoredLoadsExpire checks that without reports a part is kept for as long as the last report would be fresh.
func TestRestoredLoadsExpire(t *testing.T) {
	cfg := shedding(loaded(t, world(t, threeRegions), "web/a=100"))
	cfg.Loads[0].Stale = time.Minute
	runs := compile(t, cfg)
	for at := range 30 {
		report(runs, 60*at, 80)
	}
	now := time.Now()
	saved := runs.LoadMemory()
	saved.Shedding[0].At, saved.Shedding[0].Since = now, now
	node := restarted(t, cfg, saved, now)
	report(node, 0, -1)
	expect(t, "networks that differ without a report", networksThatMove(t, runs, node, 500), 0)
	node.Tick(now.Add(59 * time.Second))
	expect(t, "networks that differ after 59 s", networksThatMove(t, runs, node, 500), 0)
	node.Tick(now.Add(time.Minute))
	expect(t, "members that shed", len(node.state.Load().slow), 0)
}

func TestImpossibleLoadMemoryIsDropped(t *testing.T) {
	cfg := shedding(loaded(t, world(t, threeRegions), "web/a=100"))
	runs := compile(t, cfg)
	for at := range 30 {
		report(runs, 60*at, 80)
	}
	now := time.Unix(60*30, 0)
	for name, change := range map[string]func(*ShedMemory){
		"kept above 1":   func(s *ShedMemory) { s.Kept = 1.5 },
		"within below 0": func(s *ShedMemory) { s.Within = -1 },
		"demand below 0": func(s *ShedMemory) { s.Demand = -1 },
		"share above 1":  func(s *ShedMemory) { s.Share = 2 },
		"old":            func(s *ShedMemory) { s.At = now.Add(-time.Hour) },
		"other pool":     func(s *ShedMemory) { s.Pool = "gone" },
	} {
		saved := runs.LoadMemory()
		saved.Shedding = slices.Clone(saved.Shedding)
		change(&saved.Shedding[0])
		node := restarted(t, cfg, saved, now)
		expect(t, name+": members that shed", len(node.state.Load().slow), 0)
	}
}

func FuzzLoadMemory(f *testing.F) {
	f.Add([]byte(`{"shedding":[{"pool":"web","region":"near","kept":0.5,"within":1,"reported":"2026-01-01T00:00:00Z","share":0.5,"traffic":0.6,"since":"2026-01-01T00:00:00Z","demand":80}]}`))
	f.Add([]byte(`{"balanced":[{"pool":"web","member":"a","reported":"2026-01-01T00:00:00Z","share":0.5,"traffic":1e-300,"since":"2036-01-01T00:00:00Z","demand":1e308}]}`))
	cfg := shedding(loaded(f, world(f, threeRegions+"pool least least-load\n  a 192.0.2.1\n  b 192.0.2.2\n"), "web/a=100", "least/a=100", "least/b=50"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var saved LoadMemory
		if json.Unmarshal(text, &saved) != nil {
			return
		}
		tree := compile(t, cfg)
		tree.RestoreLoads(saved, time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC))
		report(tree, 1767225700, 80, 50, 20)
		report(tree, 1767225800, 80, 50, 20)
		for _, pool := range []string{"web", "least"} {
			sum := 0.
			for _, p := range oddsOf(t, tree, ask(t, tree, pool, IPv4, "11.0.0.1")) {
				sum += p
			}
			if sum < 0.999 || sum > 1.001 {
				t.Errorf("%s: the odds add up to %v", pool, sum)
			}
		}
	})
}
