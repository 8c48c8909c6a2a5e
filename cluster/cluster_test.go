package cluster

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/cluster/observation"
	"meridian/config"
	"meridian/health"
)

var check = &config.Check{Name: "web", Type: config.TCPConnect, Port: 80}

// bus is a store in memory that nodes publish to and watch, with a delay, unless they are cut off.
type bus struct {
	mu      sync.Mutex
	delay   time.Duration
	values  map[string][]byte
	cut     map[string]bool // nodes that reach nothing
	full    map[string]bool // nodes that cannot publish
	watches map[watcher]func(Update)
}

// watcher is a node that watches; there may be two of one name.
type watcher struct {
	name   string
	number int
}

func newBus() *bus {
	return &bus{values: make(map[string][]byte), cut: make(map[string]bool), full: make(map[string]bool), watches: make(map[watcher]func(Update))}
}

// transport returns the transport of a node.
func (b *bus) transport(name string) Transport {
	return Transport{
		Publish: func(_ context.Context, records []observation.Record) error { return b.publish(name, records) },
		Watch:   func(ctx context.Context, receive func(Update)) { b.watch(ctx, name, receive) },
	}
}

func (b *bus) publish(from string, records []observation.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut[from] {
		return errors.New("cut off")
	}
	if b.full[from] {
		return errors.New("no space")
	}
	var values [][]byte
	for _, r := range records {
		b.values[r.Key] = r.Value
		values = append(values, r.Value)
	}
	for w, receive := range b.watches {
		if !b.cut[w.name] {
			time.AfterFunc(b.delay, func() { receive(Update{Values: values, Live: true, Connected: true}) })
		}
	}
	return nil
}

func (b *bus) watch(ctx context.Context, name string, receive func(Update)) {
	b.mu.Lock()
	w := watcher{name, rand.Int()}
	b.watches[w] = receive
	cut := b.cut[name]
	b.mu.Unlock()
	if !cut {
		receive(b.stored())
	}
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watches, w)
}

// stored returns all values, in the order of their keys: blocks come after heartbeats.
func (b *bus) stored() Update {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := Update{Connected: true}
	for _, prefix := range []string{observation.BlockKeys, observation.NodeKeys, observation.HeartbeatKeys} {
		for key, value := range b.values {
			if strings.HasPrefix(key, prefix) {
				u.Values = append(u.Values, value)
			}
		}
	}
	return u
}

// setDelay sets how long a publication takes to the nodes.
func (b *bus) setDelay(delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = delay
}

// setFull makes the publications of a node fail, or succeed again.
func (b *bus) setFull(name string, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full[name] = full
}

// setCut cuts nodes off, and connects all others.
func (b *bus) setCut(names ...string) {
	b.mu.Lock()
	var healed []func(Update)
	before := maps.Clone(b.cut)
	clear(b.cut)
	for _, name := range names {
		b.cut[name] = true
	}
	for w, receive := range b.watches {
		switch {
		case b.cut[w.name] && !before[w.name]:
			defer receive(Update{})
		case !b.cut[w.name] && before[w.name]:
			healed = append(healed, receive)
		}
	}
	b.mu.Unlock()
	for _, receive := range healed {
		receive(b.stored())
	}
}

// member is a node with the state that it makes its prober have.
type member struct {
	*Node
	mu      sync.Mutex
	states  map[health.ProbeID]health.Agreement
	changes []health.Agreement
	reports []string
	stop    context.CancelFunc
}

// state returns the state of a target: "+" up, "-" down, "?" undecided.
func (m *member) state(of netip.Addr) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.states[health.IDOf(check, of)]
	switch {
	case !ok || a.Uncertain:
		return "?"
	case a.Verdict == health.Up:
		return "+"
	}
	return "-"
}

// find sets the opinion of a node.
func (m *member) find(of netip.Addr, v health.Verdict) {
	m.Opinion(health.Opinion{ID: health.IDOf(check, of), Target: health.Target{Check: check, Addr: of}, Verdict: v, Since: time.Now()})
}

func (m *member) reported(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.reports, func(r string) bool { return strings.Contains(r, text) })
}

// allReports returns what the node has reported.
func (m *member) allReports() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.reports)
}

// changeCount returns how many states have changed.
func (m *member) changeCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.changes)
}

// world is nodes in a bubble, each in a region of the first letter of its name.
type world struct {
	t       *testing.T
	bus     *bus
	mesh    *mesh // nil: nodes do not ask each other
	trust   map[string]ed25519.PublicKey
	members map[string]*member
	running sync.WaitGroup
	stale   int  // heartbeats; 0: 3
	patient bool // nodes notice the loss of the store by its silence, not at once
}

func keyOf(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

// inCluster runs f in a bubble with running nodes.
func inCluster(t *testing.T, names string, f func(w *world)) {
	t.Helper()
	inClusterWith(t, nil, names, f)
}

// inClusterWith is inCluster with nodes that ask each other through a mesh.
func inClusterWith(t *testing.T, of *mesh, names string, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, bus: newBus(), mesh: of, trust: make(map[string]ed25519.PublicKey), members: make(map[string]*member)}
		for _, name := range strings.Fields(names) {
			w.trust[name] = keyOf(name).Public().(ed25519.PublicKey)
		}
		for name := range w.trust {
			w.start(name)
		}
		defer func() {
			for _, m := range w.members {
				m.stop()
			}
			w.running.Wait()
		}()
		f(w)
	})
}

func (w *world) start(name string) *member {
	m := w.newMember(name)
	m.Begin()
	w.run(m)
	return m
}

// heartbeat is that of all nodes.
const heartbeat = 2 * time.Second

func (w *world) newMember(name string) *member {
	m := &member{states: make(map[health.ProbeID]health.Agreement)}
	stale, transport := cmp.Or(w.stale, 3), w.bus.transport(name)
	if w.patient {
		transport.Watch = w.bus.patientWatch(name, PatienceOf(heartbeat, stale))
	}
	m.Node = New(Options{
		Cluster: "prod", Name: name, Region: name[:1], Key: keyOf(name), Trust: w.trust,
		Heartbeat: heartbeat, Stale: stale, Transport: transport, Direct: w.mesh.direct(name), Agree: m.agree,
		Report: func(_ slog.Level, subject, message string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.reports = append(m.reports, subject+": "+message)
		},
	})
	return m
}

func (w *world) run(m *member) {
	ctx, stop := context.WithCancel(w.t.Context())
	m.stop = stop
	w.mesh.add(m)
	w.members[m.Name] = m
	w.running.Go(func() { m.Run(ctx) })
}

func (m *member) agree(all []health.Agreement) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range all {
		if old := m.states[a.ID]; a.Verdict != old.Verdict && !a.Uncertain {
			m.changes = append(m.changes, a)
		}
		if a.Uncertain {
			a.Verdict = m.states[a.ID].Verdict
		}
		m.states[a.ID] = a
	}
	return true
}

// want waits, and compares the states of a target at all nodes, by name.
func (w *world) want(after time.Duration, of netip.Addr, want string) {
	w.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	names := make([]string, 0, len(w.members))
	for name := range w.members {
		names = append(names, name)
	}
	slices.Sort(names)
	got := ""
	for _, name := range names {
		got += w.members[name].state(of)
	}
	if got != want {
		w.t.Errorf("states %s, want %s", got, want)
	}
}

// findAll sets the opinions of nodes, as in "a1+ b1-".
func (w *world) findAll(of netip.Addr, opinions string) {
	for _, o := range strings.Fields(opinions) {
		v := health.Up
		if o[len(o)-1] == '-' {
			v = health.Down
		}
		w.members[o[:len(o)-1]].find(of, v)
	}
}

var target = netip.MustParseAddr("192.0.2.1")

func TestMajorityDecidesOnAllNodes(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.findAll(target, "a1-")
		w.want(5*time.Second, target, "+++")
		w.findAll(target, "b1-")
		w.want(publishInterval+10*time.Millisecond, target, "---")
		w.findAll(target, "a1+")
		w.want(publishInterval+10*time.Millisecond, target, "+++")
	})
}

// A minority that sees everything down changes nothing; it follows the majority after the partition.
func TestMinorityNeverFailsOver(t *testing.T) {
	inCluster(t, "a1 a2 b1 b2 c1 c2", func(w *world) {
		w.findAll(target, "a1+ a2+ b1+ b2+ c1+ c2+")
		w.want(5*time.Second, target, "++++++")
		w.bus.setCut("a1", "a2")
		w.findAll(target, "a1- a2-")
		w.want(20*time.Second, target, "??++++")
		w.findAll(target, "b1- b2- c1- c2-")
		w.want(time.Second, target, "??----")
		w.findAll(target, "b1+ b2+ c1+ c2+")
		w.want(time.Second, target, "??++++")
		w.bus.setCut()
		w.want(5*time.Second, target, "++++++")
		for _, name := range []string{"a1", "a2"} {
			if n := w.members[name].changeCount(); n != 1 {
				t.Errorf("%d state changes on %s, want the first only", n, name)
			}
		}
	})
}

func TestNoStateChangesWhileTheStoreIsAway(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setCut("a1", "b1", "c1")
		w.findAll(target, "a1- b1-")
		w.want(10*time.Minute, target, "???")
		for name, m := range w.members {
			if m.changeCount() != 1 || m.Status().Connected {
				t.Errorf("%s: %d state changes, connected %v", name, m.changeCount(), m.Status().Connected)
			}
		}
		w.bus.setCut()
		w.want(5*time.Second, target, "---")
	})
}

// A node that starts while it reaches nothing does not take itself for the cluster.
func TestNodeThatStartsAloneDecidesNothing(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.members["a1"].stop()
		w.bus.setCut("a1")
		w.start("a1").find(target, health.Down)
		w.want(time.Minute, target, "?++")
		w.bus.setCut()
		w.want(5*time.Second, target, "+++")
	})
}

// A node that reaches the store and hears of no other vantage says so once, until it hears of one. One with lost peers that it has
// heard does not, nor does one that is alone in its cluster.
func TestNodeThatHearsNoneIsReported(t *testing.T) {
	const message = "no heartbeat of another vantage"
	inCluster(t, "a1 b1", func(w *world) {
		time.Sleep(5 * time.Second)
		w.members["b1"].stop()
		time.Sleep(time.Minute)
		if a := w.members["a1"]; a.Status().Unheard || a.reported(message) {
			t.Errorf("its peer is lost: %q", a.allReports())
		}
		w.members["a1"].stop()
		a := w.start("a1")
		time.Sleep(time.Minute)
		if n := strings.Count(strings.Join(a.allReports(), "\n"), message); !a.Status().Unheard || n != 1 {
			t.Errorf("reported %d times: %q", n, a.allReports())
		}
		w.start("b1")
		time.Sleep(5 * time.Second)
		if a.Status().Unheard {
			t.Error("it has heard another vantage")
		}
		w.bus.setCut("a1")
		time.Sleep(time.Minute)
		if a.Status().Unheard {
			t.Error("it does not reach the store")
		}
	})
	inCluster(t, "a1", func(w *world) {
		time.Sleep(time.Minute)
		if a := w.members["a1"]; a.Status().Unheard || a.reported(message) {
			t.Errorf("alone in its cluster: %q", a.allReports())
		}
	})
}

func TestLostVantagesLeaveTheQuorum(t *testing.T) {
	inCluster(t, "a1 a2 a3 b1 c1", func(w *world) {
		w.findAll(target, "a1+ a2+ a3+ b1+ c1+")
		w.want(5*time.Second, target, "+++++")
		w.bus.setCut("a1", "b1")
		w.want(20*time.Second, target, "?++?+") // two of three in a, and two of three regions
		w.findAll(target, "a2- a3-")
		w.want(time.Second, target, "?????") // a finds it down and c up
		w.findAll(target, "c1-")
		w.want(time.Second, target, "?--?-")
		w.bus.setCut("a1", "a2", "b1")
		w.want(20*time.Second, target, "?????") // one of three in a
	})
}

func TestStormIsPublishedAtMostFourTimesASecond(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		time.Sleep(time.Second)
		m := w.members["a1"]
		before := m.Status().Published
		for i := range 1000 { // 10 s
			m.find(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), health.Up)
			time.Sleep(10 * time.Millisecond)
		}
		if n := m.Status().Published - before; n > 46 || n < 35 {
			t.Errorf("%d publications in 10 s", n)
		}
	})
}

func TestRestartWithClockSetBackIsReceived(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.members["a1"].stop()
		w.want(10*time.Second, target, "+++")
		m := w.newMember("a1")
		m.outbox.Restart(7) // as with a clock of 1970
		m.Begin()
		w.run(m)
		w.findAll(target, "a1- b1-")
		w.want(10*time.Second, target, "---")
	})
}

// The second of two processes of one name publishes nothing while the first one lives, and takes the name when that ends.
func TestSecondProcessDoesNotSilenceTheFirst(t *testing.T) {
	for how, end := range map[string]func(w *world, first *member){
		"it ends": func(_ *world, first *member) { first.stop() },
		"it is killed": func(w *world, first *member) {
			w.bus.setFull("a1", true) // its last heartbeat is lost
			first.stop()
			synctest.Wait()
			w.bus.setFull("a1", false)
		},
	} {
		t.Run(how, func(t *testing.T) {
			inCluster(t, "a1 b1", func(w *world) {
				first := w.members["a1"]
				w.findAll(target, "a1+ b1+")
				w.want(5*time.Second, target, "++")
				second := w.start("a1")
				second.find(target, health.Down)
				w.want(time.Minute, target, "++")
				const text = "another process publishes under the name"
				if first.reported(text) || !second.reported(text) || !second.Status().NameTaken || first.Status().NameTaken {
					t.Errorf("reported by the first process: %v, by the second: %v", first.reported(text), second.reported(text))
				}
				if n := second.Status().Published; n != 0 || second.Status().Vantages[0].Fresh || !first.Status().Vantages[0].Fresh {
					t.Errorf("the second process published %d times", n)
				}
				if n := len(second.allReports()); n > 10 {
					t.Errorf("%d reports in a minute: %q", n, second.allReports())
				}
				end(w, first)
				w.want(10*time.Second, target, "??")
				if second.Status().NameTaken || !second.reported("no other process publishes") || !w.members["b1"].Status().Vantages[0].Fresh {
					t.Errorf("the second process does not take the name: %q", second.allReports())
				}
			})
		})
	}
}

// A process that was cut off has lost its name to one that started then, and takes it back when that ends.
func TestProcessThatWasCutOffLosesItsName(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		first := w.members["a1"]
		w.findAll(target, "a1+ b1+")
		w.want(5*time.Second, target, "++")
		w.bus.setCut("a1")
		time.Sleep(10 * time.Second)
		second := w.newMember("a1")
		second.Transport = w.bus.transport("second")
		second.Begin()
		w.run(second)
		second.find(target, health.Up)
		w.want(10*time.Second, target, "++")
		before := first.Status().Published
		w.bus.setCut()
		w.want(time.Minute, target, "++")
		if n := first.Status().Published; n != before || !first.Status().NameTaken || second.Status().NameTaken {
			t.Errorf("the first process published %d times: %q", n-before, first.allReports())
		}
		second.stop()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if v := w.members["b1"].Status().Vantages[0]; !v.Fresh || first.Status().Published == before || first.Status().NameTaken {
			t.Errorf("after the end of the second process: fresh %v, %d publications", v.Fresh, first.Status().Published-before)
		}
		first.stop()
	})
}

// A process that another one took over from publishes at once when that has failed; so does one that takes over.
func TestProcessThatTakesOverHasTheName(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		first := w.members["a1"]
		time.Sleep(3 * time.Second)
		publishes := func(m *member) {
			t.Helper()
			before := m.Status().Published
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if m.Status().Published == before || m.Status().NameTaken || len(m.allReports()) > 5 {
				t.Errorf("it does not publish: %q", m.allReports())
			}
		}
		second := w.newMember("a1")
		second.TakesOver, second.passed = true, true
		w.run(second)
		time.Sleep(time.Minute)
		first.End()
		second.Begin()
		publishes(second)
		second.End() // it has failed
		first.Begin()
		publishes(first)
		first.stop()
	})
}

// A process that starts after another one of its node publishes at once, if that has said that it ends. After kill -9 it waits
// for a heartbeat of the other one: with the saved state for two heartbeats, without until the last one is stale.
func TestRestartedProcessPublishes(t *testing.T) {
	for _, c := range []struct {
		name          string
		killed, known bool
		within        time.Duration
	}{
		{"after its end", false, false, time.Second},
		{"killed, known", true, true, 4 * time.Second},
		{"killed, not known", true, false, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inCluster(t, "a1 b1", func(w *world) {
				time.Sleep(3 * time.Second)
				first := w.members["a1"]
				w.bus.setFull("a1", c.killed)
				first.stop()
				synctest.Wait()
				w.bus.setFull("a1", false)
				m := w.newMember("a1")
				if c.known {
					m.UsePrevious(first.Boot())
				}
				m.Begin()
				w.run(m)
				time.Sleep(c.within - 500*time.Millisecond)
				synctest.Wait()
				if at := m.Status().Published; (at == 0) != (c.within > time.Second) {
					t.Errorf("%d publications in %v", at, c.within)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if m.Status().Published == 0 || m.reported("another process") {
					t.Errorf("%d publications: %q", m.Status().Published, m.allReports())
				}
			})
		})
	}
}

// A process with a copy of the state of a running one does not take the name: the running one sends a heartbeat in time.
func TestCopyOfStateDoesNotTakeTheName(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		first := w.members["a1"]
		w.findAll(target, "a1+ b1+")
		w.want(5*time.Second, target, "++")
		for range 5 { // at any moment between two heartbeats
			time.Sleep(400 * time.Millisecond)
			second := w.newMember("a1")
			second.UsePrevious(first.Boot())
			second.Begin()
			w.run(second)
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if n := second.Status().Published; n != 0 || !second.Status().NameTaken || first.Status().NameTaken {
				t.Errorf("the copy published %d times, name taken: %v, by the copy: %v", n, second.Status().NameTaken, first.Status().NameTaken)
			}
			second.stop()
			synctest.Wait()
		}
		w.members["a1"] = first
	})
}

// While etcd is away, a node with a namesake counts what it finds itself: the last opinion of the other process is old. The
// region of a node counts only while a vantage in it observes the target.
func TestNamesakeCountsWhileConnectedOnly(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		first := w.members["a1"]
		time.Sleep(3 * time.Second)
		second := w.newMember("a1")
		second.Region = "elsewhere"
		second.Begin()
		w.run(second)
		w.findAll(target, "a1- b1+")
		first.find(target, health.Up)
		w.want(20*time.Second, target, "++")
		votes := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := fmt.Sprint(second.Checks()[0].Agreement.Votes); got != want {
				t.Errorf("votes %s, want %s", got, want)
			}
		}
		votes("map[a:up b:up]")
		w.bus.setCut("a1")
		time.Sleep(20 * time.Second)
		votes("map[b:unknown elsewhere:down]")
		first.stop()
	})
}

// A process that starts publishes nothing until its targets are known: until then, what the earlier one found counts, as
// not fresh, so that the others are no majority.
func TestRestartInTieChangesNoState(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		w.findAll(target, "a1+ b1+")
		w.want(5*time.Second, target, "++")
		w.findAll(target, "b1-") // a tie
		w.want(5*time.Second, target, "??")
		changes := w.members["b1"].changeCount()
		w.members["a1"].stop()
		m := w.newMember("a1")
		w.run(m)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := w.members["b1"].changeCount(); n != changes || m.Status().Published != 0 {
			t.Errorf("before the targets are known: %d state changes, %d publications", n-changes, m.Status().Published)
		}
		m.find(target, health.Up)
		m.Begin()
		w.want(5*time.Second, target, "??")
		if n := w.members["b1"].changeCount(); n != changes {
			t.Errorf("%d state changes", n-changes)
		}
	})
}

// A node that receives and cannot publish says so once, and does not count itself, as the other nodes do not.
func TestNodeThatCannotPublishDoesNotCountItself(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1+ c1+")
		w.want(5*time.Second, target, "+++")
		w.bus.setFull("a1", true)
		w.findAll(target, "a1- b1-") // would be two of three
		w.want(time.Minute, target, "???")
		m := w.members["a1"]
		if m.Status().Vantages[0].Fresh || w.members["b1"].Status().Vantages[0].Fresh {
			t.Error("it counts as fresh")
		}
		count := 0
		for _, r := range m.allReports() {
			if strings.Contains(r, "cannot be published") {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%d reports of the failure, want 1: %q", count, m.allReports())
		}
		w.bus.setFull("a1", false)
		w.want(10*time.Second, target, "---")
		if !m.reported("observations are published again") || !m.Status().Vantages[0].Fresh {
			t.Errorf("the recovery is not reported, or it is not fresh: %q", m.allReports())
		}
	})
}

func TestForgedMessagesAreCountedAndReportedOnce(t *testing.T) {
	inCluster(t, "a1 b1", func(w *world) {
		time.Sleep(time.Second)
		forger := observation.NewOutbox("prod", keyOf("evil"), observation.Sender{Vantage: "a1", Region: "a", Boot: uint64(time.Now().UnixNano())})
		for range 5 {
			if err := w.bus.publish("evil", forger.Take(observation.Heartbeat{At: time.Now()})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		m := w.members["b1"]
		if n := m.Status().Rejected[observation.BadSignature]; n != 5 {
			t.Errorf("%d rejected, want 5", n)
		}
		count := 0
		for _, r := range m.allReports() {
			if strings.Contains(r, "message rejected") {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%d reports, want 1: %q", count, m.allReports())
		}
	})
}

func TestDisagreementIsReported(t *testing.T) {
	inCluster(t, "a1 b1 c1", func(w *world) {
		w.findAll(target, "a1+ b1- c1-")
		lax := *check
		lax.Quorum.Preset = config.AnyUpPreset
		w.members["a1"].Opinion(health.Opinion{ID: health.IDOf(check, target), Target: health.Target{Check: &lax, Addr: target}, Verdict: health.Up})
		w.want(30*time.Second, target, "+--")
		if n := w.members["b1"].Status().Disagreements; n != 1 || !w.members["b1"].reported("a1: it has other results") {
			t.Errorf("%d disagreements: %q", n, w.members["b1"].allReports())
		}
		if n := w.members["c1"].Status().Disagreements; n != 1 {
			t.Errorf("%d disagreements on c1", n)
		}
	})
}

// TestRandomPartitions cuts random nodes off while random opinions change, with a random delay. A node that is cut off never
// changes a state unless it is a majority of the regions, and all nodes are equal after the partition.
func TestRandomPartitions(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		names := []string{"a1", "a2", "b1", "b2", "c1", "c2"}
		inCluster(t, strings.Join(names, " "), func(w *world) {
			w.bus.setDelay(time.Duration(rnd.IntN(150)) * time.Millisecond)
			w.findAll(target, "a1+ a2+ b1+ b2+ c1+ c2+")
			w.want(5*time.Second, target, "++++++")
			for range 8 {
				cut := names[:rnd.IntN(len(names))]
				w.bus.setCut(cut...)
				time.Sleep(8 * time.Second) // stale
				before := map[string]int{}
				for _, name := range cut {
					before[name] = w.members[name].changeCount()
				}
				for _, name := range names {
					w.findAll(target, name+string("+-"[rnd.IntN(2)]))
				}
				time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
				synctest.Wait()
				for _, name := range cut { // each alone: no node that is cut off is a majority
					if w.members[name].changeCount() != before[name] {
						t.Errorf("seed %d: %s changed a state while it was cut off", seed, name)
					}
				}
				rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			}
			w.bus.setCut()
			verdict := string("+-"[rnd.IntN(2)])
			for _, name := range names {
				w.findAll(target, name+verdict)
			}
			w.want(5*time.Second, target, strings.Repeat(verdict, 6))
		})
	}
}

func ExampleNode_Status() {
	n := New(Options{Cluster: "prod", Name: "ams1", Region: "eu", Key: keyOf("ams1")})
	fmt.Println(n.Status().Node, n.Status().Connected)
	// Output: ams1 false
}

// A node that etcd cannot be reached from at its start says so, once.
func TestNodeReportsThatItStartsWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		var reported []string
		n := New(Options{
			Cluster: "prod", Name: "a1", Region: "a", Key: key, Heartbeat: time.Second, Stale: 3,
			Transport: Transport{Watch: func(ctx context.Context, receive func(Update)) {
				receive(Update{})
				receive(Update{})
				<-ctx.Done()
			}},
			Report: func(_ slog.Level, _, message string) { reported = append(reported, message) },
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		n.Run(ctx)
		if len(reported) != 1 || !strings.HasPrefix(reported[0], "the cluster cannot be reached") {
			t.Errorf("reported %q", reported)
		}
	})
}
