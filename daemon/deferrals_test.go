package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/pools"
)

// deferrals returns the number of deferred members in the log, and the outcomes.
func (r *runningDaemon) deferrals() string {
	count := func(outcome string) (n int) {
		for _, text := range []string{"ejection deferred", "deferred ejection carried out", "deferred ejection ended"} {
			for _, line := range r.log.with(text) {
				members := 0
				if _, after, found := strings.Cut(line, " members="); found && strings.Contains(line, "outcome="+outcome) {
					fmt.Sscan(after, &members) //nolint:errcheck // 0 on failure
				}
				n += members
			}
		}
		return n
	}
	return fmt.Sprintf("deferred %d, ejected %d, recovered %d, removed %d", count("deferred"), count("ejected"), count("recovered"), count("removed"))
}

func (r *runningDaemon) expectDeferrals(t *testing.T, when, want string) {
	t.Helper()
	if got := r.deferrals(); got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

// deferring starts a server that defers the ejection of three of five members.
func deferring(t *testing.T, state string) (*runningDaemon, *rack) {
	rack := newRack(t, 5)
	r := start(t, rack.config("40%/1h", state, ""))
	r.await(t, "map[up:5]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[deferred:3 down:2 ejection:3]")
	r.expectDeferrals(t, "when it begins", "deferred 3, ejected 0, recovered 0, removed 0")
	return r, rack
}

func TestReloadLogsEndedDeferrals(t *testing.T) {
	t.Parallel()
	for behaviour, c := range map[string]struct {
		bound, standing, logged string
		members                 int
	}{
		"the same bound":  {"40%/1h", "map[deferred:3 down:2 ejection:3]", "deferred 3, ejected 0, recovered 0, removed 0", 5},
		"none":            {"off", "map[down:5]", "deferred 3, ejected 0, recovered 0, removed 3", 5},
		"without members": {"40%/1h", "map[]", "deferred 3, ejected 0, recovered 0, removed 3", 0},
	} {
		t.Run(behaviour, func(t *testing.T) {
			r, rack := deferring(t, "")
			rack.members = c.members
			text := rack.config(c.bound, "", "")
			if c.bound == "off" {
				text = strings.Replace(text, "health: {max_ejection: off}\n", "", 1)
			}
			if c.members == 0 {
				text = rack.config(c.bound, "", "      - {name: other, addresses: [127.0.0.99], check: none, enabled: false}\n")
				c.standing = "map[disabled:1]"
			}
			r.reload(text)
			r.await(t, c.standing)
			r.expectDeferrals(t, "after the reload", c.logged)
			r.reload(text)
			r.expectDeferrals(t, "after another one", c.logged)
		})
	}
}

// The pools prepared by a refused reload never answer.
func TestRefusedReloadLogsNoDeferrals(t *testing.T) {
	r, rack := deferring(t, "")
	text := strings.Replace(rack.config("40%/1h", "", ""), "health: {max_ejection: 40%/1h}\n", "", 1)
	r.reload(strings.Replace(text, `listen: ["127.0.0.1:0"]`, `listen: ["127.0.0.1:0", "192.0.2.1:1"]`, 1)) // no address of ours
	r.expectDeferrals(t, "after it", "deferred 3, ejected 0, recovered 0, removed 0")
	r.await(t, "map[deferred:3 down:2 ejection:3]")
}

// TestRestartLogsDeferralsOnce checks that deferrals that last are not reported again, and that their end is.
func TestRestartLogsDeferralsOnce(t *testing.T) {
	state := t.TempDir()
	r, rack := deferring(t, state)
	if line := r.log.with("ejection deferred")[0]; !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "pool=web") {
		t.Errorf("logged %s", line)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, rack.config("40%/1h", state, ""))
	again.expectDeferrals(t, "at the start", "deferred 0, ejected 0, recovered 0, removed 0")
	for i := range 5 {
		rack.turnOn(t, i)
	}
	again.await(t, "map[up:5]")
	again.expectDeferrals(t, "when they recover", "deferred 0, ejected 0, recovered 3, removed 0")
}

func TestStatusReportsTimesOfDeferredEjection(t *testing.T) {
	t.Parallel()
	r, rack := deferring(t, "")
	deferred := map[string]time.Time{}
	status, err := r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Pools[0].Members {
		if m.State != pools.EjectionDeferred {
			continue
		}
		deferred[m.Member] = m.Since
		at, rest, _ := strings.Cut(strings.TrimPrefix(m.Next, "down at "), " at the earliest")
		if rest != ", when it fits max_ejection, or by force down" {
			t.Errorf("%s: next %q", m.Member, m.Next)
		} else if _, err := time.Parse("2006-01-02 15:04:05 Z07:00", at); err != nil {
			t.Error(err)
		}
	}
	r.reload(rack.config("40%/1s", "", ""))
	r.await(t, "map[down:5]")
	status, err = r.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Pools[0].Members {
		since, was := deferred[m.Member]
		late := m.Since.After(since) && strings.Contains(m.Why, "its ejection was deferred by max_ejection until")
		if was && !late || !was && strings.Contains(m.Why, "max_ejection") {
			t.Errorf("%s: since %v, deferred at %v, why %q", m.Member, m.Since, since, m.Why)
		}
	}
}
