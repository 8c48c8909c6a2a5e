package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	"meridian/snapshot"
)

// sets returns a configuration of n pools with different matches.
func sets(n int) string {
	var text strings.Builder
	text.WriteString("pools:\n")
	for i := range n {
		fmt.Fprintf(&text, "  p%d: {policy: geolocation, members: [{name: a, match: {network: 198.51.100.%d/32}, addresses: [192.0.2.1]}, {name: b, match: default, addresses: [192.0.2.2]}]}\n", i, i)
	}
	text.WriteString("zones: {example.com: {nameservers: {ns1.example.com: [192.0.2.53]}, contact: hostmaster@example.com, names: {")
	for i := range n {
		fmt.Fprintf(&text, "w%d: {pool: p%d}, ", i, i)
	}
	return text.String() + "}}}\n"
}

func TestManyTablesCauseWarning(t *testing.T) {
	for n, want := range map[int]bool{16: false, 17: true} {
		s, warnings, err := snapshot.Build(load(t, sets(n), nil))
		if err != nil {
			t.Fatal(err)
		}
		if tables, bytes := s.Pools.Tables(); tables != n || bytes < n<<20 {
			t.Errorf("%d tables of %d bytes, want %d", tables, bytes, n)
		}
		warned := false
		for _, w := range warnings {
			warned = warned || strings.Contains(w.Error(), fmt.Sprintf("pools: the pools have %d distinct sets of regions or matches", n))
		}
		if warned != want {
			t.Errorf("%d tables: warnings are %v", n, warnings)
		}
		s.Close()
	}
}
