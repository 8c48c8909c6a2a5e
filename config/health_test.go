package config

import (
	"strings"
	"testing"
	"time"
)

func TestMaxEjectionIsAPercentageAndAWindow(t *testing.T) {
	for _, c := range []struct {
		value   string
		want    MaxEjection
		message string
	}{
		{value: "25%/60s", want: MaxEjection{25, time.Minute}},
		{value: "1%/1s", want: MaxEjection{1, time.Second}},
		{value: "100%/24h", want: MaxEjection{100, 24 * time.Hour}},
		{value: "25%", message: `"25%" is not a percentage of the weight and a window; write it like 50%/60s`},
		{value: "2/60s", message: `"2/60s" is not a percentage of the weight and a window; write it like 50%/60s`},
		{value: "2.5%/60s", message: `"2.5%/60s" is not a percentage of the weight and a window; write it like 50%/60s`},
		{value: "off", message: `"off" is not a percentage of the weight and a window; write it like 50%/60s`},
		{value: "0%/60s", message: `"0%" is out of range; 1% to 100%`},
		{value: "101%/60s", message: `"101%" is out of range; 1% to 100%`},
		{value: "-5%/60s", message: `"-5%" is out of range; 1% to 100%`},
		{value: "99999999999999999999%/60s", message: `"99999999999999999999%" is out of range; 1% to 100%`},
		{value: "25%/60", message: `"60" is not a duration; write it with its unit, like 50%/60s`},
		{value: "25%/", message: `"" is not a duration; write it with its unit, like 50%/60s`},
		{value: "25%/999ms", message: `"999ms" is out of range; 1s to 24h`},
		{value: "25%/25h", message: `"25h" is out of range; 1s to 24h`},
		{value: "[25%]", message: "found a list; it should be a single value"},
	} {
		t.Run(c.value, func(t *testing.T) {
			cfg, _, err := Parse("f", []byte("health: {max_ejection: "+c.value+"}\nzones: {}\n"))
			switch {
			case c.message == "" && err != nil:
				t.Error(err)
			case c.message == "" && cfg.Health.MaxEjection != c.want:
				t.Errorf("got %v, want %v", cfg.Health.MaxEjection, c.want)
			case c.message != "" && (err == nil || !strings.Contains(err.Error(), "health.max_ejection: "+c.message)):
				t.Errorf("got %v, want %q", err, c.message)
			}
		})
	}
}

func TestPoolsInheritMaxEjection(t *testing.T) {
	cfg, _, err := Parse("f", []byte(`
pools:
  own: {policy: weighted, max_ejection: 25%/10s, members: [{name: a, addresses: [192.0.2.1]}]}
  none: {policy: weighted, max_ejection: off, members: [{name: a, addresses: [192.0.2.1]}]}
  rest: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
zones: {}
health: {max_ejection: 50%/60s}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []MaxEjection{{25, 10 * time.Second}, {100, time.Second}, {50, time.Minute}} {
		if got := cfg.Pools[i].MaxEjection; got != want {
			t.Errorf("pool %s has %v, want %v", cfg.Pools[i].Name, got, want)
		}
	}
	if cfg.Pools[1].MaxEjection.Bounds() || !cfg.Pools[2].MaxEjection.Bounds() {
		t.Error("off bounds, or 50% does not")
	}
}

func TestNoMaxEjectionByDefault(t *testing.T) {
	cfg, _, err := Parse("f", []byte("zones: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Health != (Health{}) {
		t.Errorf("got %+v, want none", cfg.Health)
	}
}
