package main

import "testing"

// Sums of shares are off by a little: neither no limit nor one of everything is ever passed.
func TestWhatIsAffectedIsNeverMoreThanEverything(t *testing.T) {
	const sum = 1 + 1e-12
	for _, limit := range []string{noLimit, "100%", "1"} {
		if share, err := parseShare(limit); err != nil || sum > share+rounding {
			t.Errorf("%q: %v, %v", limit, share, err)
		}
	}
}
