package rollout

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pushSplit pushes a generation for five percent of the clients, and gives the nodes time to follow.
func pushSplit(t *testing.T, n *testNode, text string) (Manifest, error) {
	t.Helper()
	m, err := n.Push(t.Context(), Request{Text: text, Parts: 500, For: time.Minute, Manifest: Manifest{Source: "api", Owner: "alice"}})
	time.Sleep(3 * period)
	return m, err
}

// wantSplit checks what nodes serve to most of the clients, and to the share; empty: the same.
func wantSplit(t *testing.T, what string, nodes map[string]*testNode, text, split string) {
	t.Helper()
	for name, n := range nodes {
		n.mu.Lock()
		if n.text != text || n.split != split || (n.parts == 500) != (split != "") {
			t.Errorf("%s: %s serves %q, and %q to %d parts; want %q and %q", what, name, n.text, n.split, n.parts, text, split)
		}
		n.mu.Unlock()
	}
}

func TestShareOfClientsGetsAGenerationBeforeTheOthers(t *testing.T) {
	inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		if _, err := pushSplit(t, nodes["a"], "one"); err == nil || !strings.Contains(err.Error(), "push the first one without a canary") {
			t.Errorf("the first generation: %v", err)
		}
		push(t, nodes["a"], "one")
		second, err := pushSplit(t, nodes["a"], "two")
		if err != nil {
			t.Fatal(err)
		}
		wantSplit(t, "with a canary", nodes, "one", "two")
		acks := nodes["c"].Await(t.Context(), second.Number)
		for _, a := range acks {
			if a.State != Serving || a.Generation != second.Number {
				t.Errorf("%+v", a)
			}
		}
		if s := nodes["b"].Status(); len(acks) != 3 || len(s.Skew) != 0 || s.Target.Generation != 1 || s.Target.Canary.String() != "5% of the clients" {
			t.Errorf("%d acknowledgements, %+v", len(acks), s)
		}
		for _, n := range nodes {
			if n.Generation() != 1 {
				t.Errorf("%s serves generation %d, want 1", n.Name, n.Generation())
			}
		}
		_, err = nodes["c"].Push(t.Context(), Request{Text: "three", Manifest: Manifest{Owner: "bob"}})
		if err == nil || !strings.Contains(err.Error(), "generation 2 is a canary on 5% of the clients, pushed by alice") {
			t.Errorf("a push during a canary: %v", err)
		}
		time.Sleep(time.Minute)
		wantSplit(t, "after its time", nodes, "two", "")
		if s := nodes["b"].Status(); s.Target.Generation != 2 || s.Target.Previous != 1 || s.Target.Canary != nil {
			t.Errorf("%+v", s.Target)
		}
	})
}

// A canary ends on all nodes when one rejects it or breaks a guardrail, or an operator ends it; what serves stays.
func TestShareOfClientsIsRolledBack(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, nodes map[string]*testNode){
		"rejected": func(_ *testing.T, nodes map[string]*testNode) { nodes["c"].set(func() { nodes["c"].refuses = "two" }) },
		"guardrail": func(_ *testing.T, nodes map[string]*testNode) {
			nodes["b"].set(func() { nodes["b"].breach = "answers SERVFAIL" })
		},
		"operator": func(t *testing.T, nodes map[string]*testNode) {
			if canceled, err := nodes["a"].CancelCanary(t.Context(), "bob", "a typing error"); err != nil || !canceled {
				t.Errorf("%v, %v", canceled, err)
			}
		},
	} {
		inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
			push(t, nodes["a"], "one")
			if what == "rejected" {
				end(t, nodes)
			}
			if _, err := pushSplit(t, nodes["a"], "two"); err != nil {
				t.Fatal(err)
			}
			if what != "rejected" {
				wantSplit(t, what, nodes, "one", "two")
				end(t, nodes)
			}
			time.Sleep(3 * period)
			wantSplit(t, what, nodes, "one", "")
			if s := nodes["a"].Status(); s.Target.Canary != nil || s.Target.Generation != 1 || s.Target.Reason == "" {
				t.Errorf("%s: %+v", what, s.Target)
			}
			nodes["c"].set(func() { nodes["c"].refuses = "" })
			nodes["b"].set(func() { nodes["b"].breach = "" })
			push(t, nodes["a"], "three")
			wantSplit(t, what, nodes, "three", "")
		})
	}
}

// A node that starts in the middle of a canary serves what the others serve. All nodes that are alive must serve it before all
// clients get it; one that is away does not matter.
func TestNodesJoinAndLeaveDuringACanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := clusterOf("a", "b", "c")
		live := func(alive ...string) []string {
			for _, n := range nodes {
				n.alive.Store(&alive)
			}
			return alive
		}
		alive := live("a", "b")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, name := range alive {
			running.Go(func() { nodes[name].Run(ctx) })
		}
		push(t, nodes["a"], "one")
		if _, err := pushSplit(t, nodes["a"], "two"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		live("a", "b", "c") // c is alive, and does not follow yet
		time.Sleep(time.Minute)
		wantSplit(t, "before c follows", map[string]*testNode{"a": nodes["a"], "b": nodes["b"]}, "one", "two")
		if s := nodes["a"].Status(); s.Target.Canary == nil {
			t.Fatalf("all clients have generation 2 before c does: %+v", s.Target)
		}
		if err := nodes["c"].step(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantSplit(t, "when c follows", map[string]*testNode{"c": nodes["c"]}, "one", "two")
		running.Go(func() { nodes["c"].Run(ctx) })
		time.Sleep(3 * period)
		wantSplit(t, "when all follow", nodes, "two", "")
		stop()
		running.Wait()
	})
}

// A node of an earlier version does not say that it can serve two generations, and a share is refused while it is alive.
func TestShareOfClientsNeedsNodesThatCanSplit(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		nodes["a"].alive.Store(&[]string{"a", "b", "old"})
		nodes["a"].Node.mu.Lock()
		nodes["a"].acks["old"] = Ack{Generation: 1, State: Serving}
		nodes["a"].Node.mu.Unlock()
		if old := nodes["a"].cannotSplit(); strings.Join(old, " ") != "old" {
			t.Errorf("%v", old)
		}
		err := nodes["a"].mayPush(t.Context(), &Target{Generation: 1}, &Request{Parts: 500})
		if err == nil || !strings.Contains(err.Error(), "these nodes run a version that serves one generation only: old; upgrade them, or push with --canary NODE") {
			t.Errorf("%v", err)
		}
	})
}
