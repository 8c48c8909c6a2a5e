package rollout

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a store in memory, whole and fast.
type memory struct {
	mu       sync.Mutex
	records  map[string]Value
	revision int64
	watchers []func()
	down     bool
}

var errDown = errors.New("the store does not answer")

func (m *memory) store() Store {
	return Store{
		Read: func(_ context.Context, prefix string) (map[string]Value, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.down {
				return nil, errDown
			}
			all := map[string]Value{}
			for key, v := range m.records {
				if strings.HasPrefix(key, prefix) {
					all[key] = v
				}
			}
			return all, nil
		},
		Write: m.write,
		Watch: func(ctx context.Context, changed func()) {
			m.mu.Lock()
			m.watchers = append(m.watchers, changed)
			m.mu.Unlock()
			<-ctx.Done()
		},
	}
}

func (m *memory) write(_ context.Context, c Change) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return false, errDown
	}
	for key, revision := range c.If {
		if m.records[key].Revision != revision {
			return false, nil
		}
	}
	m.revision++
	for key, data := range c.Puts {
		m.records[key] = Value{data, m.revision}
	}
	for _, prefix := range c.Deletes {
		maps.DeleteFunc(m.records, func(key string, _ Value) bool { return strings.HasPrefix(key, prefix) })
	}
	for _, changed := range m.watchers {
		changed()
	}
	return true, nil
}

// testNode is a node that serves what it is given.
type testNode struct {
	*Node
	mu       sync.Mutex
	text     string
	refuses  string // a text that it rejects
	breach   string
	split    string                   // the text that it serves to a share of the clients
	parts    uint32                   // of that
	alive    atomic.Pointer[[]string] // nil: all nodes are
	reported []string
}

// member is the node's view of what it serves.
func (n *testNode) serves() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text
}

func (n *testNode) logged(part string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(strings.Join(n.reported, "\n"), part)
}

func (n *testNode) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// clusterOf returns nodes of these names that share a store.
func clusterOf(names ...string) (*memory, map[string]*testNode) {
	m, nodes := &memory{records: map[string]Value{}}, map[string]*testNode{}
	keys, trust := map[string]ed25519.PrivateKey{}, map[string]ed25519.PublicKey{}
	for i, name := range names {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		keys[name] = ed25519.NewKeyFromSeed(seed)
		trust[name] = keys[name].Public().(ed25519.PublicKey)
	}
	for _, name := range names {
		n := &testNode{}
		n.Node = New(Options{
			Cluster: "prod", Name: name, Key: keys[name], Trust: trust, Store: m.store(), Shared: true,
			Apply: func(_ context.Context, m *Manifest, text string) error {
				n.mu.Lock()
				defer n.mu.Unlock()
				if text == n.refuses {
					return errors.New("line 7: no such file")
				}
				n.text = text
				return nil
			},
			Split: func(_ context.Context, _ *Manifest, text string, parts uint32) error {
				n.mu.Lock()
				defer n.mu.Unlock()
				if text == n.refuses {
					return errors.New("line 7: no such file")
				}
				n.split, n.parts = text, parts
				return nil
			},
			Join: func(context.Context) error {
				n.set(func() { n.split, n.parts = "", 0 })
				return nil
			},
			Digest: func() string { return HashText(n.serves()) },
			Fresh: func() []string {
				if alive := n.alive.Load(); alive != nil {
					return *alive
				}
				return names
			},
			Breach: func() string {
				n.mu.Lock()
				defer n.mu.Unlock()
				return n.breach
			},
			Report: func(_ slog.Level, _, message string) {
				n.set(func() { n.reported = append(n.reported, message) })
			},
		})
		nodes[name] = n
	}
	return m, nodes
}

// inCluster runs nodes in fake time while f runs.
func inCluster(t *testing.T, names []string, f func(t *testing.T, m *memory, nodes map[string]*testNode)) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := clusterOf(names...)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, n := range nodes {
			running.Go(func() { n.Run(ctx) })
		}
		f(t, m, nodes)
		stop()
		running.Wait()
	})
}

func push(t *testing.T, n *testNode, text string, canary ...string) Manifest {
	t.Helper()
	m, err := n.Push(t.Context(), Request{Text: text, Canary: canary, For: time.Minute, Manifest: Manifest{Source: "api", Owner: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * period)
	return m
}

// want checks what each node serves.
func want(t *testing.T, nodes map[string]*testNode, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		if got := nodes[name].serves(); got != text {
			t.Errorf("%s serves %q, want %q", name, got, text)
		}
	}
}

func TestPushReachesAllNodes(t *testing.T) {
	inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		second := push(t, nodes["b"], "two")
		want(t, nodes, map[string]string{"a": "two", "b": "two", "c": "two"})
		for _, a := range nodes["c"].Await(t.Context(), second.Number) {
			if a.State != Serving || a.Generation != 2 {
				t.Errorf("%+v", a)
			}
		}
		list, err := nodes["c"].List(t.Context())
		if err != nil || len(list) != 2 || list[0].Number != 2 || list[0].Owner != "alice" || list[0].Node != "b" {
			t.Errorf("%+v, %v", list, err)
		}
		if _, text, err := nodes["c"].Text(t.Context(), 1); err != nil || text != "one" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestRejectionTakesAGenerationBack(t *testing.T) {
	inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		nodes["b"].set(func() { nodes["b"].refuses = "two" })
		second := push(t, nodes["a"], "two")
		want(t, nodes, map[string]string{"a": "one", "b": "one", "c": "one"})
		if acks := nodes["a"].Await(t.Context(), second.Number); len(acks) != 1 || acks[0].Node != "b" || acks[0].State != Rejected {
			t.Errorf("acknowledgements %+v, want that of b", acks)
		}
		target := nodes["a"].Status().Target
		if target.Generation != 3 || target.Owner != "b" || !strings.Contains(target.Reason, "b rejected generation 2: line 7: no such file") {
			t.Errorf("target %+v", target)
		}
	})
}

// TestLateRejectionTakesNothingBack restarts a node, for which the generation is new, after the others have served it for long.
func TestLateRejectionTakesNothingBack(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		push(t, nodes["a"], "two")
		time.Sleep(rollbackWithin)
		late := nodes["b"]
		late.set(func() { late.refuses = "two" })
		again := New(late.Options)
		err := again.step(t.Context())
		s := again.Status()
		if err != nil || s.Target.Generation != 2 || s.Acks[1].State != Rejected || nodes["a"].serves() != "two" {
			t.Errorf("%v, %+v", err, s)
		}
		push(t, nodes["a"], "three", "a") // writes the target again
		if err := again.step(t.Context()); err != nil || again.Status().Target.Generation != 2 || nodes["a"].serves() != "three" {
			t.Errorf("%v, %+v; the canary serves %q", err, again.Status(), nodes["a"].serves())
		}
	})
}

// Two nodes that reject different generations must not change the target in turn without end.
func TestWhatANodeTookBackStays(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		time.Sleep(rollbackWithin)
		nodes["a"].set(func() { nodes["a"].refuses = "two" })
		nodes["b"].set(func() { nodes["b"].refuses = "one" })
		if _, err := nodes["b"].Push(t.Context(), Request{Text: "two", Manifest: Manifest{Owner: "alice"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rollbackWithin)
		// b serves "two" only if it read generation 2 before a took it back.
		if s := nodes["a"].Status(); s.Target.Latest != 3 || s.Target.Generation != 3 || nodes["a"].serves() != "one" {
			t.Errorf("target %+v; a serves %q", s.Target, nodes["a"].serves())
		}
	})
}

func TestCanaryIsServedByAllAfterItsTime(t *testing.T) {
	inCluster(t, []string{"a", "b", "c"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		push(t, nodes["a"], "two", "b")
		want(t, nodes, map[string]string{"a": "one", "b": "two", "c": "one"})
		if _, err := nodes["c"].Push(t.Context(), Request{Text: "three", Manifest: Manifest{Owner: "bob"}}); err == nil ||
			!strings.Contains(err.Error(), "generation 2 is a canary on b, pushed by alice") {
			t.Errorf("a push during a canary: %v", err)
		}
		time.Sleep(time.Minute)
		want(t, nodes, map[string]string{"a": "two", "b": "two", "c": "two"})
	})
}

func TestCanaryIsRolledBack(t *testing.T) {
	for what, harm := range map[string]func(n *testNode){
		"rejected":  func(n *testNode) { n.refuses = "two" },
		"guardrail": func(n *testNode) { n.breach = "answers SERVFAIL to 3 % of the queries" },
	} {
		inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
			push(t, nodes["a"], "one")
			nodes["b"].set(func() { harm(nodes["b"]) })
			push(t, nodes["a"], "two", "b")
			want(t, nodes, map[string]string{"a": "one", "b": "one"})
			if s := nodes["a"].Status(); s.Target.Canary != nil || s.Target.Owner != "b" || s.Target.Reason == "" || !nodes["b"].logged("canary rolled back: ") {
				t.Errorf("%s: target %+v", what, s.Target)
			}
			nodes["b"].set(func() { nodes["b"].refuses, nodes["b"].breach = "", "" })
			push(t, nodes["a"], "three")
			want(t, nodes, map[string]string{"a": "three", "b": "three"})
		})
	}
}

// TestOneOfTwoWritersIsRefused pushes from two nodes that have read the same target.
// A store that was emptied begins to number again: the first generation in it is another one than that which nodes serve.
func TestGenerationOfTheSameNumberInAnEmptiedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := clusterOf("a", "b", "c")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { nodes["a"].Run(ctx) })
		running.Go(func() { nodes["b"].Run(ctx) })
		push(t, nodes["a"], "one")
		want(t, nodes, map[string]string{"a": "one", "b": "one"})
		m.mu.Lock()
		m.records = map[string]Value{}
		m.mu.Unlock()
		time.Sleep(3 * period)
		first := push(t, nodes["c"], "two") // of a node that knows nothing of the earlier one
		want(t, nodes, map[string]string{"a": "two", "b": "two"})
		if second := push(t, nodes["a"], "three"); first.Number != 1 || second.Number != 2 {
			t.Errorf("generations %d and %d, want 1 and 2", first.Number, second.Number)
		}
		m.mu.Lock()
		m.records = map[string]Value{}
		m.mu.Unlock()
		time.Sleep(3 * period)
		if again := push(t, nodes["b"], "four"); again.Number != 3 {
			t.Errorf("a node that serves generation 2 gave the number %d, want 3", again.Number)
		}
		want(t, nodes, map[string]string{"a": "four", "b": "four"})
		stop()
		running.Wait()
	})
}

func TestOneOfTwoWritersIsRefused(t *testing.T) {
	m, nodes := clusterOf("a", "b")
	target, revision, err := nodes["b"].readTarget(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes["a"].Push(t.Context(), Request{Text: "one", Manifest: Manifest{Owner: "alice"}}); err != nil {
		t.Fatal(err)
	}
	_, err = nodes["b"].push(t.Context(), &Request{Text: "two", Manifest: Manifest{Owner: "bob"}}, &target, revision)
	if err == nil || !strings.Contains(err.Error(), "was changed by alice at ") || !errors.As(err, new(*ConflictError)) {
		t.Errorf("%v", err)
	}
	_, err = nodes["b"].Push(t.Context(), Request{Text: "two", IfMatch: []string{"other"}, Manifest: Manifest{Owner: "bob"}})
	if !errors.Is(err, ErrStale) || len(m.records) != 4 { // target, a manifest, and two texts
		t.Errorf("%v, %d records", err, len(m.records))
	}
}

// TestForgedRecordsAreRefused changes, moves and re-signs the target.
func TestForgedRecordsAreRefused(t *testing.T) {
	m, nodes := clusterOf("a", "b")
	push := func() {
		if _, err := nodes["a"].Push(t.Context(), Request{Text: fmt.Sprint(m.revision), Manifest: Manifest{Owner: "alice"}}); err != nil {
			t.Fatal(err)
		}
	}
	push()
	before := m.records[targetKey]
	push()
	if err := nodes["b"].step(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger := nodes["a"].signer
	stranger.node, stranger.key = "c", ed25519.NewKeyFromSeed([]byte("12345678901234567890123456789012"))
	sealed, _ := stranger.seal(targetKey, Target{Seq: 9})
	impostor := stranger
	impostor.node = "a"
	forged, _ := impostor.seal(targetKey, Target{Seq: 9})
	moved, _ := nodes["a"].signer.seal(ackKeys+"a", Target{Seq: 9})
	for want, data := range map[string][]byte{
		"an earlier one than this node has seen": before.Data,
		`signed by "c"`:                          sealed,
		"signature is wrong":                     forged,
		"its signature":                          moved,
		"it is malformed":                        []byte("x"),
		"it is of version 2":                     []byte(`{"version":2,"node":"a"}`),
	} {
		m.records[targetKey] = Value{data, m.revision}
		if err := nodes["b"].step(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got := nodes["b"].serves(); got != "1" && got != "2" && got != "3" {
		t.Errorf("it serves %q", got)
	}
}

// TestNodeServesOnWithoutStore loses the store, and finds the next generation when it is back.
func TestNodeServesOnWithoutStore(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		m.mu.Lock()
		m.down = true
		m.mu.Unlock()
		if _, err := nodes["a"].Push(t.Context(), Request{Text: "two"}); !errors.Is(err, errDown) {
			t.Errorf("push without a store: %v", err)
		}
		time.Sleep(time.Minute)
		want(t, nodes, map[string]string{"a": "one", "b": "one"})
		m.mu.Lock()
		m.down = false
		m.mu.Unlock()
		push(t, nodes["a"], "two")
		want(t, nodes, map[string]string{"a": "two", "b": "two"})
		if !nodes["a"].logged("what serves goes on: the store does not answer") || !nodes["a"].logged("is followed again") {
			t.Errorf("reported %q", nodes["a"].reported)
		}
	})
}

// TestDifferentFilesAreReported lets nodes read their own files, which differ for long, and then takes the store away.
func TestDifferentFilesAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, nodes := clusterOf("a", "b")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, n := range nodes {
			n.Shared, n.text = false, "one"
			running.Go(func() { n.Run(ctx) })
		}
		time.Sleep(time.Minute)
		nodes["b"].set(func() { nodes["b"].text = "two" })
		time.Sleep(skewAfter + 5*period)
		if s := nodes["a"].Status(); fmt.Sprint(s.Skew) != "[b]" || !nodes["a"].logged("nodes serve another configuration: b; ") {
			t.Errorf("skew %v, reported %q", s.Skew, nodes["a"].reported)
		}
		nodes["b"].set(func() { nodes["b"].text = "one" })
		time.Sleep(5 * period)
		if s := nodes["a"].Status(); len(s.Skew) > 0 || !nodes["a"].logged("the same configuration again") {
			t.Errorf("skew %v, reported %q", s.Skew, nodes["a"].reported)
		}
		for _, down := range []bool{true, false} {
			m.mu.Lock()
			m.down = down
			m.mu.Unlock()
			time.Sleep(time.Minute)
		}
		a := nodes["a"]
		if !a.logged("it cannot be compared whether the nodes serve the same configuration") || !a.logged("are compared again") || a.logged("shared configuration") {
			t.Errorf("without the store, reported %q", a.reported)
		}
		stop()
		running.Wait()
	})
}

// TestLargeTextIsInChunks stores a text that does not compress.
func TestLargeTextIsInChunks(t *testing.T) {
	m, nodes := clusterOf("a")
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 2<<20)
	for i := range text {
		text[i] = byte('0' + random.IntN(64))
	}
	if _, err := nodes["a"].Push(t.Context(), Request{Text: string(text)}); err != nil {
		t.Fatal(err)
	}
	for key, v := range m.records {
		if len(v.Data) > chunkSize {
			t.Errorf("%s has %d bytes", key, len(v.Data))
		}
	}
	if err := nodes["a"].step(t.Context()); err != nil || nodes["a"].serves() != string(text) || len(m.records) < 6 {
		t.Errorf("%v, %d records", err, len(m.records))
	}
}

func TestOldGenerationsAreRemoved(t *testing.T) {
	m, nodes := clusterOf("a")
	for i := range Kept + 5 {
		if _, err := nodes["a"].Push(t.Context(), Request{Text: fmt.Sprint("text ", i%(Kept-1))}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := nodes["a"].List(t.Context())
	if err != nil || len(list) != Kept || list[0].Number != Kept+5 {
		t.Fatalf("%d generations, %v", len(list), err)
	}
	for _, of := range list {
		if _, _, err := nodes["a"].Text(t.Context(), of.Number); err != nil {
			t.Error(err)
		}
	}
	if len(m.records) != 1+Kept+Kept-1 { // the target, manifests, and texts that are equal once
		t.Errorf("%d records", len(m.records))
	}
}

func FuzzOpen(f *testing.F) {
	_, nodes := clusterOf("a")
	s := &nodes["a"].signer
	sealed, err := s.seal(targetKey, Target{Seq: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var target Target
		if node, err := s.open(targetKey, data, &target); err == nil && node != "a" {
			t.Errorf("signed by %q", node)
		}
	})
}
