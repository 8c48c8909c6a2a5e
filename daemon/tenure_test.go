package daemon

import (
	"strings"
	"testing"
	"time"

	"meridian/control"
)

const nestedPools = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
checks:
  none-there: {type: tcp, port: 1, interval: 1h}
pools:
  outer:
    policy: failover
    fail_open: never
    members: [{name: good, pool: good}, {name: bad, pool: bad, weight: 1}]
  good: {policy: weighted, members: [{name: a, addresses: [127.0.0.81]}, {name: b, addresses: [127.0.0.82], check: none-there}]}
  bad: {policy: weighted, min_up: 2, members: [{name: c, addresses: [127.0.0.83]}, {name: d, addresses: [127.0.0.84], check: none-there}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: outer}, bad: {pool: bad}}
`

// TestStatusReportsSinceOfPools includes a reload without changes to the pools.
func TestStatusReportsSinceOfPools(t *testing.T) {
	r := start(t, nestedPools)
	var before []time.Time
	for _, when := range []string{"at first", "after a reload"} {
		status, err := r.Status(control.Selector{})
		if err != nil {
			t.Fatal(err)
		}
		good, bad := status.Pools[0].Members[0], status.Pools[0].Members[1]
		for _, c := range []struct{ what, got, want string }{
			{"a live pool", good.Why + "; " + good.Next, "pool good: 1 of 2 eligible, needed 1; not live with 1 fewer"},
			{"one that is not", bad.Why + "; " + bad.Next, "pool bad: 1 of 2 eligible, needed 2; live with 1 more"},
			{"a mode", status.Pools[2].Mode["IPv4"], "fail-open"},
		} {
			if c.got != c.want {
				t.Errorf("%s, %s: %q, want %q", when, c.what, c.got, c.want)
			}
		}
		since := []time.Time{good.Since, bad.Since, status.Pools[2].ModeSince["IPv4"], status.Pools[2].LiveSince["IPv4"]}
		for i := range since {
			if since[i].IsZero() || before != nil && !since[i].Equal(before[i]) {
				t.Errorf("%s: since %v, before %v", when, since, before)
			}
		}
		before = since
		r.reload(strings.Replace(nestedPools, "interval: 1h", "interval: 2h", 1))
	}
}

// TestStatusReportsFailingTarget covers status and explain.
func TestStatusReportsFailingTarget(t *testing.T) {
	rack := newRack(t, 2)
	rack.members = 1
	rack.names.serve(t)
	rack.names.set(rack.address(1))
	r := start(t, rack.config("40%/1h", "", "      - {name: lb, target: lb.example.net}\n"))
	r.await(t, "map[up:2]")
	resolving := func() *control.ResolvingStatus {
		status, err := r.Status(control.Selector{Pool: "web", Member: "lb"})
		if err != nil {
			t.Fatal(err)
		}
		return status.Pools[0].Members[0].Resolving
	}
	if s := resolving(); s == nil || s.Failures != 0 || s.Since.IsZero() {
		t.Errorf("while it is resolved: %+v", s)
	}
	rack.names.set()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for range 1500 {
		if resolving().Failures > 0 {
			break
		}
		<-poll.C
	}
	s := resolving()
	if s.Failures == 0 || !strings.HasPrefix(s.Why, "A: it has no address") || s.Failing.Before(s.Since) || s.Next.IsZero() {
		t.Errorf("while it is not: %+v", s)
	}
	r.await(t, "map[up:2]")
	asked, err := control.ExplainParams{Name: "www.example.com", Type: "A", Client: "192.0.2.1"}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range r.Explain(asked).Steps {
		if failing := step.Resolving != nil && step.Resolving.Failures > 0; failing != (step.Member == "lb") {
			t.Errorf("explained of %s: %+v", step.Member, step.Resolving)
		}
	}
}
