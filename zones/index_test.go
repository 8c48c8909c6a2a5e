package zones

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An attacker with knowledge of the hash could choose names that collide, so that every query probes all of them. So
// each snapshot has its own random seed.
func TestIndexSeedIsRandom(t *testing.T) {
	var text strings.Builder
	text.WriteString(apexRecords)
	for i := range 200 {
		fmt.Fprintf(&text, "n%d A 192.0.2.1\n", i)
	}
	places := func() []NodeID {
		w := newWorld()
		w.zone("example.com", text.String())
		s := w.mustCompile(t)
		nodes := make([]NodeID, len(s.index))
		for i, slot := range s.index {
			nodes[i] = NodeID(slot)
		}
		return nodes
	}
	one, another := places(), places()
	if slices.Equal(one, another) {
		t.Error("two snapshots of the same zones place 200 names alike")
	}
	slices.Sort(one)
	slices.Sort(another)
	if !slices.Equal(one, another) {
		t.Error("two snapshots of the same zones have other nodes")
	}
}
