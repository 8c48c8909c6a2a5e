package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control"
	"meridian/server/answer"
)

// resolverAt answers every question for an A record with an address and TTL 0.
func resolverAt(t *testing.T, addr *atomic.Value) (at netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		answer.RecursionAvailable = true
		if q.Question[0].Qtype == dns.TypeA {
			header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			answer.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP(addr.Load().(string))}}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

const targeted = `
server: {listen: ["127.0.0.1:0"], workers: 1, resolvers: ["RESOLVER"]}
admin: {listen: "127.0.0.1:0"}
pools:
  web:
    policy: weighted
    members: [{name: lb, target: lb.example.net}]
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// Address changes of targets are applied while a reload hangs, and after it.
func TestTargetsUpdateWhileReloadHangs(t *testing.T) {
	t.Parallel()
	var addr atomic.Value
	addr.Store("127.0.0.91")
	r := start(t, strings.Replace(targeted, "RESOLVER", resolverAt(t, &addr).String(), 1))
	loading, release := make(chan struct{}), make(chan struct{})
	r.onLoad.Store(func() { loading <- struct{}{}; <-release })
	r.hangUp <- syscall.SIGHUP
	<-loading
	addr.Store("127.0.0.92")
	r.awaitAnswer(t, "127.0.0.92")
	r.onLoad.Store(func() {})
	close(release)
	r.hangUp <- syscall.SIGHUP
	r.awaitAnswer(t, "127.0.0.92")
}

// awaitAnswer waits until www.example.com has an address.
func (r *runningDaemon) awaitAnswer(t *testing.T, want string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		e := r.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA})
		if len(e.Answers) == 1 && e.Answers[0].Data == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("answered %v, want %s", e.Answers, want)
		}
	}
}

// A generation that was replaced does not become active again.
func TestReplacedGenerationStaysInactive(t *testing.T) {
	t.Parallel()
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	old := m.hold()
	defer old.Release()
	m.reload("")
	select {
	case <-old.replaced:
	default:
		t.Error("the old generation is not marked as replaced")
	}
	serves := m.server.Snapshot()
	if err := m.recompileLatency(context.Background(), old, nil); !errors.Is(err, errReplaced) {
		t.Errorf("measure: %v", err)
	}
	m.publishRoundTrips(old)
	if m.server.Snapshot() != serves {
		t.Error("the pools of the old generation serve")
	}
}

func TestFailedUpdateOfTargetsIsRetriedWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		results := []func() error{
			func() error { return errors.New("no memory") }, func() error { panic("a bug") }, func() error { return errors.New("no memory") },
			func() error { return nil }, func() error { return errors.New("no memory") }, func() error { return errReplaced },
		}
		r := retrier{instance: &instance{Daemon: &Daemon{Logger: log}, control: control.New(nil, log)}}
		r.run = func() error { next := results[0]; results = results[1:]; return next() }
		var waits []time.Duration
		for len(results) > 0 {
			begun, due := time.Now(), r.attempt(t.Context())
			if due != nil {
				<-due
			}
			waits = append(waits, time.Since(begun))
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 0, time.Second, 0}; !slices.Equal(waits, want) {
			t.Errorf("waits %v, want %v", waits, want)
		}
	})
}

// The files of a generation stay open only while it is used.
func TestLastUserClosesGeneration(t *testing.T) {
	m := startMeasuring(t, "", farIsQuick, time.Hour)
	g := m.hold()
	closed := func() bool {
		select {
		case <-g.unused:
			return true
		default:
			return false
		}
	}
	m.reload("")
	if closed() {
		t.Error("it was closed while it is used")
	}
	if g.Release(); !closed() || g.Acquire() || m.log.Len() > 0 {
		t.Errorf("it was not closed, or logged %q", &m.log)
	}
}

// A panic in the build of a reload refuses the reload, is logged with its stack, and is counted.
func TestPanicInBuildRefusesReload(t *testing.T) {
	r := start(t, steered)
	r.onLoad.Store(func() { panic("a broken table") })
	r.reload(steered) // twice: the second one may still be running
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "panic while building, please report it: a broken table"; !status.Reload.Refused || status.Reload.Error != want {
		t.Errorf("reload %+v", status.Reload)
	}
	if status.BuildPanics == 0 {
		t.Error("it is not counted")
	}
	logged := r.log.with("panic while building; the previous state keeps serving")
	if uint64(len(logged)) < status.BuildPanics || !strings.Contains(logged[0], "updates_test.go") {
		t.Errorf("logged %q", logged)
	}
	r.onLoad.Store(func() {})
	r.reload(strings.Replace(steered, "name: b", "name: renamed", 1))
	if states := r.states(t); !strings.Contains(states, "web/renamed=") {
		t.Errorf("the next reload is not accepted: %s", states)
	}
}

// At start there is no previous state, and the panic is an error.
func TestPanicInFirstBuildIsError(t *testing.T) {
	_, err := recovered(func() (*config.Config, error) { panic("broken") })
	if want := "panic while building, please report it: broken"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestSharedSettingAppliesWhileInUse(t *testing.T) {
	began, ended := 0, 0
	s := sharedSetting{begin: func() func() { began++; return func() { ended++ } }}
	first := s.use()
	second := s.use()
	first()
	if began != 1 || ended != 0 {
		t.Errorf("begun %d times, ended %d times while it is used", began, ended)
	}
	second()
	s.use()()
	if began != 2 || ended != 2 {
		t.Errorf("begun %d times, ended %d times", began, ended)
	}
}
