package control

import (
	"testing"

	"meridian/cluster"
	"meridian/health"
)

// TestIsProvisional asks for observers of a target and generations that nodes serve whether only canaries observe it.
func TestIsProvisional(t *testing.T) {
	vantages := []cluster.VantageStatus{{Name: "a", Fresh: true}, {Name: "b", Fresh: true}, {Name: "c", Fresh: true}, {Name: "lost"}}
	for _, tc := range []struct {
		name      string
		observers string
		serving   map[string]uint64
		want      bool
	}{
		{"one canary", "c", map[string]uint64{"a": 4, "b": 4, "c": 5}, true},
		{"two canaries", "bc", map[string]uint64{"a": 4, "b": 5, "c": 5}, true},
		{"an old check too", "abc", map[string]uint64{"a": 4, "b": 4, "c": 5}, false},
		{"a check that the canary does not have", "ab", map[string]uint64{"a": 4, "b": 4, "c": 5}, false},
		{"all nodes have it", "c", map[string]uint64{"a": 5, "b": 5, "c": 5}, false},
		{"the node without it is lost", "abc", map[string]uint64{"lost": 4, "a": 5, "b": 5, "c": 5}, false},
		{"a node has rejected it", "bc", map[string]uint64{"b": 5, "c": 5}, false},
		{"no node has observed it", "", map[string]uint64{"a": 4, "b": 4, "c": 5}, false},
		{"each node reads its own files", "c", nil, false},
	} {
		observers := map[string]health.Verdict{}
		for _, name := range tc.observers {
			observers[string(name)] = health.Up
		}
		if got := isProvisional(observers, tc.serving, vantages); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
