package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/server/answer"

	"github.com/miekg/dns"
)

// TestRestartKeepsShedLoad checks that a region's shed load is in the state file, so
// that a restarted node continues with the same value as its neighbour with the same reports.
func TestRestartKeepsShedLoad(t *testing.T) {
	t.Parallel()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"load": 80}`) }))
	defer source.Close()
	node := func(state string) *runningDaemon {
		t.Helper()
		return start(t, strings.NewReplacer("URL", source.URL, "STATE", state).Replace(`
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: STATE
regions: {near: {location: [0, 0]}, far: {location: [50, 50]}}
geo: {default: near}
loads: {l: {type: json, url: "URL", load: load, interval: 100ms, stale: 5s}}
pools:
  web:
    policy: proximity
    shed: {low: 70%, high: 90%}
    members:
      - {name: a, region: near, addresses: [127.0.0.81], load: l, capacity: 100}
      - {name: b, region: far, addresses: [127.0.0.82]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    ttl: 1
    names: {www: {pool: web}}
`))
	}
	keeps := func(r *runningDaemon) float64 {
		t.Helper()
		steps := r.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix("192.0.2.1/32")}).Steps
		if len(steps) == 0 || steps[0].Load == nil {
			t.Fatalf("no load of the first member: %+v", steps)
		}
		return steps[0].Load.Keeps
	}
	neighbour, state := node(t.TempDir()), t.TempDir()
	restarts := node(state)
	// The source always reports the same load, so the kept part decreases by at most a tenth each
	// round.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); keeps(restarts) > 0.7 || keeps(neighbour) > 0.7; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%v and %v are kept, want 0.7 or less", keeps(neighbour), keeps(restarts))
		}
	}
	if err := restarts.stop(); err != nil {
		t.Fatal(err)
	}
	restarts = node(state)
	if got := keeps(restarts); got > 0.7 { // from the first report alone it would be 0.9
		t.Errorf("after a restart %v is kept, want 0.7 or less; the neighbour keeps %v", got, keeps(neighbour))
	}
	for _, r := range []*runningDaemon{neighbour, restarts} {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}
