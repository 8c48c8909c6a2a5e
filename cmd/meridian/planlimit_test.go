package main

import "testing"

// TestAffectedNeverExceedsLimitOfAll checks that rounding errors of sums exceed neither
// an absent limit nor one of 100 %.
func TestAffectedNeverExceedsLimitOfAll(t *testing.T) {
	const sum = 1 + 1e-12
	for _, limit := range []string{noLimit, "100%", "1"} {
		if share, err := parseShare(limit); err != nil || sum > share+rounding {
			t.Errorf("%q: %v, %v", limit, share, err)
		}
	}
}
