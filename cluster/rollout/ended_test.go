package rollout

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestEndedCanariesAreKeptWithTheirReason ends canaries on nodes and on shares of the clients in every way.
func TestEndedCanariesAreKeptWithTheirReason(t *testing.T) {
	for what, c := range map[string]struct {
		end             func(t *testing.T, nodes map[string]*testNode)
		result, by, why string
		last            bool // it is the last thing that happened to the shared configuration
	}{
		"its time": {
			func(*testing.T, map[string]*testNode) { time.Sleep(time.Minute) }, Promoted, "", "it was served for 1m0s without a breach of a guardrail", true,
		},
		"guardrail": {
			func(_ *testing.T, nodes map[string]*testNode) {
				nodes["b"].set(func() { nodes["b"].breach = `makes pool "web" fail open` })
			}, RolledBack, "b", `on b, generation 2 MORE makes pool "web" fail open`, true,
		},
		"operator": {
			func(t *testing.T, nodes map[string]*testNode) {
				if _, err := nodes["a"].CancelCanary(t.Context(), "bob", "a typing error"); err != nil {
					t.Error(err)
				}
			}, Canceled, "bob", "a typing error", true,
		},
		"rollback": {
			func(t *testing.T, nodes map[string]*testNode) {
				if _, err := nodes["c"].Push(t.Context(), Request{From: 1, Manifest: Manifest{Source: rollbackSource, Owner: "eve", Reason: "too slow"}}); err != nil {
					t.Error(err)
				}
			}, Canceled, "eve", "too slow", false,
		},
	} {
		for on, request := range map[string]Request{"b": {Canary: []string{"b"}}, "5% of the clients": {Parts: 500}} {
			inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, _ *memory, nodes map[string]*testNode) {
				push(t, nodes["a"], "one")
				request.Text, request.For, request.Manifest = "two", time.Minute, Manifest{Source: "api", Owner: "alice"}
				began := time.Now()
				if _, err := nodes["a"].Push(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * period)
				if s := nodes["c"].Status(); len(s.Target.Ended) != 0 || s.Target.LastCanary() != nil || len(nodes["c"].Awaited(&s.Target)) != 0 || !s.Target.CanaryEnd().Equal(began.Add(time.Minute)) {
					t.Errorf("%s on %s: while it serves: %+v, awaited %v", what, on, s.Target, nodes["c"].Awaited(&s.Target))
				}
				c.end(t, nodes)
				time.Sleep(3 * period)
				target := nodes["c"].Status().Target
				if len(target.Ended) != 1 {
					t.Fatalf("%s on %s: ended %+v", what, on, target.Ended)
				}
				e := target.Ended[0]
				why := strings.Replace(c.why, "MORE ", map[bool]string{false: "for " + on + " "}[on == "b"], 1)
				if e.Generation != 2 || e.String() != on || e.Result != c.result || c.by != "" && e.By != c.by || e.Why != why {
					t.Errorf("%s on %s: %+v, want %s by %s: %s", what, on, e, c.result, c.by, why)
				}
				if !e.Since.Equal(began) || !e.Until.After(began) || (target.LastCanary() != nil) != c.last {
					t.Errorf("%s on %s: %+v; began %v; last %+v", what, on, e, began, target.LastCanary())
				}
				nodes["b"].set(func() { nodes["b"].breach = "" })
				push(t, nodes["a"], "three")
				if s := nodes["b"].Status(); len(s.Target.Ended) != 1 || s.Target.LastCanary() != nil {
					t.Errorf("%s on %s: after another push: %+v", what, on, s.Target)
				}
			})
		}
	}
}

// TestAwaitedNodesAreThoseWithoutTheCanary keeps a node from following.
func TestAwaitedNodesAreThoseWithoutTheCanary(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, _ *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		nodes["a"].alive.Store(&[]string{"a", "b", "c"}) // c is alive, and follows nothing
		if _, err := pushSplit(t, nodes["a"], "two"); err != nil {
			t.Fatal(err)
		}
		s := nodes["a"].Status()
		if got := nodes["a"].Awaited(&s.Target); fmt.Sprint(got) != "[c]" {
			t.Errorf("awaited %v, want c", got)
		}
		s.Target.Canary = &Canary{Generation: 2, Nodes: []string{"b", "a"}}
		if got := nodes["a"].Awaited(&s.Target); fmt.Sprint(got) != "[a b]" {
			t.Errorf("awaited %v, want a and b, which serve generation 1 to most clients", got)
		}
	})
}

// TestPushDuringACanarySaysWhatToDo checks the error of a second push.
func TestPushDuringACanarySaysWhatToDo(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, _ *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		ends := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		push(t, nodes["a"], "two", "b")
		_, err := nodes["b"].Push(t.Context(), Request{Text: "three", Canary: []string{"a"}, Manifest: Manifest{Owner: "bob"}})
		var canary *CanaryError
		if !errors.As(err, &canary) {
			t.Fatalf("%v", err)
		}
		for _, part := range []string{"meridian config rollback", "generation 2", "after " + ends} {
			if !strings.Contains(canary.Hint(), part) {
				t.Errorf("no %q in %s", part, canary.Hint())
			}
		}
	})
}

// The target is read by all nodes each second, and stays short.
func TestEndedCanariesAreBounded(t *testing.T) {
	target := Target{Latest: 1}
	for i := range uint64(3 * keptCanaries) {
		target.Latest++
		target.Canary = &Canary{Generation: target.Latest, Parts: 1}
		before := target.Ended
		target = target.withoutCanary(RolledBack, "a", strings.Repeat("ä", int(i)*10))
		if len(before) > 0 && &before[0] == &target.Ended[0] {
			t.Fatal("the ended canaries of another target were changed")
		}
	}
	if len(target.Ended) != keptCanaries || target.LastCanary() != &target.Ended[0] || target.Ended[0].Generation != target.Latest {
		t.Errorf("%d ended canaries, the last %+v", len(target.Ended), target.Ended[0])
	}
	for _, e := range target.Ended {
		if len(e.Why) > maxWhy+len("…") || !utf8.ValidString(e.Why) {
			t.Errorf("reason of %d bytes: %q", len(e.Why), e.Why)
		}
	}
	if again := target.withoutCanary(Canceled, "a", ""); len(again.Ended) != keptCanaries || again.Ended[0].Result != RolledBack {
		t.Error("a target without a canary notes another one as ended")
	}
}
