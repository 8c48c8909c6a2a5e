package rollout

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a store that fails at random: before an operation, or after a write that it has made.
type failing struct {
	Store
	mu     sync.Mutex
	random *rand.Rand
	rate   int // failures in 100 operations
}

func (f *failing) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(100) < f.rate
}

func (f *failing) set(rate int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

func (f *failing) store() Store {
	return Store{
		Read: func(ctx context.Context, prefix string) (map[string]Value, error) {
			if f.fails() {
				return nil, errDown
			}
			return f.Store.Read(ctx, prefix)
		},
		Write: func(ctx context.Context, c Change) (bool, error) {
			if f.fails() {
				return false, errDown
			}
			ok, err := f.Store.Write(ctx, c)
			if f.fails() {
				return false, &UncertainError{errDown}
			}
			return ok, err
		},
		Watch: f.Store.Watch,
	}
}

// TestNodesAgreeAfterAnyFailures pushes from random nodes, with and without canaries, while a third of the operations of the store
// fail, nodes reject texts, and guardrails break. Afterwards all nodes serve one generation that was pushed, and no number has had
// two texts.
func TestNodesAgreeAfterAnyFailures(t *testing.T) {
	seed := rand.Uint64()
	synctest.Test(t, func(t *testing.T) { agreeAfterFailures(t, seed) })
}

func agreeAfterFailures(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b", "c"}
	m, nodes := clusterOf(names...)
	store := &failing{Store: m.store(), random: rand.New(rand.NewPCG(seed, 1)), rate: 33}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, n := range nodes {
		n.Store = store.store()
		running.Go(func() { n.Run(ctx) })
	}
	texts := map[uint64]string{}
	pushed := map[string]bool{"": true}
	for i := range 20 {
		n := nodes[names[random.IntN(3)]]
		r := Request{Text: fmt.Sprint("text ", i), For: time.Minute, Manifest: Manifest{Source: "api", Owner: "alice"}}
		if random.IntN(3) == 0 {
			r.Canary = names[:1+random.IntN(2)]
		}
		if random.IntN(4) == 0 {
			n.set(func() { n.refuses = r.Text })
		}
		if random.IntN(8) == 0 {
			n.set(func() { n.breach = "fails" })
		}
		pushed[r.Text] = true // even after an error the write may have been made
		if made, err := n.Push(t.Context(), r); err == nil {
			if before, given := texts[made.Number]; given {
				t.Errorf("seed %d: generation %d was %q and is %q", seed, made.Number, before, r.Text)
			}
			texts[made.Number] = r.Text
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Second)
		n.set(func() { n.breach = "" })
	}
	store.set(0)
	for _, n := range nodes {
		n.set(func() { n.refuses, n.breach = "", "" })
	}
	time.Sleep(retryAfter + 2*time.Minute)
	target := nodes["a"].Status().Target
	_, text, err := nodes["a"].Text(t.Context(), 0)
	if target.Canary != nil || err != nil || !pushed[text] {
		t.Fatalf("seed %d: %v, target %+v, text %q", seed, err, target, text)
	}
	for name, n := range nodes {
		s := n.Status()
		if n.serves() != text || n.Generation() != target.Generation || len(s.Skew) > 0 || len(s.Acks) != 3 {
			t.Errorf("seed %d: %s serves %q of generation %d, want %q of %d; %+v", seed, name, n.serves(), n.Generation(), text, target.Generation, s)
		}
	}
	stop()
	running.Wait()
}

// TestPushFailsAtEveryOperation lets each operation of a push fail in turn, before and after it is made. The push reports it, the
// present generation goes on, and the next push is served.
func TestPushFailsAtEveryOperation(t *testing.T) {
	for _, made := range []bool{false, true} {
		for at := range 20 {
			m, nodes := clusterOf("a", "b")
			if _, err := nodes["a"].Push(t.Context(), Request{Text: "one", Manifest: Manifest{Owner: "alice"}}); err != nil {
				t.Fatal(err)
			}
			operations, failed := 0, ""
			fail := func(what string) bool {
				operations++
				if operations-1 == at {
					failed = what
				}
				return operations-1 == at
			}
			inner := m.store()
			nodes["b"].Store.Read = func(ctx context.Context, prefix string) (map[string]Value, error) {
				if fail("read " + prefix) {
					return nil, errDown
				}
				return inner.Read(ctx, prefix)
			}
			nodes["b"].Store.Write = func(ctx context.Context, c Change) (bool, error) {
				if !fail("write") {
					return inner.Write(ctx, c)
				}
				if !made {
					return false, errDown
				}
				if _, err := inner.Write(ctx, c); err != nil {
					return false, err
				}
				return false, &UncertainError{errDown}
			}
			_, err := nodes["b"].Push(t.Context(), Request{Text: "two", IfMatch: []string{HashText("one")}, Manifest: Manifest{Owner: "bob"}})
			if failed == "" {
				if at < 4 || err != nil {
					t.Errorf("a push has %d operations, %v", operations, err)
				}
				break
			}
			if pruning := failed == "read "+manifests; (err == nil) != pruning || err != nil && !errors.Is(err, errDown) {
				t.Errorf("operation %d, %s: %v", at, failed, err)
			}
			if errors.As(err, new(*UncertainError)) && !strings.Contains(err.Error(), "the store does not answer; the write may have been made") {
				t.Errorf("operation %d, %s: %v", at, failed, err)
			}
			if err := nodes["a"].step(t.Context()); err != nil || nodes["a"].serves() != "one" && nodes["a"].serves() != "two" {
				t.Errorf("operation %d: %v; a serves %q", at, err, nodes["a"].serves())
			}
			if _, err := nodes["a"].Push(t.Context(), Request{Text: "three", Manifest: Manifest{Owner: "alice"}}); err != nil {
				t.Errorf("operation %d: the next push: %v", at, err)
			}
			if err := nodes["a"].step(t.Context()); err != nil || nodes["a"].serves() != "three" {
				t.Errorf("operation %d: %v; a serves %q", at, err, nodes["a"].serves())
			}
		}
	}
}

// TestDamagedGenerationIsRejected changes what is stored of a generation. A node says which part is wrong, and serves on.
func TestDamagedGenerationIsRejected(t *testing.T) {
	one := func(m *memory, n *testNode) (manifest Manifest, key string) {
		key = fmt.Sprintf(manifestOf, 2)
		if _, err := n.signer.open(key, m.records[key].Data, &manifest); err != nil {
			panic(err)
		}
		return manifest, key
	}
	sealed := func(m *memory, n *testNode, change func(*Manifest)) {
		manifest, key := one(m, n)
		change(&manifest)
		data, err := n.signer.seal(key, manifest)
		if err != nil {
			panic(err)
		}
		m.records[key] = Value{data, m.records[key].Revision}
	}
	for name, c := range map[string]struct {
		damage func(m *memory, n *testNode)
		want   string
	}{
		"no chunk": {func(m *memory, n *testNode) {
			manifest, _ := one(m, n)
			delete(m.records, chunkKey(manifest.Content, 0))
		}, "generation 2 cannot be read from etcd: its chunks do not match the manifest"},
		"changed chunk": {func(m *memory, n *testNode) {
			manifest, _ := one(m, n)
			m.records[chunkKey(manifest.Content, 0)].Data[12] ^= 1
		}, "generation 2 cannot be read from etcd: its chunks do not match the manifest"},
		"another hash": {func(m *memory, n *testNode) {
			sealed(m, n, func(m *Manifest) { m.Hash = "123456789012" })
		}, "generation 2 has another text than the target says"},
		"another number": {func(m *memory, n *testNode) {
			sealed(m, n, func(m *Manifest) { m.Number = 1 })
		}, "generation/000000000002: it is malformed"},
		"not compressed": {func(m *memory, n *testNode) {
			sealed(m, n, func(of *Manifest) {
				of.Content = contentOf([]byte("plain text"))
				m.records[chunkKey(of.Content, 0)] = Value{[]byte("plain text"), 1}
			})
		}, "generation 2 cannot be read from etcd: gzip: invalid header"},
		"cut compression": {func(m *memory, n *testNode) {
			sealed(m, n, func(of *Manifest) {
				data, _, err := compress("two")
				if err != nil {
					panic(err)
				}
				data = data[:len(data)-4]
				of.Content = contentOf(data)
				m.records[chunkKey(of.Content, 0)] = Value{data, 1}
			})
		}, "generation 2 cannot be read from etcd: unexpected EOF"},
		"another text": {func(m *memory, n *testNode) {
			sealed(m, n, func(of *Manifest) {
				data, content, err := compress("three")
				if err != nil {
					panic(err)
				}
				of.Content = content
				m.records[chunkKey(content, 0)] = Value{data, 1}
			})
		}, "generation 2 cannot be read from etcd: its text does not match its hash"},
	} {
		m, nodes := clusterOf("a", "b")
		for _, text := range []string{"one", "two"} {
			if _, err := nodes["a"].Push(t.Context(), Request{Text: text, Manifest: Manifest{Owner: "alice"}}); err != nil {
				t.Fatal(err)
			}
			if text == "one" {
				if err := nodes["b"].step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.damage(m, nodes["a"])
		target, revision, err := nodes["b"].look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ack, err := nodes["b"].follow(t.Context(), &target)
		if err != nil || ack.State != Rejected || ack.Why != c.want || ack.Generation != 2 || nodes["b"].serves() != "one" || revision == 0 {
			t.Errorf("%s: %v, %+v, want %q", name, err, ack, c.want)
		}
		if !nodes["b"].logged("generation 2 of the shared configuration is rejected; generation 1 goes on: " + c.want) {
			t.Errorf("%s: reported %q", name, nodes["b"].reported)
		}
	}
}

func TestTextsAtTheLimit(t *testing.T) {
	_, nodes := clusterOf("a")
	n := nodes["a"]
	if testing.Short() {
		t.Skip("SKIPPED: 64 MiB of text, with -short")
	}
	if _, err := n.Push(t.Context(), Request{Text: strings.Repeat("x", maxText+1)}); err == nil || err.Error() != "the configuration is longer than 67108864 bytes" {
		t.Errorf("%v", err)
	}
	var data bytes.Buffer
	w, err := gzip.NewWriterLevel(&data, gzip.NoCompression) // which is fast, also with the race detector
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, maxText+1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content := contentOf(data.Bytes())
	if _, err := expand(&Manifest{Content: content}, data.Bytes()); err == nil || err.Error() != "it is longer than 67108864 bytes" {
		t.Errorf("%v", err)
	}
}

// TestRequestsThatDoNotFitTheTarget is the table of what a push refuses.
func TestRequestsThatDoNotFitTheTarget(t *testing.T) {
	_, nodes := clusterOf("a", "b")
	n := nodes["a"]
	refused := func(r Request, want string) {
		t.Helper()
		if _, err := n.Push(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	refused(Request{Text: "x", Canary: []string{"a", "z"}}, `canary "z" is not in cluster.trust; known: a, b`)
	refused(Request{Text: "x", Canary: []string{"a"}}, "there is no generation that the others could get; push the first one without a canary")
	refused(Request{From: 3}, "no generation 3 in the cluster")
	refused(Request{Text: "x", IfMatch: []string{"y"}}, ErrStale.Error())
	if _, _, err := n.Text(t.Context(), 0); !errors.As(err, new(*UnknownError)) {
		t.Errorf("the text of an empty cluster: %v", err)
	}
	if canceled, err := n.CancelCanary(t.Context(), "alice", "no"); canceled || err != nil {
		t.Errorf("a canary of an empty cluster: %v, %v", canceled, err)
	}
	if _, err := n.Push(t.Context(), Request{Text: "one", Manifest: Manifest{Owner: "alice"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Push(t.Context(), Request{Text: "two", Canary: []string{"b"}, For: time.Hour, Manifest: Manifest{Owner: "alice"}}); err != nil {
		t.Fatal(err)
	}
	refused(Request{Text: "x", IfMatch: []string{HashText("two")}}, "generation 2 is a canary on b, pushed by alice at ")
	if _, text, err := n.Text(t.Context(), 0); err != nil || text != "one" {
		t.Errorf("during a canary the nodes serve %q, %v", text, err)
	}
	conflict := (&ConflictError{n.targetNow(t)}).Error()
	if !strings.Contains(conflict, "generation 2, a canary on b") {
		t.Errorf("%s", conflict)
	}
	if canceled, err := n.CancelCanary(t.Context(), "bob", "too slow"); !canceled || err != nil {
		t.Errorf("%v, %v", canceled, err)
	}
	if target := n.targetNow(t); target.Canary != nil || target.Generation != 1 || target.Latest != 2 || target.Owner != "bob" || target.Reason != "too slow" || target.Hash != HashText("one") {
		t.Errorf("target %+v", target)
	}
	again, err := n.Push(t.Context(), Request{From: 2, Manifest: Manifest{Source: rollbackSource, Owner: "bob"}})
	if err != nil || again.Number != 3 || again.Hash != HashText("two") {
		t.Errorf("%+v, %v", again, err)
	}
}

func (n *testNode) targetNow(t *testing.T) Target {
	t.Helper()
	target, _, err := n.readTarget(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// TestTemporaryErrorsAreTriedAgain rejects nothing while the node cannot load what a generation needs.
func TestTemporaryErrorsAreTriedAgain(t *testing.T) {
	inCluster(t, []string{"a", "b"}, func(t *testing.T, m *memory, nodes map[string]*testNode) {
		push(t, nodes["a"], "one")
		b := nodes["b"]
		failures := 3
		apply := b.Apply
		time.Sleep(period / 2)
		b.set(func() {
			b.Apply = func(ctx context.Context, m *Manifest, text string) error {
				if failures--; failures >= 0 {
					return &TemporaryError{errors.New("a reload is running")}
				}
				return apply(ctx, m, text)
			}
		})
		push(t, nodes["a"], "two")
		time.Sleep(5 * period)
		want(t, nodes, map[string]string{"a": "two", "b": "two"})
		if s := nodes["a"].Status(); s.Target.Generation != 2 || s.Acks[1].State != Serving || b.logged("is rejected") || !b.logged("what serves goes on: a reload is running") {
			t.Errorf("%+v, reported %q", s, b.reported)
		}
	})
}

// TestAwaitEndsWithItsContext waits for a node that never answers, for a generation that does not come, and for one that an operator replaced.
func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := clusterOf("a", "b")
		a := nodes["a"]
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.Run(ctx) })
		first := push(t, a, "one")
		await := func(number uint64) (acks []string, waited time.Duration) {
			short, end := context.WithTimeout(t.Context(), 10*time.Second)
			defer end()
			begin := time.Now()
			for _, ack := range a.Await(short, number) {
				acks = append(acks, ack.Node+" "+ack.State)
			}
			return acks, time.Since(begin)
		}
		if acks, waited := await(first.Number); !slices.Equal(acks, []string{"a serving"}) || waited != 10*time.Second {
			t.Errorf("%q after %v", acks, waited)
		}
		if acks, waited := await(9); acks != nil || waited != 10*time.Second {
			t.Errorf("%q after %v", acks, waited)
		}
		push(t, a, "two")
		if acks, waited := await(first.Number); acks != nil || waited != 0 {
			t.Errorf("a replaced generation: %q after %v", acks, waited)
		}
		stop()
		running.Wait()
	})
}

// TestRecordsOfOtherNodesAreNotBelieved stores acknowledgements that are signed by another node, or not at all.
func TestRecordsOfOtherNodesAreNotBelieved(t *testing.T) {
	m, nodes := clusterOf("a", "b", "c")
	push := Request{Text: "one", Manifest: Manifest{Owner: "alice"}}
	if _, err := nodes["a"].Push(t.Context(), push); err != nil {
		t.Fatal(err)
	}
	own, err := nodes["b"].signer.seal(ackKeys+"b", Ack{Generation: 1, State: Serving})
	if err != nil {
		t.Fatal(err)
	}
	other, err := nodes["b"].signer.seal(ackKeys+"c", Ack{Generation: 1, State: Serving})
	if err != nil {
		t.Fatal(err)
	}
	m.records[ackKeys+"b"], m.records[ackKeys+"c"], m.records[ackKeys+"d"] = Value{own, 1}, Value{other, 1}, Value{[]byte("{}"), 1}
	nodes["a"].Report = func(slog.Level, string, string) {}
	if err := nodes["a"].step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, ack := range nodes["a"].Status().Acks {
		names = append(names, ack.Node)
	}
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("acknowledgements of %q, want those of a and b", names)
	}
}

func contentOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// After pushes that could remove nothing, later ones remove all that is too many, and leave no text without a generation.
func TestRemovalsThatFailedAreMadeLater(t *testing.T) {
	const pushes = 3*Kept + 7 // more than one change can remove
	m, nodes := clusterOf("a")
	n := nodes["a"]
	write, failing := n.Store.Write, true
	n.Store.Write = func(ctx context.Context, c Change) (bool, error) {
		if failing && len(c.Puts) == 0 && len(c.Deletes) > 0 {
			return false, errors.New("no permission")
		}
		if len(c.Deletes) > maxDeletes {
			t.Errorf("one change removes %d ranges, at most %d are allowed", len(c.Deletes), maxDeletes)
		}
		return write(ctx, c)
	}
	push := func(i int) {
		t.Helper()
		// Every third generation has the text of one before it, so that texts are shared across the cut between two changes.
		if _, err := n.Push(t.Context(), Request{Text: fmt.Sprint("text ", i-i%3)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pushes {
		push(i)
	}
	failing = false
	for i := range 4 {
		push(pushes + i)
	}
	list, err := n.List(t.Context())
	if err != nil || len(list) != Kept {
		t.Fatalf("%d generations, %v; want %d", len(list), err, Kept)
	}
	used := map[string]bool{}
	for _, of := range list {
		used[of.Content] = true
		if _, _, err := n.Text(t.Context(), of.Number); err != nil {
			t.Errorf("generation %d: %v", of.Number, err)
		}
	}
	for key := range m.records {
		if content, is := strings.CutPrefix(key, blobs); is && !used[content[:strings.Index(content, "/")]] {
			t.Errorf("text %s has no generation", key)
		}
	}
}
