package pools

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"meridian/health"
)

// hashed returns the member of each of n networks, by network.
func hashed(t *testing.T, tree *Tree, n int) []string {
	t.Helper()
	q, s := ask(t, tree, "web", IPv4, "0.0.0.0"), tree.Scratch()
	got := make([]string, n)
	for i := range got {
		q.Client = netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
		q.Draw = rand.Uint64()
		tree.Decide(q, s)
		got[i] = answerOf(s)
	}
	return got
}

// moves counts the clients that moved between two members, and compares each count with allowed.
func moves(t *testing.T, what string, before, after []string, allowed func(from, to string) bool) float64 {
	t.Helper()
	moved := 0
	for i := range before {
		if before[i] == after[i] {
			continue
		}
		moved++
		if !allowed(before[i], after[i]) {
			t.Fatalf("%s: a client moved from %s to %s", what, before[i], after[i])
		}
	}
	return float64(moved) / float64(len(before))
}

const fourHashed = `pool web hash hash=32/128
  a weight=1 192.0.2.1
  b weight=2 192.0.2.2
  c weight=3 192.0.2.3
  d weight=4 192.0.2.4`

const networks = 40_000

// Shares must match to half a percentage point: four standard deviations at 40,000 networks are at most one.
func TestHashDistributesNetworksByWeight(t *testing.T) {
	got := map[string]int{}
	for _, to := range hashed(t, compile(t, world(t, fourHashed)), networks) {
		got[to]++
	}
	for i := 1; i <= 4; i++ {
		share := float64(got[fmt.Sprintf("192.0.2.%d", i)]) / networks
		if want := float64(i) / 10; math.Abs(share-want) > 0.01 {
			t.Errorf("member %d has %.4f of the networks, want %.2f", i, share, want)
		}
	}
}

func TestFailedMemberMovesOnlyItsClients(t *testing.T) {
	tree := compile(t, world(t, fourHashed))
	before := hashed(t, tree, networks)
	setVerdicts(t, tree, health.Down, "web/c")
	share := moves(t, "c down", before, hashed(t, tree, networks), func(from, _ string) bool { return from == "192.0.2.3" })
	if math.Abs(share-0.3) > 0.01 {
		t.Errorf("%.4f of the clients moved, want 0.30", share)
	}
	setVerdicts(t, tree, health.Up, "web/c")
	moves(t, "c up again", before, hashed(t, tree, networks), func(string, string) bool { return false })
}

func TestNewMemberTakesOnlyItsShare(t *testing.T) {
	before := hashed(t, compile(t, world(t, fourHashed)), networks)
	after := hashed(t, compile(t, world(t, fourHashed+"\n  e weight=10 192.0.2.5")), networks)
	share := moves(t, "e added", before, after, func(_, to string) bool { return to == "192.0.2.5" })
	if math.Abs(share-0.5) > 0.01 {
		t.Errorf("%.4f of the clients moved, want half", share)
	}
}

func TestLargerWeightMovesOnlyTheDifference(t *testing.T) {
	sticky := strings.Replace(fourHashed, "hash hash", "weighted sticky hash", 1)
	before := hashed(t, compile(t, world(t, sticky)), networks)
	after := hashed(t, compile(t, world(t, strings.Replace(sticky, "weight=1 ", "weight=6 ", 1))), networks)
	share := moves(t, "a grew", before, after, func(_, to string) bool { return to == "192.0.2.1" })
	if math.Abs(share-0.3) > 0.01 { // from 1 of 10 to 6 of 15
		t.Errorf("%.4f of the clients moved, want 0.30", share)
	}
}

func TestHashDependsOnNamesNotOrder(t *testing.T) {
	lines := strings.Split(fourHashed, "\n")
	turned := strings.Join([]string{lines[0], lines[4], lines[2], lines[1], lines[3]}, "\n")
	moves(t, "order", hashed(t, compile(t, world(t, fourHashed)), 5000), hashed(t, compile(t, world(t, turned)), 5000),
		func(string, string) bool { return false })
}

// Nodes of other versions give these answers: they must never change.
func TestHashNeverChanges(t *testing.T) {
	got := hashed(t, compile(t, world(t, fourHashed)), 12)
	expect(t, "members", strings.ReplaceAll(strings.Join(got, " "), "192.0.2.", ""), "4 4 3 1 3 1 4 3 2 3 4 3")
}

func TestHashScopeCoversNetwork(t *testing.T) {
	tree := compile(t, world(t, `pool web hash hash=20/40
  a 192.0.2.1
  b 192.0.2.2`))
	s := tree.Scratch()
	for client, want := range map[string]struct {
		network string
		scope   uint8
	}{
		"20.1.47.9":          {"20.1.32.0/20", 20},
		"::ffff:20.1.47.9":   {"20.1.32.0/20", 20},
		"2001:db8:12ff::1":   {"2001:db8:1200::/40", 40},
		"172.20.9.9":         {"172.20.0.0/20", 20},
		"0.0.0.9":            {"0.0.0.0/20", 29}, // beside the unspecified address, which is in no network
		"192.167.255.255":    {"192.167.240.0/20", 20},
		"fe80:0:0:1::2":      {"fe80::/40", 40},
		"0:0:0:1::1":         {"::/40", 64}, // beside IPv4-mapped addresses, and loopback
		"255.255.255.255":    {"255.255.240.0/20", 20},
		"2001:db8:1200:1::1": {"2001:db8:1200::/40", 40},
	} {
		q := ask(t, tree, "web", IPv4, client)
		d, steps := tree.Explain(q, s)
		expect(t, client+": scope", d.Scope, want.scope)
		for _, step := range steps {
			if step.Chosen && step.Reason != "the hash of "+want.network+" selects it; weight 1 of 2 of all networks" {
				t.Errorf("%s: %s", client, step.Reason)
			}
		}
	}
}
