package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/control"
	"meridian/server/answer"

	"github.com/miekg/dns"
)

// reporting is a pool of two members that report their load at URL.
const reporting = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
loads:
  a: {type: json, url: "URL/a", load: a, interval: 100ms, stale: 1s}
  b: {type: json, url: "URL/b", load: b, interval: 100ms, stale: 1s}
pools:
  web:
    policy: least-load
    members:
      - {name: a, addresses: [127.0.0.81], load: a, capacity: 100}
      - {name: b, addresses: [127.0.0.82], load: b, capacity: 100}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    ttl: 1
    names: {www: {pool: web}}
`

// odds returns the probabilities of the first two members.
func (r *runningDaemon) odds() (p [2]float64) {
	for i, step := range r.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix("192.0.2.1/32")}).Steps {
		p[i] = step.Probability
	}
	return p
}

// A running server uses reported loads in its decisions, shows them in the status, and ignores
// stale ones.
func TestLoadReportsChangeAnswers(t *testing.T) {
	t.Parallel()
	var full atomic.Int32 // the member without free capacity; neither: the source is broken
	full.Store(1)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		loads := [3]int{}
		if loads[full.Load()] = 100; full.Load() == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"a": %d, "b": %d}`, loads[1], loads[2])
	}))
	defer source.Close()
	r := start(t, strings.ReplaceAll(reporting, "URL", source.URL))
	odds := r.odds
	if got := odds(); got != [2]float64{0, 1} {
		t.Fatalf("before the first answer: %v", got)
	}
	full.Store(2)
	settle(t, "when b is full", mostly(odds), [2]float64{1, 0})
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	if l := status.Loads[1]; l.Source != "b" || l.Load != 100 || !l.Fresh || l.Polls == 0 || l.Reason != "" {
		t.Errorf("status %+v", l)
	}
	if l := status.Pools[0].Members[1].Load; l == nil || l.Load != 100 || l.Capacity != 100 || !l.Fresh {
		t.Errorf("status of the member %+v", l)
	}
	full.Store(0)
	settle(t, "when the reports are stale", odds, [2]float64{0.5, 0.5})
	if status, err = r.Status(control.Selector{}); err != nil {
		t.Fatal(err)
	}
	if l := status.Loads[0]; l.Fresh || l.Failures == 0 || l.Reason != "status 503, want 200" {
		t.Errorf("status of a stale source %+v", l)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// Reports take effect while a reload hangs, also in the pools that are about to answer.
func TestLoadReportsTakeEffectWhileAReloadHangs(t *testing.T) {
	var full atomic.Int32
	full.Store(1)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		loads := [3]int{}
		loads[full.Load()] = 100
		fmt.Fprintf(w, `{"a": %d, "b": %d}`, loads[1], loads[2])
	}))
	defer source.Close()
	r := start(t, strings.ReplaceAll(reporting, "URL", source.URL))
	settle(t, "before the reload", r.odds, [2]float64{0, 1})
	loading, release := make(chan struct{}), make(chan struct{})
	r.onLoad.Store(func() { loading <- struct{}{}; <-release })
	r.hangUp <- syscall.SIGHUP
	<-loading
	full.Store(2)
	settle(t, "while a reload hangs", mostly(r.odds), [2]float64{1, 0})
	r.onLoad.Store(func() {})
	close(release)
	r.hangUp <- syscall.SIGHUP
	full.Store(1)
	settle(t, "after the reload", mostly(r.odds), [2]float64{0, 1})
}

// mostly rounds odds: shares follow loads step by step, because clients cache answers for a TTL.
func mostly(odds func() [2]float64) func() [2]float64 {
	return func() (which [2]float64) {
		for i, p := range odds() {
			if p > 0.6 {
				which[i] = 1
			}
		}
		return which
	}
}

// settle waits until the odds are as wanted.
func settle(t *testing.T, when string, odds func() [2]float64, want [2]float64) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); odds() != want; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: %v, want %v", when, odds(), want)
		}
	}
}
