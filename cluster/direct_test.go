package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/cluster/observation"
	"meridian/health"
)

// mesh carries exchanges between the nodes of a world, unless the two are cut off from each other.
type mesh struct {
	mu    sync.Mutex
	nodes map[netip.AddrPort]*member
	cut   map[string]bool // pairs, as in "a1 b1" and "b1 a1"
	delay time.Duration

	exchanges int
	learned   map[string]int
}

func newMesh() *mesh {
	return &mesh{nodes: make(map[netip.AddrPort]*member), cut: make(map[string]bool), learned: make(map[string]int)}
}

// addressOf returns the address of a node; a vantage with a name that begins with "x" has none, as an agent.
func addressOf(name string) netip.AddrPort {
	if strings.HasPrefix(name, "x") {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, name[0], name[1]}), 8054)
}

// direct returns the functions of a node; nil: the nodes do not ask each other.
func (m *mesh) direct(name string) *Direct {
	if m == nil {
		return nil
	}
	return &Direct{
		Address: func() netip.AddrPort { return addressOf(name) },
		Learned: func() { m.mu.Lock(); defer m.mu.Unlock(); m.learned[name]++ },
		Exchange: func(ctx context.Context, to string, at netip.AddrPort, request *observation.Exchange) (observation.Exchange, error) {
			return m.exchange(ctx, name, to, at, request)
		},
	}
}

func (m *mesh) add(node *member) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[addressOf(node.Name)] = node
}

func (m *mesh) exchange(ctx context.Context, from, to string, at netip.AddrPort, request *observation.Exchange) (observation.Exchange, error) {
	m.mu.Lock()
	node, cut, delay := m.nodes[at], m.cut[from+" "+to], m.delay
	m.exchanges++
	m.mu.Unlock()
	if cut {
		<-ctx.Done()
		return observation.Exchange{}, ctx.Err()
	}
	time.Sleep(delay)
	if node == nil || node.Name != to {
		return observation.Exchange{}, errors.New("connection refused")
	}
	received, err := observation.DecodeExchange(request.Append(nil))
	if err != nil {
		return observation.Exchange{}, err
	}
	answer := node.Answer(&received)
	time.Sleep(delay)
	return observation.DecodeExchange(answer.Append(nil))
}

// setCut cuts pairs of nodes off from each other, and connects all others.
func (m *mesh) setCut(pairs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.cut)
	for _, pair := range pairs {
		a, b, _ := strings.Cut(pair, " ")
		m.cut[a+" "+b], m.cut[b+" "+a] = true, true
	}
}

// split cuts groups of nodes off from each other.
func (m *mesh) split(groups ...[]string) {
	var pairs []string
	for i, group := range groups {
		for _, other := range groups[i+1:] {
			for _, a := range group {
				for _, b := range other {
					pairs = append(pairs, a+" "+b)
				}
			}
		}
	}
	m.setCut(pairs...)
}

func (m *mesh) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exchanges
}

func (w *world) wantMode(of string, want Mode) {
	w.t.Helper()
	if got := w.members[of].Mode(); got != want {
		w.t.Errorf("mode of %s: %s, want %s\n%s", of, got, want, strings.Join(w.members[of].allReports(), "\n"))
	}
}

var all = []string{"a1", "a2", "b1", "b2", "c1", "c2"}

// The loss of the store changes no state; without it the nodes agree directly, and afterwards through it again.
func TestNodesAgreeWithoutStore(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		if n := mesh.count(); n != 0 {
			t.Errorf("%d direct requests although the store is connected", n)
		}
		w.bus.setCut("a1", "b1", "c1")
		w.want(time.Second, target, "+++")
		w.want(20*time.Second, target, "+++")
		for name, m := range w.members {
			w.wantMode(name, ViaNodes)
			if m.changeCount() != 1 || m.reported("vantage is lost") {
				t.Errorf("%s: %d changes, %q", name, m.changeCount(), m.allReports())
			}
			if s := m.Status(); s.Connected || s.Fresh() != 3 || len(s.Rejected) > 0 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		before := mesh.count()
		time.Sleep(20 * time.Second)
		if n := mesh.count() - before; n != 10*6 {
			t.Errorf("%d requests of three nodes in 10 heartbeats, want one for each of the others in each", n)
		}
		w.findAll(target, "a1-")
		w.want(5*time.Second, target, "+++")
		w.findAll(target, "b1-")
		w.want(2100*time.Millisecond, target, "---")
		w.bus.setCut()
		w.want(time.Second, target, "---")
		w.findAll(target, "a1+")
		w.want(time.Second, target, "+++")
		for name, m := range w.members {
			w.wantMode(name, ViaStore)
			if m.reported("vantage is lost") || len(m.Status().Rejected) > 0 {
				t.Errorf("%s: %q, %v", name, m.allReports(), m.Status().Rejected)
			}
		}
		before = mesh.count()
		time.Sleep(10 * time.Second)
		if n := mesh.count() - before; n != 0 {
			t.Errorf("%d direct requests after the store has returned", n)
		}
	})
}

// Without the store and with the links cut, a minority of the regions changes nothing, and a majority decides.
func TestMinorityWithoutStoreNeverFailsOver(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, strings.Join(all, " "), func(w *world) {
		w.findAll(target, "a1+ a2+ b1+ b2+ c1+ c2+")
		w.want(5*time.Second, target, "++++++")
		w.bus.setCut(all...)
		mesh.split([]string{"a1", "a2"}, []string{"b1", "b2", "c1", "c2"})
		w.findAll(target, "a1- a2-")
		w.want(20*time.Second, target, "??++++")
		w.wantMode("a1", ViaNodes)
		w.findAll(target, "b1- b2- c1- c2-")
		w.want(3*time.Second, target, "??----")
		mesh.setCut()
		w.want(5*time.Second, target, "------")
		mesh.split([]string{"a1"}, []string{"a2"}, []string{"b1"}, []string{"b2"}, []string{"c1"}, []string{"c2"})
		w.want(20*time.Second, target, "??????")
		w.wantMode("a1", Alone)
		if !w.members["a1"].reported("mode alone") {
			t.Errorf("%q", w.members["a1"].allReports())
		}
		w.findAll(target, "a1+ a2+ b1+ b2+ c1+ c2+")
		w.want(20*time.Second, target, "??????")
		w.bus.setCut()
		w.want(5*time.Second, target, "++++++")
	})
}

// A node that lost only its own connection to the store still hears of the others, and is heard by them.
func TestOneNodeWithoutStore(t *testing.T) {
	inClusterWith(t, newMesh(), "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setCut("a1")
		w.want(20*time.Second, target, "+++")
		w.wantMode("a1", ViaNodes)
		w.wantMode("b1", ViaStore)
		w.findAll(target, "a1- b1-")
		w.want(3*time.Second, target, "---")
		if s := w.members["c1"].Status(); s.Fresh() != 3 {
			t.Errorf("c1: %+v", s)
		}
	})
}

// Two nodes that cannot reach each other hear of each other through the third one, without a rejection.
func TestNodesPassMessagesOn(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setCut("a1", "b1", "c1")
		mesh.setCut("a1 b1")
		w.want(20*time.Second, target, "+++")
		w.findAll(target, "a1- b1-")
		w.want(6*time.Second, target, "---")
		for name, m := range w.members {
			if s := m.Status(); s.Fresh() != 3 || len(s.Rejected) > 0 {
				t.Errorf("%s: %+v", name, s)
			}
		}
	})
}

// A vantage that dies is lost to all nodes at the same time, although they pass its messages on.
func TestPassedMessagesDoNotKeepADeadVantageFresh(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, "a1 b1 c1 d1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+ d1+")
		w.want(5*time.Second, target, "++++")
		w.bus.setCut("a1", "b1", "c1", "d1")
		mesh.setCut("d1 a1", "d1 b1") // through c1 only
		time.Sleep(20 * time.Second)
		mesh.setCut("d1 a1", "d1 b1", "d1 c1")
		time.Sleep(6500 * time.Millisecond)
		for _, name := range []string{"a1", "b1", "c1"} {
			if s := w.members[name].Status(); s.Fresh() != 3 {
				t.Errorf("%s: %d vantages are fresh, want 3", name, s.Fresh())
			}
		}
	})
}

// An agent has no address. It counts without the store, because it asks the nodes.
func TestAgentCountsWithoutStore(t *testing.T) {
	inClusterWith(t, newMesh(), "a1 b1 x1", func(w *world) {
		w.findAll(target, "a1+ b1+ x1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setCut("a1", "b1", "x1")
		w.want(20*time.Second, target, "+++")
		w.findAll(target, "b1- x1-")
		w.want(3*time.Second, target, "---")
	})
}

// A process that starts without the store asks the nodes that it remembers; it decides nothing before it knows what the
// vantages observe, even if most of the names are known.
func TestProcessThatStartsWithoutStoreRemembersTheNodes(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, "a1 a2 a3 b1 c1", func(w *world) {
		w.findAll(target, "a1+ a2+ a3+ b1+ c1+")
		w.want(5*time.Second, target, "+++++")
		if mesh.learned["a1"] == 0 {
			t.Error("the addresses of the others were not to be saved")
		}
		remembered := map[string][][]byte{}
		w.bus.setCut("a1", "a2", "a3", "b1", "c1")
		for _, name := range []string{"a1", "a2", "a3"} {
			remembered[name] = w.members[name].Remember()
			w.members[name].stop()
		}
		mesh.split([]string{"a1", "a2", "a3"}, []string{"b1"}, []string{"c1"})
		time.Sleep(20 * time.Second)
		for name, text := range remembered {
			m := w.newMember(name)
			m.Restore(append(text, []byte("damaged")))
			m.find(target, health.Down)
			m.Begin()
			w.run(m)
			m.receive(Update{}) // as the transport does when it cannot connect
		}
		w.want(20*time.Second, target, "?????")
		for name := range remembered {
			w.wantMode(name, ViaNodes)
			if s := w.members[name].Status(); s.Fresh() != 3 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		mesh.setCut()
		w.findAll(target, "b1- c1-")
		w.want(5*time.Second, target, "-----")
	})
}

// A node that starts without the store and remembers nothing says so.
func TestNodeThatKnowsNoAddressSaysSo(t *testing.T) {
	inClusterWith(t, newMesh(), "a1 b1 c1", func(w *world) {
		m := w.newMember("a1")
		m.receive(Update{})
		if !m.reported("no address of another node is known") {
			t.Errorf("%q", m.allReports())
		}
	})
}

// A second process with the name of a node publishes nothing, also without the store.
func TestNameIsTakenWithoutStore(t *testing.T) {
	inClusterWith(t, newMesh(), "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		time.Sleep(5 * time.Second)
		w.bus.setCut("a1", "b1", "c1")
		time.Sleep(10 * time.Second)
		second := w.newMember("a1")
		second.Restore(w.members["b1"].Remember())
		second.find(target, health.Down)
		second.Begin()
		ctx, stop := context.WithCancel(w.t.Context())
		w.running.Go(func() { second.Run(ctx) })
		second.receive(Update{})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !second.NameIsTaken() || w.members["a1"].NameIsTaken() {
			t.Errorf("second %q\nfirst %q", second.allReports(), w.members["a1"].allReports())
		}
		if s := w.members["b1"].Status(); len(s.Rejected) > 0 || s.Fresh() != 3 {
			t.Errorf("b1: %+v", s)
		}
		stop()
	})
}

// Forged and replayed messages of an exchange are counted and change nothing.
func TestExchangeRejectsForgeries(t *testing.T) {
	inClusterWith(t, newMesh(), "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setCut("a1", "b1", "c1")
		time.Sleep(10 * time.Second)
		a := w.members["a1"]
		old := a.Answer(&observation.Exchange{}).Messages
		time.Sleep(2 * time.Minute)
		w.findAll(target, "b1-")
		time.Sleep(2 * time.Minute)
		forged := bytes.Clone(old[len(old)-1].Raw)
		forged[len(forged)-1] ^= 1
		other := observation.NewOutbox("other", keyOf("b1"), observation.Sender{Vantage: "b1", Region: "b", Boot: uint64(time.Now().UnixNano())})
		evil := observation.NewOutbox("prod", keyOf("evil"), observation.Sender{Vantage: "evil", Region: "b", Boot: uint64(time.Now().UnixNano())})
		beat := observation.Heartbeat{At: time.Now()}
		a.Answer(&observation.Exchange{Messages: append(slices.Clone(old),
			observation.Passed{Raw: forged}, observation.Passed{Raw: []byte("x")},
			observation.Passed{Raw: other.Take(beat)[0].Value}, observation.Passed{Raw: evil.Take(beat)[0].Value})})
		got := a.Status().Rejected
		if got[observation.BadSignature] != 2 || got[observation.Malformed] != 1 || got[observation.UnknownVantage] != 1 || got[observation.Replay] == 0 {
			t.Errorf("counted %v", got)
		}
		w.want(time.Second, target, "+++")
	})
}

// TestRandomLossesWithoutStore cuts the store and random links, with random delays. A node that reaches no majority of the regions,
// even through others, never changes a state, and all nodes are equal when the links are whole, with and without the store.
func TestRandomLossesWithoutStore(t *testing.T) {
	for seed := range uint64(3) {
		rnd, mesh := rand.New(rand.NewPCG(seed, 2)), newMesh()
		inClusterWith(t, mesh, strings.Join(all, " "), func(w *world) {
			mesh.delay = time.Duration(rnd.IntN(300)) * time.Millisecond
			w.findAll(target, "a1+ a2+ b1+ b2+ c1+ c2+")
			w.want(5*time.Second, target, "++++++")
			for round := range 6 {
				names := slices.Clone(all)
				rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				w.bus.setCut(all...)
				at := rnd.IntN(len(names) + 1)
				mesh.split(names[:at], names[at:])
				time.Sleep(10 * time.Second)
				before := map[string]int{}
				for _, name := range names {
					before[name] = w.members[name].changeCount()
				}
				for _, name := range names {
					w.findAll(target, name+string("+-"[rnd.IntN(2)]))
				}
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
				synctest.Wait()
				for _, side := range [][]string{names[:at], names[at:]} {
					if isMajority(side) {
						continue
					}
					for _, name := range side {
						if n := w.members[name].changeCount() - before[name]; n != 0 {
							t.Errorf("seed %d, round %d: %s changed %d states with %v", seed, round, name, n, side)
						}
					}
				}
				mesh.setCut()
				if rnd.IntN(2) == 0 {
					w.bus.setCut()
				}
				verdict := string("+-"[rnd.IntN(2)])
				for _, name := range all {
					w.findAll(target, name+verdict)
				}
				w.want(8*time.Second, target, strings.Repeat(verdict, 6))
			}
			for name, m := range w.members {
				if s := m.Status(); len(s.Rejected) > 0 {
					t.Errorf("seed %d: %s rejected %v", seed, name, s.Rejected)
				}
			}
		})
	}
}

// isMajority reports whether the nodes are more than half of the vantages in two of the three regions.
func isMajority(names []string) bool {
	count := map[string]int{}
	for _, name := range names {
		count[name[:1]]++
	}
	voting := 0
	for _, n := range count {
		if n == 2 {
			voting++
		}
	}
	return voting >= 2
}

// Ten minutes without the store change no state and let no node go, under random delays and opinions of a minority.
func TestTenMinutesWithoutStore(t *testing.T) {
	mesh := newMesh()
	inClusterWith(t, mesh, "a1 b1 c1 c2 x1", func(w *world) {
		mesh.delay = 150 * time.Millisecond
		w.findAll(target, "a1+ b1+ c1+ c2+ x1+")
		w.want(5*time.Second, target, "+++++")
		w.bus.setCut("a1", "b1", "c1", "c2", "x1")
		for i := range 30 {
			w.findAll(target, fmt.Sprintf("a1%c", "+-"[i%2]))
			w.want(20*time.Second, target, "+++++")
		}
		w.bus.setCut()
		w.want(10*time.Second, target, "+++++")
		for name, m := range w.members {
			if m.changeCount() != 1 || m.reported("vantage is lost") || len(m.Status().Rejected) > 0 {
				t.Errorf("%s: %d changes, %v, %q", name, m.changeCount(), m.Status().Rejected, m.allReports())
			}
		}
	})
}
