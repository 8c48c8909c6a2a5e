package pools

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
)

// heldTree is ten members of which two were withdrawn at noon and a second later,
// and the third and fourth are withheld since.
func heldTree(t *testing.T) *Tree {
	tree := bounded(t, quarter, tenMembers)
	for i := range 4 {
		turnAt(tree, i, health.Up, health.Down, noon.Add(time.Duration(i)*time.Second))
	}
	expect(t, "held", standing(tree), "--??++++++")
	return tree
}

// TestWhatIsWithheldFitsWhenItIsSaidTo: the reference is Tick, a second at a time.
func TestWhatIsWithheldFitsWhenItIsSaidTo(t *testing.T) {
	for _, c := range []struct {
		behaviour string
		limit     config.MaxWithdraw
		world     string
		down      int // turn down, a second apart; the last one is withheld
		want      time.Duration
	}{
		{"when the oldest leaves the window", quarter, tenMembers, 3, time.Minute},
		{"when all others have left, where two turn at once", quarter, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.3\n", 2, time.Minute},
		{"when it fits in the pool that has the least room", quarter, "pool web weighted\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\npool other weighted\n  b 192.0.2.2\n  c 192.0.2.3\n", 2, time.Minute},
		{"of regions", quarter, "region near 0 0 0 192.0.2.1\nregion far 0 0 0 192.0.2.2\npool web weighted\n  a 192.0.2.9\n", 3, time.Minute + time.Second},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := bounded(t, c.limit, c.world)
			for i := range c.down {
				turnAt(tree, i, health.Up, health.Down, noon.Add(time.Duration(i)*time.Second))
			}
			now, last := noon.Add(10*time.Second), c.down-1
			expect(t, "earliest", tree.Fits(last, now).Sub(noon), c.want)
			for tree.state.Load().withheldTurn(uint32(last)) != nil && now.Before(noon.Add(time.Hour)) {
				now = now.Add(time.Second)
				tree.Tick(now)
			}
			expect(t, "heeded", now.Sub(noon), c.want)
		})
	}
}

func TestSinceWhenALateOneCountsAsDown(t *testing.T) {
	tree, at := heldTree(t), noon.Add(time.Minute)
	heeded := func(tree *Tree, member int) time.Time {
		for p := range tree.Status() {
			return p.Members[member].Addresses[0].Heeded
		}
		return time.Time{}
	}
	expect(t, "withheld", heeded(tree, 2), time.Time{})
	tree.Tick(at)
	expect(t, "after", standing(tree), "---?++++++")
	expect(t, "heeded", heeded(tree, 2), at)
	expect(t, "one that was never withheld", heeded(tree, 0), time.Time{})

	file, err := json.Marshal(tree.Withdrawals())
	if err != nil {
		t.Fatal(err)
	}
	var kept Withdrawals
	if err := json.Unmarshal(file, &kept); err != nil {
		t.Fatal(err)
	}
	again := compile(t, tree.cfg)
	again.Recall(kept, at.Add(time.Second))
	next := compile(t, tree.cfg)
	next.Inherit(tree)
	for name, tree := range map[string]*Tree{"after a restart": again, "after a reload": next} {
		expect(t, name+", before its verdict is known", heeded(tree, 2), time.Time{})
		turnAt(tree, 2, health.Unknown, health.Down, noon)
		expect(t, name, heeded(tree, 2), at)
	}
	turnAt(tree, 2, health.Down, health.Up, at.Add(time.Second))
	turnAt(tree, 2, health.Up, health.Down, at.Add(time.Hour))
	expect(t, "the next time", heeded(tree, 2), time.Time{})
}

func TestWithoutTheBoundWhatWasWithheldIsHeededFromThenOn(t *testing.T) {
	tree := heldTree(t)
	cfg := world(t, tenMembers)
	next := compile(t, cfg)
	begun := time.Now()
	next.Inherit(tree)
	turnAll(next, health.Unknown, health.Down)
	for p := range next.Status() {
		if at := p.Members[2].Addresses[0].Heeded; at.Before(begun) {
			t.Errorf("since %v", at)
		}
		expect(t, "of one that was never withheld", p.Members[0].Addresses[0].Heeded, time.Time{})
	}
}

func TestATreeTellsWhatBecameOfWhatAnotherWithheld(t *testing.T) {
	tree := heldTree(t)
	turnAt(tree, 4, health.Up, health.Down, noon.Add(5*time.Second))
	cfg := world(t, "pool web weighted\n  m2 192.0.2.2\n  m3 192.0.2.3\n")
	next := compile(t, cfg)
	turnAt(next, 0, health.Unknown, health.Down, noon)
	got := ""
	for _, h := range next.Ends(tree.Withheld()) {
		got += fmt.Sprintf("%s %s %s\n", h.Turn.Target.Addr, h.Users[0].Member, h.Ended)
	}
	expect(t, "told", got, "192.0.2.2 m2 heeded\n192.0.2.3 m3 recovered\n192.0.2.4 m4 forgotten\n")
}
