package inputs

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func keyOf(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

// store is a store in memory, from which nodes read with a delay unless they are cut off.
type store struct {
	mu     sync.Mutex
	delay  time.Duration
	values map[string]Entry
	nodes  map[string]*node
	writes int
	ctx    context.Context // of the bubble
}

// count returns the number of writes.
func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// value returns the value of a key.
func (s *store) value(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.values[key].Value)
}

// node is a node of a store.
type node struct {
	*Exchange
	name    string
	at      *store
	boot    uint64
	cut     bool
	ended   bool
	settled time.Time // when it may give
	own     map[string]OwnTarget
	reports []string
	stop    context.CancelFunc
}

// trustOf returns the keys of nodes.
func trustOf(names string) map[string]ed25519.PublicKey {
	trust := map[string]ed25519.PublicKey{}
	for _, name := range strings.Fields(names) {
		trust[name] = keyOf(name).Public().(ed25519.PublicKey)
	}
	return trust
}

const allNames = "a b c d"

// join adds a node to the store.
func (s *store) join(name string) *node {
	n := &node{name: name, at: s, boot: uint64(time.Now().UnixNano()), own: map[string]OwnTarget{}, settled: time.Now().Add(6 * time.Second)}
	n.Exchange = New(Options{
		Cluster: "prod", Node: name, Key: keyOf(name), Trust: trustOf(allNames), Peers: n.peers, Put: n.put, Changed: func() {},
		Report: func(_ slog.Level, message string, attributes ...any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			n.reports = append(n.reports, message+fmt.Sprint(attributes...))
		},
	})
	n.Offer(TargetKind, func(now time.Time) any {
		if _, gives := n.Targets(n.targets(), now); len(gives) > 0 {
			return gives
		}
		return nil
	})
	s.mu.Lock()
	s.nodes[name] = n
	stored := slices.Collect(maps.Values(s.values))
	s.mu.Unlock()
	n.Receive(stored, nil, time.Now())
	ctx, stop := context.WithCancel(s.ctx)
	n.stop = stop
	go n.Run(ctx)
	return n
}

func (n *node) targets() map[string]OwnTarget {
	n.at.mu.Lock()
	defer n.at.mu.Unlock()
	return maps.Clone(n.own)
}

// find sets the result of the lookups of the node; no address: they fail.
func (n *node) find(addrs ...string) {
	n.at.mu.Lock()
	t := n.own["lb"]
	t.Failing, t.Found = len(addrs) == 0, t.Found || len(addrs) > 0
	if len(addrs) > 0 {
		t.Addresses = nil
		for _, a := range addrs {
			t.Addresses = append(t.Addresses, netip.MustParseAddr(a))
		}
	}
	n.own["lb"] = t
	n.at.mu.Unlock()
	n.Dirty(TargetKind)
}

func (n *node) peers() Peers {
	n.at.mu.Lock()
	defer n.at.mu.Unlock()
	p := Peers{Connected: !n.cut, Gives: !n.cut && time.Now().After(n.settled), Boot: n.boot, Fresh: map[string]uint64{}}
	for name, other := range n.at.nodes {
		if name != n.name && !other.cut && !other.ended {
			p.Fresh[name] = other.boot
		}
	}
	return p
}

func (n *node) put(_ context.Context, entries []Entry) error {
	n.at.mu.Lock()
	defer n.at.mu.Unlock()
	if n.cut {
		return errors.New("cut off")
	}
	n.at.writes++
	for _, e := range entries {
		n.at.values[e.Key] = e
	}
	for _, other := range n.at.nodes {
		if !other.cut {
			time.AfterFunc(n.at.delay, func() { other.Receive(entries, nil, time.Now()) })
		}
	}
	return nil
}

// setCut cuts a node off, or connects it again.
func (n *node) setCut(cut bool) {
	n.at.mu.Lock()
	n.cut = cut
	n.settled = time.Now().Add(6 * time.Second)
	stored := slices.Collect(maps.Values(n.at.values))
	n.at.mu.Unlock()
	if !cut {
		n.Receive(stored, nil, time.Now())
	}
}

// end ends a node as a crash does.
func (n *node) end() {
	n.stop()
	n.at.mu.Lock()
	defer n.at.mu.Unlock()
	n.ended = true
}

// uses returns the node that gives the target to n, and its addresses; the own ones have no name.
func (n *node) uses() string {
	given, _ := n.Targets(n.targets(), time.Now())
	t, from := n.targets()["lb"].Target, n.name
	if g, ok := given["lb"]; ok {
		t, from = g.Target, g.From
	}
	return fmt.Sprint(from, t.Addresses)
}

// inStore runs f in a bubble with nodes that have settled.
func inStore(t *testing.T, names string, f func(s *store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &store{delay: 150 * time.Millisecond, values: map[string]Entry{}, nodes: map[string]*node{}, ctx: t.Context()}
		for _, name := range strings.Fields(names) {
			s.join(name)
		}
		defer func() {
			for _, n := range s.nodes {
				n.stop()
			}
			synctest.Wait()
		}()
		f(s)
	})
}

// want waits, and compares the addresses that nodes use.
func (s *store) want(t *testing.T, what, names, want string) {
	t.Helper()
	time.Sleep(12 * time.Second)
	synctest.Wait()
	for _, name := range strings.Fields(names) {
		if got := s.nodes[name].uses(); got != want {
			t.Errorf("%s: %s uses %s, want %s", what, name, got, want)
		}
	}
}

// All nodes use the addresses of the first one by name that is fresh and can resolve the target.
func TestFirstFreshNodeGivesTargets(t *testing.T) {
	inStore(t, "a b c", func(s *store) {
		s.nodes["a"].find("192.0.2.1")
		s.nodes["b"].find("192.0.2.2")
		s.nodes["c"].find()
		s.want(t, "all run", "a b c", "a[192.0.2.1]")
		if _, gives := s.nodes["b"].Targets(s.nodes["b"].targets(), time.Now()); len(gives) != 0 {
			t.Errorf("b gives %v, which a gives, too", gives)
		}
		s.nodes["a"].find()
		s.want(t, "a cannot resolve it", "a b c", "b[192.0.2.2]")
		s.nodes["b"].find()
		s.want(t, "no node can resolve it", "a b c", "a[192.0.2.1]")
		s.nodes["b"].find("192.0.2.3")
		s.want(t, "b can again", "a b c", "b[192.0.2.3]")
		s.nodes["a"].find("192.0.2.4")
		s.want(t, "a can again", "a b c", "a[192.0.2.4]")
		s.nodes["a"].end()
		s.want(t, "a is lost", "b c", "b[192.0.2.3]")
		s.nodes["b"].setCut(true)
		s.want(t, "b is cut off", "b", "b[192.0.2.3]")
		s.nodes["c"].find("192.0.2.5")
		s.want(t, "b is cut off", "c", "c[192.0.2.5]")
		s.nodes["b"].setCut(false)
		s.want(t, "b is back", "b c", "b[192.0.2.3]")
	})
}

// A node that joins uses the inputs of the others until it has heard all of them, also as the first by name.
func TestJoiningNodeFollowsFirst(t *testing.T) {
	inStore(t, "b c", func(s *store) {
		s.nodes["b"].find("192.0.2.2")
		s.nodes["c"].find("192.0.2.3")
		s.want(t, "before", "b c", "b[192.0.2.2]")
		a := s.join("a")
		a.find("192.0.2.1")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := a.uses(); got != "b[192.0.2.2]" {
			t.Errorf("it joins and uses %s", got)
		}
		s.want(t, "after", "a b c", "a[192.0.2.1]")
	})
}

// A restarted process has another boot: the record of the earlier one is good no more.
func TestRecordsOfEndedProcessDoNotCount(t *testing.T) {
	inStore(t, "a b", func(s *store) {
		s.nodes["a"].find("192.0.2.1")
		s.nodes["b"].find("192.0.2.2")
		s.want(t, "before", "a b", "a[192.0.2.1]")
		s.nodes["a"].end()
		s.join("a").find()
		s.want(t, "a has started without an address", "b", "b[192.0.2.2]")
	})
}

// A node writes at most four times a second, however often its inputs change, and little while they do not.
func TestWritesAreBounded(t *testing.T) {
	inStore(t, "a b", func(s *store) {
		s.nodes["a"].find("192.0.2.1")
		time.Sleep(20 * time.Second)
		before := s.count()
		time.Sleep(100 * time.Second)
		if n := s.count() - before; n < 9 || n > 11 {
			t.Errorf("%d writes in 100 seconds without a change", n)
		}
		before = s.count()
		for i := range 1000 { // 10 s
			s.nodes["a"].find(fmt.Sprintf("192.0.2.%d", i%200))
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.count() - before; n > 41 || n < 20 {
			t.Errorf("%d writes in 10 seconds of changes", n)
		}
		many := map[string]OwnTarget{}
		for i := range 1000 {
			many[fmt.Sprint("lb", i)] = OwnTarget{Target{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}}, true}
		}
		s.mu.Lock()
		s.nodes["a"].own = many
		s.mu.Unlock()
		s.nodes["a"].Dirty(TargetKind)
		time.Sleep(2 * time.Second)
		size := len(s.value("targets/a"))
		before = s.count()
		for range 200 { // 100 s
			s.nodes["a"].Dirty(TargetKind)
			time.Sleep(500 * time.Millisecond)
		}
		if octets := (s.count() - before) * size; octets > 100*octetsPerSecond+2*size || s.count() == before {
			t.Errorf("%d octets in 100 seconds, in records of %d", octets, size)
		}
	})
}

// Inputs that are too long are not given; that is reported once, and they are given again when they are shorter.
func TestTooLongInputsAreNotGiven(t *testing.T) {
	inStore(t, "a b", func(s *store) {
		a := s.nodes["a"]
		a.find("192.0.2.1")
		s.want(t, "before", "a", "a[192.0.2.1]")
		s.mu.Lock()
		for i := range 5000 {
			a.own[fmt.Sprint("a-long-name-of-a-target-", i)] = OwnTarget{Target{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}}, true}
		}
		s.mu.Unlock()
		a.Dirty(TargetKind)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !strings.Contains(s.value("targets/a"), `"body":null`) {
			t.Errorf("given: %.200s", s.value("targets/a"))
		}
		if n := len(a.reports); n != 1 || !strings.Contains(a.reports[0], "too long") {
			t.Errorf("%q", a.reports)
		}
		s.mu.Lock()
		maps.DeleteFunc(a.own, func(name string, _ OwnTarget) bool { return name != "lb" })
		s.mu.Unlock()
		a.Dirty(TargetKind)
		s.nodes["b"].find()
		s.want(t, "after", "a b", "a[192.0.2.1]")
	})
}

// A write that fails is reported once, and so is the next one that succeeds.
func TestFailedWriteIsTriedAgain(t *testing.T) {
	inStore(t, "a b", func(s *store) {
		a := s.nodes["a"]
		failing := true
		put := a.Put
		a.Put = func(ctx context.Context, entries []Entry) error {
			s.mu.Lock()
			fails := failing
			s.mu.Unlock()
			if fails {
				return errors.New("no right")
			}
			return put(ctx, entries)
		}
		a.find("192.0.2.1")
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(a.reports) != 1 || !errors.Is(a.Status().Problem, errUnwritten) {
			t.Errorf("%q, problem %v", a.reports, a.Status().Problem)
		}
		a.setCut(true)
		if a.Status().Problem != nil {
			t.Errorf("without a connection, problem %v", a.Status().Problem)
		}
		a.setCut(false)
		s.mu.Lock()
		failing = false
		s.mu.Unlock()
		s.nodes["b"].find()
		s.want(t, "after", "a b", "a[192.0.2.1]")
		if len(a.reports) != 2 || a.Status().Problem != nil {
			t.Errorf("%q, problem %v", a.reports, a.Status().Problem)
		}
	})
}

// A node without the right to read and write inputs uses its own and says why; with the right, it uses what another node gives.
func TestNodeWithoutRightUsesItsOwn(t *testing.T) {
	inStore(t, "a b", func(s *store) {
		b, denied := s.nodes["b"], errors.New("lacks a right")
		b.setCut(true) // nothing of a comes to it, and no write of it succeeds
		s.nodes["a"].find("192.0.2.1")
		b.find("192.0.2.2")
		s.want(t, "a has the right", "a", "a[192.0.2.1]")
		s.mu.Lock()
		b.cut = false // it reaches etcd
		s.mu.Unlock()
		b.Receive(nil, denied, time.Now())
		if got := b.uses(); got != "b[192.0.2.2]" || !errors.Is(b.Status().Problem, denied) {
			t.Errorf("without the right it uses %s, problem %v", got, b.Status().Problem)
		}
		b.setCut(false)
		s.want(t, "with the right", "a b", "a[192.0.2.1]")
		if b.Status().Problem != nil {
			t.Errorf("with the right, problem %v", b.Status().Problem)
		}
	})
}

// sealed returns a record of a node.
func sealed(by, as string, kind Kind, cluster string, boot, seq uint64, body string) []byte {
	r := record{Node: as, Boot: boot, Seq: seq, Body: json.RawMessage(body)}
	return r.seal(cluster, kind, keyOf(by))
}

// Hostile and unreadable records are refused and counted, and reported once a minute for each reason. Kinds and fields of newer
// versions are ignored.
func TestHostileRecordsAreRejected(t *testing.T) {
	const body = `{"lb":{"addresses":["192.0.2.66"]}}`
	newer := strings.Replace(string(sealed("b", "b", TargetKind, "prod", 1, 1, body)), `"version":1`, `"version":2`, 1)
	for name, c := range map[string]struct {
		key, value string
		reason     Rejection
	}{
		"no JSON":                  {"targets/b", "x", Malformed},
		"no sequence number":       {"targets/b", string(sealed("b", "b", TargetKind, "prod", 1, 0, body)), Malformed},
		"a newer version":          {"targets/b", newer, OtherVersion},
		"of an unknown node":       {"targets/x", string(sealed("x", "x", TargetKind, "prod", 1, 1, body)), UnknownNode},
		"forged":                   {"targets/b", string(sealed("a", "b", TargetKind, "prod", 1, 1, body)), BadSignature},
		"at the key of another":    {"targets/b", string(sealed("a", "a", TargetKind, "prod", 1, 1, body)), BadSignature},
		"of another kind":          {"targets/b", string(sealed("b", "b", LoadKind, "prod", 1, 1, body)), BadSignature},
		"of another cluster":       {"targets/b", string(sealed("b", "b", TargetKind, "test", 1, 1, body)), BadSignature},
		"too long":                 {"targets/b", strings.Repeat(" ", maxRecord+1), Oversized},
		"a body of another form":   {"targets/b", string(sealed("b", "b", TargetKind, "prod", 1, 1, `["lb"]`)), Malformed},
		"an impossible address":    {"targets/b", string(sealed("b", "b", TargetKind, "prod", 1, 1, `{"lb":{"addresses":["0.0.0.0"]}}`)), Malformed},
		"too many addresses":       {"targets/b", string(sealed("b", "b", TargetKind, "prod", 1, 1, `{"lb":{"addresses":[`+strings.Repeat(`"192.0.2.1",`, 128)+`"192.0.2.1"]}}`)), Malformed},
		"a negative load":          {"loads/b", string(sealed("b", "b", LoadKind, "prod", 1, 1, `{"reports":[{"key":"x","load":-1}]}`)), Malformed},
		"a report of the future":   {"loads/b", string(sealed("b", "b", LoadKind, "prod", 1, 1, `{"reports":[{"key":"x","load":1,"age":-5}]}`)), Malformed},
		"an impossible age":        {"loads/b", string(sealed("b", "b", LoadKind, "prod", 1, 1, `{"reports":[{"key":"x","load":1,"age":9223372036854775807}]}`)), Malformed},
		"an unknown kind":          {"weather/b", "x", ""},
		"a key without a node":     {"targets", "x", ""},
		"a field of newer version": {"targets/b", string(sealed("b", "b", TargetKind, "prod", 1, 1, `{"lb":{"addresses":["192.0.2.1"],"more":1}}`)), ""},
	} {
		var reports []string
		x := New(Options{
			Cluster: "prod", Node: "a", Key: keyOf("a"), Trust: trustOf(allNames), Changed: func() {},
			Peers:  func() Peers { return Peers{Connected: true, Gives: true, Boot: 1, Fresh: map[string]uint64{"b": 1}} },
			Report: func(_ slog.Level, message string, of ...any) { reports = append(reports, message+fmt.Sprint(of...)) },
		})
		look := func() {
			given, _ := x.Targets(map[string]OwnTarget{"lb": {}}, time.Now())
			view := x.Loads("f", time.Now())
			if c.reason != "" && (len(given) > 0 || len(view.Reported) > 0) {
				t.Errorf("%s: used: %v %v", name, given, view)
			}
		}
		for range 2 {
			x.Receive([]Entry{{Key: c.key, Value: []byte(c.value)}}, nil, time.Now())
			look()
			look()
		}
		total, want := uint64(0), 0
		for _, n := range x.Status().Rejected {
			total += n
		}
		if c.reason != "" {
			want = 1
		}
		if x.Status().Rejected[c.reason] != total || (total > 0) != (want > 0) || len(reports) != want {
			t.Errorf("%s: rejected %v, reported %q; want %q", name, x.Status().Rejected, reports, c.reason)
		}
	}
}

// A record that was received before, or an earlier one, does not replace a later one.
func TestReplayedRecordsAreRejected(t *testing.T) {
	x := New(Options{
		Cluster: "prod", Node: "a", Key: keyOf("a"), Trust: trustOf(allNames), Changed: func() {},
		Peers: func() Peers { return Peers{Connected: true, Fresh: map[string]uint64{"b": 7}} }, Report: func(slog.Level, string, ...any) {},
	})
	receive := func(boot, seq uint64, addr string) {
		x.Receive([]Entry{{Key: "targets/b", Value: sealed("b", "b", TargetKind, "prod", boot, seq, `{"lb":{"addresses":["`+addr+`"]}}`)}}, nil, time.Now())
	}
	receive(7, 2, "192.0.2.2")
	receive(7, 2, "192.0.2.2")
	receive(7, 1, "192.0.2.1")
	receive(6, 9, "192.0.2.1")
	given, _ := x.Targets(map[string]OwnTarget{"lb": {}}, time.Now())
	if got := fmt.Sprint(given["lb"].Addresses); got != "[192.0.2.2]" || x.Status().Rejected[Replay] != 2 {
		t.Errorf("uses %s, rejected %v", got, x.Status().Rejected)
	}
	if given, _ := x.Targets(map[string]OwnTarget{"lb": {}}, time.Now().Add(goodFor+time.Second)); len(given) != 0 {
		t.Errorf("after %v: %v", goodFor, given)
	}
}

// The controllers of the first fresh node with the same configuration count; reports are of the first node that has polled them.
func TestFirstNodeGivesLoads(t *testing.T) {
	gives := true
	x := New(Options{
		Cluster: "prod", Node: "b", Key: keyOf("b"), Trust: trustOf(allNames), Changed: func() {}, Report: func(slog.Level, string, ...any) {},
		Peers: func() Peers {
			return Peers{Connected: true, Gives: gives, Fresh: map[string]uint64{"a": 1, "c": 1, "d": 1}}
		},
	})
	seq := uint64(0)
	put := func(node, body string) {
		seq++
		x.Receive([]Entry{{Key: "loads/" + node, Value: sealed(node, node, LoadKind, "prod", 1, seq, body)}}, nil, time.Now())
	}
	want := func(what, giver string, own bool, reports string) {
		t.Helper()
		view := x.Loads("f", time.Now())
		var all []string
		for _, key := range slices.Sorted(maps.Keys(view.Reported)) {
			all = append(all, key+":"+view.Reported[key].From)
		}
		if got := strings.Join(all, " "); view.Giver != giver || view.Gives != own || got != reports {
			t.Errorf("%s: giver %q, gives %v, reports %q", what, view.Giver, view.Gives, got)
		}
	}
	want("alone", "", true, "")
	put("c", `{"fingerprint":"f","controllers":{},"reports":[{"key":"x","load":1},{"key":"y","load":1},{"key":"z","load":1,"from":"d"}]}`)
	want("a later one gives", "", true, "x:c y:c")
	gives = false
	want("this one may not give yet", "c", false, "x:c y:c")
	gives = true
	put("a", `{"fingerprint":"other","controllers":{},"reports":[{"key":"y","load":2}]}`)
	want("the first has another configuration", "", true, "x:c y:a")
	put("a", `{"fingerprint":"f","controllers":{},"reports":[{"key":"y","load":2}]}`)
	want("the first has the same", "a", false, "x:c y:a")
	put("a", `null`)
	want("the first gives nothing", "", true, "x:c y:c")
}
