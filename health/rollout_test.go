package health

import (
	"testing"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

// rollout simulates a service of four members under one check. Each member restarts for 20 s, 30 s after the one before it,
// first in a rolling deploy and five minutes later in its rollback.
type rollout struct {
	check   *config.Check
	members [4]verdictState
}

// restarting reports whether a member is down at a second of the rollout.
func (r *rollout) restarting(member, second int) bool {
	for _, begin := range []int{60, 360} {
		from := begin + 30*member
		if second >= from && second < from+20 {
			return true
		}
	}
	return false
}

// probe probes the members that are due at a second, each every 5 s.
func (r *rollout) probe(second int) {
	for m := range r.members {
		if second%5 != m%5 {
			continue
		}
		outcome := probe.Passed
		if r.restarting(m, second) {
			outcome = probe.Failed
		}
		r.members[m] = r.members[m].after(outcome, start.Add(time.Duration(second)*time.Second), r.check)
	}
}

// defaultCheck loads a minimal check with additional keys.
func defaultCheck(t *testing.T, keys string) *config.Check {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte("checks: {web: {type: http"+keys+"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &cfg.Checks[0]
}

func TestRolloutAndRollbackKeepHealthyMembersUp(t *testing.T) {
	const recovery = 11 // seconds that always contain two probes at 5 s
	r := rollout{check: defaultCheck(t, "")}
	healthyFor := [len(r.members)]int{}
	for second := range 900 {
		r.probe(second)
		for m := range r.members {
			healthyFor[m]++
			if r.restarting(m, second) {
				healthyFor[m] = 0
			}
			if v, _ := r.members[m].effective(); second > 5 && v != Up && healthyFor[m] > recovery {
				t.Fatalf("member %d is %v at second %d though it has been healthy for %d s", m, v, second, healthyFor[m])
			}
		}
	}
}

func TestFlapDampingIsOffUnlessConfigured(t *testing.T) {
	for keys, want := range map[string]int{
		"":                            0,
		", flap_damping: off":         0,
		", flap_damping: on":          4,
		", flap_damping: {}":          4,
		", flap_damping: {hold: 30s}": 4,
		", flap_damping: {turns: 6}":  6,
	} {
		got := defaultCheck(t, keys).FlapDamping
		if got.Turns != want || (want > 0) != (got.Window > 0 && got.Hold > 0 && got.Max > 0) {
			t.Errorf("type: http%s: %+v, want %d transitions and all times, or none", keys, got, want)
		}
	}
}
