package server

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// withdrawn is how often the log says of withdrawals what became of them.
func (r *alive) withdrawn() string {
	return fmt.Sprintf("withheld %d, heeded %d, recovered %d, forgotten %d",
		len(r.log.with("withdrawal withheld")), len(r.log.with("withdrawal heeded")),
		len(r.log.with("withdrawal recovered")), len(r.log.with("withdrawal forgotten")))
}

func (r *alive) expectWithdrawn(t *testing.T, when, want string) {
	t.Helper()
	if got := r.withdrawn(); got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

// withholding is a server that withholds three of five.
func withholding(t *testing.T, state string) (*alive, *rack) {
	rack := newRack(t, 5)
	r := start(t, rack.config("40%/1h", state, ""))
	r.await(t, "map[up:5]")
	rack.turnOff(t, 0, 5)
	r.await(t, "map[down:2 uncertain:3]")
	r.expectWithdrawn(t, "when it begins", "withheld 3, heeded 0, recovered 0, forgotten 0")
	return r, rack
}

func TestAReloadTellsOfWithdrawalsWhatItChanges(t *testing.T) {
	for behaviour, c := range map[string]struct {
		bound, standing, told string
		members               int
	}{
		"the same bound":  {"40%/1h", "map[down:2 uncertain:3]", "withheld 3, heeded 0, recovered 0, forgotten 0", 5},
		"none":            {"off", "map[down:5]", "withheld 3, heeded 3, recovered 0, forgotten 0", 5},
		"a wider one":     {"100%/1h", "map[down:5]", "withheld 3, heeded 3, recovered 0, forgotten 0", 5},
		"without members": {"40%/1h", "map[]", "withheld 3, heeded 0, recovered 0, forgotten 3", 0},
	} {
		t.Run(behaviour, func(t *testing.T) {
			r, rack := withholding(t, "")
			rack.members = c.members
			text := rack.config(c.bound, "", "")
			if c.bound == "off" {
				text = strings.Replace(text, "health: {max_withdraw: off}\n", "", 1)
			}
			if c.members == 0 {
				text = rack.config(c.bound, "", "      - {name: other, addresses: [127.0.0.99], check: none, enabled: false}\n")
				c.standing = "map[disabled:1]"
			}
			r.reload(text)
			r.await(t, c.standing)
			r.expectWithdrawn(t, "after the reload", c.told)
			r.reload(text)
			r.expectWithdrawn(t, "after another one", c.told)
		})
	}
}

// TestARefusedReloadTellsNothingOfWithdrawals: the pools that it prepared never answer.
func TestARefusedReloadTellsNothingOfWithdrawals(t *testing.T) {
	r, rack := withholding(t, "")
	text := strings.Replace(rack.config("40%/1h", "", ""), "health: {max_withdraw: 40%/1h}\n", "", 1)
	r.reload(strings.Replace(text, `listen: ["127.0.0.1:0"]`, `listen: ["127.0.0.1:0", "192.0.2.1:1"]`, 1)) // no address of ours
	r.expectWithdrawn(t, "after it", "withheld 3, heeded 0, recovered 0, forgotten 0")
	r.await(t, "map[down:2 uncertain:3]")
}

func TestARestartTellsWhatIsWithheld(t *testing.T) {
	state := t.TempDir()
	r, rack := withholding(t, state)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, rack.config("40%/1h", state, ""))
	again.expectWithdrawn(t, "at the start", "withheld 3, heeded 0, recovered 0, forgotten 0")
	if line := again.log.with("withdrawal withheld")[0]; !strings.Contains(line, "level=ERROR") || !strings.Contains(line, `counts="as up, although its check says down"`) {
		t.Errorf("logged %s", line)
	}
	for i := range 5 {
		rack.turnOn(t, i)
	}
	again.await(t, "map[up:5]")
	again.expectWithdrawn(t, "when they recover", "withheld 3, heeded 0, recovered 3, forgotten 0")
}

func TestStatusTellsWhenAWithheldTurnIsHeededAndThenSinceWhen(t *testing.T) {
	r, rack := withholding(t, "")
	turned := map[string]time.Time{}
	status, err := r.Status(Target{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Pools[0].Members {
		if m.State != "uncertain" {
			continue
		}
		turned[m.Member] = m.Since
		var at string
		if n, _ := fmt.Sscanf(m.Next, "down at %s at the earliest, when it fits max_withdraw, or by force down", &at); n != 1 {
			t.Errorf("%s: next %q", m.Member, m.Next)
		} else if _, err := time.Parse(time.TimeOnly, at); err != nil {
			t.Error(err)
		}
	}
	r.reload(rack.config("40%/1s", "", ""))
	r.await(t, "map[down:5]")
	status, err = r.Status(Target{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Pools[0].Members {
		since, withheld := turned[m.Member]
		late := m.Since.After(since) && strings.Contains(m.Why, "which max_withdraw withheld until then")
		if withheld && !late || !withheld && strings.Contains(m.Why, "max_withdraw") {
			t.Errorf("%s: since %v, turned at %v, why %q", m.Member, m.Since, since, m.Why)
		}
	}
}
