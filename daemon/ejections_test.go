package daemon

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/pools"
)

// rack is a set of endpoints that listen at 127.0.0.91 and up, on one port.
type rack struct {
	port  int
	on    []net.Listener // nil: off
	names testResolver

	members int // the first ones are configured
}

func newRack(t *testing.T, size int) *rack {
	r := &rack{on: make([]net.Listener, size), members: size}
	for i := range size {
		r.turnOn(t, i)
	}
	t.Cleanup(func() { r.turnOff(t, 0, size) })
	return r
}

func (r *rack) address(i int) string { return fmt.Sprintf("127.0.0.%d", 91+i) }

func (r *rack) turnOn(t *testing.T, i int) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", r.address(i), r.port))
	if err != nil {
		t.Fatal(err)
	}
	r.port, r.on[i] = l.Addr().(*net.TCPAddr).Port, l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it was switched off
			}
			conn.Close()
		}
	}()
}

func (r *rack) turnOff(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if r.on[i] == nil {
			continue
		}
		if err := r.on[i].Close(); err != nil {
			t.Error(err)
		}
		r.on[i] = nil
	}
}

// config returns a configuration with the members m0 and up of the rack, more settings, a bound,
// and a state directory if state is not empty.
func (r *rack) config(bound, state, more string) string {
	resolvers := ""
	if r.names.at != "" {
		resolvers = fmt.Sprintf(", resolvers: [%q]", r.names.at)
	}
	text := fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"], workers: 1%s}
admin: {listen: "127.0.0.1:0"}
health: {max_ejection: %s}
checks:
  alive: {type: tcp, port: %d, interval: 400ms, timeout: 400ms, rise: 1, fall: 1}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
pools:
  web:
    policy: weighted
    check: alive
    members:
`, resolvers, bound, r.port)
	for i := range r.members {
		text += fmt.Sprintf("      - {name: m%d, addresses: [%s]}\n", i, r.address(i))
	}
	text += more
	if state != "" {
		text += "state: " + state + "\n"
	}
	return text
}

// stateCounts returns the number of members in each state.
func (r *runningDaemon) stateCounts(t *testing.T) string {
	t.Helper()
	counts := map[string]int{}
	for _, state := range strings.Fields(r.states(t)) {
		counts[state[strings.Index(state, "=")+1:]]++
	}
	return fmt.Sprint(counts)
}

// await waits until members have the wanted states, or fails.
func (r *runningDaemon) await(t *testing.T, want string) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	got := ""
	for range 3000 {
		if got = r.stateCounts(t); got == want {
			return
		}
		<-poll.C
	}
	t.Fatalf("got %s, want %s", got, want)
}

func TestMassFailureIsDeferredThenEjected(t *testing.T) {
	t.Parallel()
	rack := newRack(t, 5)
	r := start(t, rack.config("40%/1h", "", ""))
	r.await(t, "map[up:5]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[deferred:3 down:2 ejection:3]")
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Pools[0].Members {
		if m.State != pools.EjectionDeferred {
			continue
		}
		want := "ejection deferred, treated as up: " + m.Member + " would be more than max_ejection 40%/1h: " // refused, or reset if a probe was under way
		if !strings.HasPrefix(m.Why, want) || m.Addresses[0].Verdict != "down" || !m.EjectionDeferred || !m.Eligible["IPv4"] {
			t.Errorf("%s: %+v, want why %q", m.Member, m, want)
		}
	}
	for i := range 5 {
		rack.turnOn(t, i)
	}
	r.await(t, "map[up:5]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[deferred:3 down:2 ejection:3]")
	r.reload(rack.config("40%/1s", "", ""))
	r.await(t, "map[down:5]")
}

// TestMaxEjectionSurvivesRestart checks that a bound over an hour survives a restart.
func TestMaxEjectionSurvivesRestart(t *testing.T) {
	rack, state := newRack(t, 5), t.TempDir()
	text := rack.config("40%/1h", state, "")
	r := start(t, text)
	r.await(t, "map[up:5]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[deferred:3 down:2 ejection:3]")
	before := r.states(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, text)
	again.expect(t, "after a restart", before)
	again.Tick(time.Now())
	again.expect(t, "after a tick", before)
	for i := range 5 {
		rack.turnOn(t, i)
	}
	again.await(t, "map[up:5]")
}

func TestReloadWithBrokenCheckEjectsFewMembers(t *testing.T) {
	rack := newRack(t, 5)
	text := rack.config("40%/1h", "", "")
	r := start(t, text)
	r.await(t, "map[up:5]")
	r.reload(strings.Replace(text, "type: tcp,", `type: tcp, send: "x", expect: "y",`, 1))
	r.await(t, "map[deferred:3 down:2 ejection:3]")
	r.reload(text)
	r.await(t, "map[up:5]")
}

// TestTargetUpdateKeepsDeferrals checks that recompiled pools carry
// over the deferrals, and that ticks and recovery still work.
func TestTargetUpdateKeepsDeferrals(t *testing.T) {
	t.Parallel()
	rack := newRack(t, 6)
	rack.members = 5 // the sixth is the target's
	rack.names.serve(t)
	rack.names.set(rack.address(5))
	r := start(t, rack.config("40%/1h", "", "      - {name: lb, target: lb.example.net}\n"))
	r.await(t, "map[up:6]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[deferred:3 down:2 ejection:3 up:1]")
	before := r.states(t)
	rack.names.set(rack.address(5), rack.address(4))
	for poll := time.NewTicker(20 * time.Millisecond); ; <-poll.C {
		status, err := r.Status(control.Selector{Pool: "web", Member: "lb"})
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Pools[0].Members[0].Addresses) == 2 {
			break
		}
	}
	r.expect(t, "with another address of the target", before)
	r.Tick(time.Now().Add(2 * time.Hour))
	r.await(t, "map[deferred:1 down:4 ejection:1 up:1]") // two more
	for i := range 5 {
		rack.turnOn(t, i)
	}
	r.await(t, "map[up:6]")
}

// testResolver is a recursive server with IPv4 addresses for every name.
type testResolver struct {
	at        string
	mu        sync.Mutex
	addresses []string
}

func (n *testResolver) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = addresses
}

func (n *testResolver) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg).SetReply(question)
	m.RecursionAvailable = true
	if q := question.Question[0]; q.Qtype == dns.TypeA {
		for _, a := range n.addresses {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(a)})
		}
	}
	w.WriteMsg(m) //nolint:errcheck // the client has gone
}

// serve runs it until the test ends.
func (n *testResolver) serve(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.at = conn.LocalAddr().String()
	s := &dns.Server{PacketConn: conn, Handler: n}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	t.Cleanup(func() { conn.Close(); <-done })
}
