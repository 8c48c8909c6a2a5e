package config

import (
	"strings"
	"testing"
	"time"
)

func TestMaxWithdrawIsAPercentageInATime(t *testing.T) {
	for _, c := range []struct {
		value   string
		want    MaxWithdraw
		message string
	}{
		{value: "25%/60s", want: MaxWithdraw{25, time.Minute}},
		{value: "1%/1s", want: MaxWithdraw{1, time.Second}},
		{value: "100%/24h", want: MaxWithdraw{100, 24 * time.Hour}},
		{value: "25%", message: `"25%" is not a percentage of members in a time; write it like 25%/60s`},
		{value: "2/60s", message: `"2/60s" is not a percentage of members in a time; write it like 25%/60s`},
		{value: "2.5%/60s", message: `"2.5%/60s" is not a percentage of members in a time; write it like 25%/60s`},
		{value: "0%/60s", message: `"0%" is out of range; 1% to 100%`},
		{value: "101%/60s", message: `"101%" is out of range; 1% to 100%`},
		{value: "-5%/60s", message: `"-5%" is out of range; 1% to 100%`},
		{value: "99999999999999999999%/60s", message: `"99999999999999999999%" is out of range; 1% to 100%`},
		{value: "25%/60", message: `"60" is not a duration; write it with its unit, like 25%/60s`},
		{value: "25%/", message: `"" is not a duration; write it with its unit, like 25%/60s`},
		{value: "25%/999ms", message: `"999ms" is out of range; 1s to 24h`},
		{value: "25%/25h", message: `"25h" is out of range; 1s to 24h`},
		{value: "[25%]", message: "found a list; it should be a single value"},
	} {
		t.Run(c.value, func(t *testing.T) {
			cfg, _, err := Parse("f", []byte("health: {max_withdraw: "+c.value+"}\nzones: {}\n"))
			switch {
			case c.message == "" && err != nil:
				t.Error(err)
			case c.message == "" && cfg.Health.MaxWithdraw != c.want:
				t.Errorf("got %v, want %v", cfg.Health.MaxWithdraw, c.want)
			case c.message != "" && (err == nil || !strings.Contains(err.Error(), "health.max_withdraw: "+c.message)):
				t.Errorf("got %v, want %q", err, c.message)
			}
		})
	}
}

func TestWithoutHealthNothingBoundsWithdrawals(t *testing.T) {
	cfg, _, err := Parse("f", []byte("zones: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Health != (Health{}) {
		t.Errorf("got %+v, want none", cfg.Health)
	}
}
