package pools

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"meridian/config"
	"meridian/health"
)

const stickyForATTL = `
pool web weighted sticky=ttl
  a weight=2 192.0.2.1 2001:db8::1
  b 192.0.2.2 2001:db8::2
  c 192.0.2.3 2001:db8::3
`

// networkNumber is the n-th /24 of a million.
func networkNumber(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{20 + byte(n>>16), byte(n >> 8), byte(n), 7})
}

// lastOctets returns those of the addresses of an answer.
func lastOctets(s *Scratch) (all []byte) {
	for _, a := range s.Addrs {
		octets := a.AsSlice()
		all = append(all, octets[len(octets)-1])
	}
	return all
}

// In one slot the A, AAAA and HTTPS of a client return one member, for any draw, also
// on a node with the members in another order.
func TestStickyTTLGivesAllTypesOneMember(t *testing.T) {
	tree := compile(t, world(t, stickyForATTL))
	reversed := world(t, stickyForATTL)
	slices.Reverse(reversed.Pools[0].Members)
	other := compile(t, reversed)
	s, elsewhere := tree.Scratch(), other.Scratch()
	for n := range 500 {
		q := Request{Answers: 1, Client: networkNumber(n), Draw: uint64(n)}
		s.Time, s.TTL = 1_800_000_000+int64(n), 30
		elsewhere.Time, elsewhere.TTL = s.Time, s.TTL
		tree.Decide(q, s)
		member := lastOctets(s)[0]
		q.Family, q.Draw = IPv6, q.Draw+1000
		if tree.Decide(q, s); lastOctets(s)[0] != member {
			t.Errorf("%s: A leads to %d, AAAA to %v", q.Client, member, s.Addrs)
		}
		q.Both = true
		if tree.Decide(q, s); !slices.Equal(lastOctets(s), []byte{member, member}) {
			t.Errorf("%s: A leads to %d, HTTPS to %v", q.Client, member, s.Addrs)
		}
		if other.Decide(q, elsewhere); !slices.Equal(lastOctets(elsewhere), []byte{member, member}) {
			t.Errorf("%s: A leads to %d, on another node to %v", q.Client, member, elsewhere.Addrs)
		}
	}
}

// A network keeps its member for one TTL, and networks start their slots at different times: of 3000, with
// a TTL of 30, about a thirtieth start in each second, and about half of those
// change members. Over all slots each member has the part of its weight.
func TestStickyTTLHoldsForOneTTL(t *testing.T) {
	tree := compile(t, world(t, stickyForATTL))
	s := tree.Scratch()
	const networks, ttl, slots, begin = 3000, 30, 4, 1_800_000_000
	var changes [ttl]int // by second of the TTL
	counts := map[byte]int{}
	for n := range networks {
		q := Request{Answers: 1, Client: networkNumber(n)}
		s.TTL = ttl
		phases := map[int]bool{}
		before := byte(0)
		for second := range slots * ttl {
			s.Time = begin + int64(second)
			tree.Decide(q, s)
			now := lastOctets(s)[0]
			counts[now]++
			if second > 0 && now != before {
				changes[second%ttl]++
				phases[second%ttl] = true
			}
			before = now
		}
		if len(phases) > 1 {
			t.Fatalf("%s changes at several seconds of its TTL: %v", q.Client, phases)
		}
	}
	// 100 networks start a slot in each second; each of the 3 to 4 slots changes the member with
	// probability 1-(4+1+1)/16 = 5/8: some 200 changes, within five standard deviations of 15.
	for second, n := range changes {
		if n < 120 || n > 340 {
			t.Errorf("%d networks change at second %d of their TTL, want about 200 to 250: %v", n, second, changes)
		}
	}
	for member, part := range map[byte]float64{1: 0.5, 2: 0.25, 3: 0.25} {
		if got := float64(counts[member]) / (networks * ttl * slots); got < part-0.02 || got > part+0.02 {
			t.Errorf("member %d has %.3f of the answers, want %.2f", member, got, part)
		}
	}
}

// Within a slot a member's failure moves only its own clients.
func TestStickyTTLMovesOnlyClientsOfFailedMember(t *testing.T) {
	tree := compile(t, world(t, stickyForATTL))
	s := tree.Scratch()
	members := func() map[int]byte {
		got := map[int]byte{}
		for n := range 500 {
			s.Time, s.TTL = 1_800_000_000, 30
			tree.Decide(Request{Answers: 1, Client: networkNumber(n)}, s)
			got[n] = lastOctets(s)[0]
		}
		return got
	}
	before := members()
	setVerdicts(t, tree, health.Down, "web/b")
	for n, after := range members() {
		if after != before[n] && before[n] != 2 {
			t.Errorf("network %d moved from %d to %d when 2 went down", n, before[n], after)
		}
	}
	setVerdicts(t, tree, health.Up, "web/b")
	if !maps.Equal(before, members()) {
		t.Error("not all networks are back where they were")
	}
}

// round-robin with sticky: true assigns each network one member permanently, all of them equal parts
// for any weights.
func TestStickyRoundRobin(t *testing.T) {
	tree := compile(t, world(t, "pool web round-robin sticky\n  a weight=9 192.0.2.1\n  b 192.0.2.2\n  c weight=0 192.0.2.3\n"))
	s := tree.Scratch()
	counts := map[byte]int{}
	for n := range 2000 {
		q := Request{Answers: 1, Client: networkNumber(n)}
		tree.Decide(q, s)
		member := lastOctets(s)[0]
		counts[member]++
		s.Time, q.Draw = int64(n)*1000, uint64(n)
		if tree.Decide(q, s); lastOctets(s)[0] != member {
			t.Fatalf("%s has member %d, then %v", q.Client, member, s.Addrs)
		}
	}
	if counts[1] < 880 || counts[1] > 1120 || counts[3] > 0 { // five standard deviations of 22
		t.Errorf("members of 2000 networks: %v, want two halves", counts)
	}
}

func TestExplainShowsStickyTTL(t *testing.T) {
	tree := compile(t, world(t, "pool web weighted sticky=ttl\n  a weight=3 192.0.2.1\n  b 192.0.2.2\n"))
	q := ask(t, tree, "web", IPv4, "20.0.0.7")
	s := tree.Scratch()
	s.Time, s.TTL = 1_800_000_000, 30
	_, steps := tree.Explain(q, s)
	slot := steps[0].Slot
	if slot == nil || slot.Until.Sub(slot.From).Seconds() != 30 || slot.From.Unix() > s.Time || slot.Until.Unix() <= s.Time {
		t.Fatalf("slot %+v", slot)
	}
	from, until := health.FormatTime(slot.From), health.FormatTime(slot.Until)
	chosen, other := steps[0], steps[1]
	if other.Chosen {
		chosen, other = other, chosen
	}
	expect(t, "the chosen one", chosen.Reason, fmt.Sprintf("the hash of 20.0.0.0/24 from %s to %s selects it; weight %d of 4 of all networks", from, until, *chosen.Weight))
	expect(t, "the other", other.Reason, "second choice of this network until "+until)
	expect(t, "over all slots", []any{steps[0].Probability, steps[1].Probability}, []any{0.75, 0.25})
}

// The A, AAAA and HTTPS of a client return one region under these policies, for any draw,
// while both families of that region's members are up.
func TestOneRegionForAllTypesOfAClient(t *testing.T) {
	policies := []string{"proximity", "latency", "geolocation", "geolocation fence", "hash", "failover", "weighted sticky", "weighted sticky=ttl", "round-robin sticky", "round-robin sticky=ttl"}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	for range rounds(60) {
		policy := policies[rnd.IntN(len(policies))]
		text := regionsOfTheWorld + fmt.Sprintf("pool web %s answers=%d\n", policy, 1+rnd.IntN(3))
		matches := []string{"default", "country:DE", "continent:EU"}
		for m := range 2 + rnd.IntN(6) {
			text += fmt.Sprintf("  m%d weight=%d region=%s 192.0.2.%d 2001:db8::%d", m, 1+rnd.IntN(3), []string{"us", "eu", "in"}[rnd.IntN(3)], m+1, m+1)
			if policy == "geolocation" || policy == "geolocation fence" {
				text += " match=" + matches[rnd.IntN(min(m+1, 3))]
			}
			text += "\n"
		}
		tree, err := Compile(world(t, text), where)
		if err != nil {
			t.Fatal(err)
		}
		down := map[byte]bool{} // by member, some family
		var turns []health.Transition
		for i, target := range tree.Targets() {
			if rnd.IntN(5) == 0 {
				octets := target.Addr.AsSlice()
				down[octets[len(octets)-1]] = true
				turns = append(turns, health.Transition{Index: i, Target: target, To: health.Down})
			}
		}
		tree.Apply(turns)
		compareRegions(t, rnd, tree, down)
		if t.Failed() {
			t.Fatalf("seed %d, down %v, world:\n%s", seed, down, text)
		}
	}
}

// compareRegions asks for the A, AAAA and HTTPS of clients; down are the members with a down address.
func compareRegions(t *testing.T, rnd *rand.Rand, tree *Tree, down map[byte]bool) {
	t.Helper()
	s := tree.Scratch()
	members := tree.cfg.Pools[0].Members
	for _, client := range clientsOfTheWorld {
		q := ask(t, tree, "web", IPv4, client)
		s.Time, s.TTL = 1_800_000_000, 30
		regions := map[string]bool{}
		for _, of := range []Request{{Family: IPv4}, {Family: IPv6}, {Both: true}} {
			q.Family, q.Both, q.Draw = of.Family, of.Both, rnd.Uint64()
			tree.Decide(q, s)
			for _, octet := range lastOctets(s)[:min(1, len(s.Addrs))] { // the first of several
				regions[members[octet-1].Region] = true
			}
		}
		sound := func(region string) bool {
			return !slices.ContainsFunc(members, func(m config.Member) bool { return m.Region == region && down[m.Addresses[0].As4()[3]] })
		}
		for region := range regions {
			if sound(region) && len(regions) > 1 && !anyUnsound(regions, sound) {
				t.Errorf("%s: %s leads to %v", client, tree.cfg.Pools[0].Policy, regions)
			}
		}
	}
}

func anyUnsound(regions map[string]bool, sound func(string) bool) bool {
	for region := range regions {
		if !sound(region) {
			return true
		}
	}
	return false
}
