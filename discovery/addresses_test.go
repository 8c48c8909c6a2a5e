package discovery

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestAddressIsRemovedAfterThreeAnswersWithoutIt(t *testing.T) {
	var known []seenAddress
	for i, step := range []struct {
		seen []netip.Addr
		want string
	}{
		{addrs("192.0.2.1"), "192.0.2.1"},
		{addrs("192.0.2.2"), "192.0.2.1 192.0.2.2"},
		{addrs("192.0.2.3"), "192.0.2.1 192.0.2.2 192.0.2.3"},
		{addrs("192.0.2.2"), "192.0.2.2 192.0.2.3"},
		{nil, "192.0.2.2 192.0.2.3"},
		{nil, "192.0.2.2"},
		{nil, "none"},
	} {
		known, _ = after(known, step.seen)
		expect(t, fmt.Sprint("after answer ", i+1), list((&addresses{known}).list()), step.want)
	}
}

// Answers with rotating subsets of any size converge to one set, which does not flap.
func TestRotatingSubsetsFormOneSet(t *testing.T) {
	all := addrs("192.0.2.1", "192.0.2.2", "192.0.2.3")
	var known []seenAddress
	for i := range 30 {
		known, _ = after(known, all[i%3:][:1])
		if i >= 2 {
			expect(t, "known", list((&addresses{known}).list()), list(all))
		}
	}
}

func TestAddressesBeyondTheLimitAreIgnored(t *testing.T) {
	seen := make([]netip.Addr, maxAddresses+5)
	for i := range seen {
		seen[i] = numbered(i)
	}
	known, left := after(nil, seen[5:])
	expect(t, "left of as many as there is room for", left, 0)
	now, left := after(known, seen)
	expect(t, "left", left, 5)
	expect(t, "those known have their room", slices.Equal(now, known), true)
}

func numbered(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24+uint32(i))
	return netip.AddrFrom4(b)
}

// The plain version: an address is known while one of the last three answers has it. It is valid below the limit.
func TestAfterAgreesWithTheLastAnswers(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var known []seenAddress
	var answers [][]netip.Addr
	for range 2000 {
		var seen []netip.Addr
		for i := range 10 {
			if r.IntN(4) == 0 {
				seen = append(seen, numbered(i))
			}
		}
		answers = append(answers, seen)
		var want []netip.Addr
		for _, answer := range answers[max(0, len(answers)-maxMisses):] {
			want = append(want, answer...)
		}
		slices.SortFunc(want, netip.Addr.Compare)
		want = slices.Compact(want)
		var left int
		known, left = after(known, seen)
		if got := (&addresses{known}).list(); !slices.Equal(got, want) || left != 0 {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}
