package pools

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// roundTripsOfTheWorld make latency rank differently from proximity, inside the networks
// of the world and beside them.
const roundTripsOfTheWorld = `
rtt 192.88.99.0/26 au 3
rtt 192.88.99.0/24 in 4
rtt 198.51.100.64/26 us 1
rtt 2001:4860::/33 in 2
rtt US eu 5
rtt DE us 6 4
rtt FR in 7
`

// turnless returns a random world without turns, in which a decision follows from the
// request alone.
func turnless(rnd *rand.Rand) string {
	return strings.ReplaceAll(randomWorld(rnd)+randomPlain(rnd), "round-robin", "weighted")
}

// stir changes health states, overrides and loads.
func stir(rnd *rand.Rand, tree *Tree, r *reference) {
	tree.Apply(randomTurns(rnd, tree, r))
	randomOverrides(rnd, tree, r)
	randomLoads(rnd, tree, r)
}

// TestScopesHoldClientsWithEqualDecisions checks for any policies, health states, overrides and
// loads that all clients within the scope of a decision get the same one with the same draw.
// Private clients are excluded: resolvers do not cache by them.
func TestScopesHoldClientsWithEqualDecisions(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld+roundTripsOfTheWorld))
	scoped := 0
	for range rounds(24) {
		text := turnless(rnd)
		cfg := world(t, text)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		r := newReference(cfg, where)
		for range 3 {
			for id := range cfg.Pools {
				scoped += compareScopes(t, rnd, tree, ID(id))
			}
			if t.Failed() {
				t.Fatalf("seed %d, down %v, overrides %+v, loads %v, world:\n%s", seed, r.down, r.overrides, r.loads, text)
			}
			stir(rnd, tree, r)
		}
	}
	if !raceEnabled && scoped < 500 {
		t.Errorf("only %d decisions looked at the client: this compares little", scoped)
	}
}

// compareScopes asks a pool from some clients and from others within the scopes, and
// counts the scopes that are not 0.
func compareScopes(t *testing.T, rnd *rand.Rand, tree *Tree, id ID) (scoped int) {
	t.Helper()
	s := tree.Scratch()
	for range 20 {
		q := Request{Pool: id, Family: Family(rnd.IntN(2)), Both: rnd.IntN(4) == 0, Answers: rnd.IntN(4), Draw: rnd.Uint64(), Client: publicClient(rnd)}
		want := tree.Decide(q, s)
		addrs, cname := slices.Clone(s.Addrs), s.CName
		if want.Scope > 0 {
			scoped++
		}
		for _, near := range within(rnd, q.Client, int(want.Scope)) {
			if isPrivate(near) {
				continue
			}
			other := q
			other.Client = near
			if got := tree.Decide(other, s); got != want || !slices.Equal(s.Addrs, addrs) || !bytes.Equal(s.CName, cname) {
				t.Errorf("%+v gets %+v %v, %s in the same /%d gets %+v %v", q, want, addrs, near, want.Scope, got, s.Addrs)
			}
		}
	}
	return scoped
}

// publicClient is often in or near a network that the world distinguishes.
func publicClient(rnd *rand.Rand) netip.Addr {
	for {
		client := randomClient(rnd)
		if rnd.IntN(3) > 0 {
			client = netip.MustParseAddr(clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))]).Unmap()
			client = randomWithin(rnd, client, client.BitLen()-rnd.IntN(13))
		}
		if !isPrivate(client) {
			return client
		}
	}
}

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified()
}

// within returns addresses with the first bits of a: some at random, the two ends, and those
// that differ in the next bit.
func within(rnd *rand.Rand, a netip.Addr, bits int) []netip.Addr {
	low := netip.PrefixFrom(a, bits).Masked().Addr()
	high := low.AsSlice()
	for i := bits; i < a.BitLen(); i++ {
		high[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(high)
	all := []netip.Addr{low, last}
	for range 4 {
		all = append(all, randomWithin(rnd, a, bits))
	}
	if bits < a.BitLen() {
		beside := a.AsSlice()
		beside[bits/8] ^= 0x80 >> (bits % 8)
		other, _ := netip.AddrFromSlice(beside)
		all = append(all, other)
	}
	return all
}

// TestScopesAreMinimal checks with all members up, if the client alone decides, that some client in
// the prefix that is a bit shorter gets another answer, or is private.
func TestScopesAreMinimal(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	tree := compile(t, world(t, regionsOfTheWorld+roundTripsOfTheWorld+`pool near proximity
  a region=us 192.0.2.1
  b region=eu 192.0.2.2
  c region=in 192.0.2.3
  d region=au 192.0.2.4
pool quick latency
  a region=us 192.0.2.1
  b region=eu 192.0.2.2
  c region=in 192.0.2.3
  d region=au 192.0.2.4
pool match geolocation
  a match=network:198.51.100.0/25 192.0.2.1
  b match=subdivision:DE-BE 192.0.2.2
  c match=country:DE 192.0.2.3
  d match=group:europe 192.0.2.4
  e match=continent:EU 192.0.2.5
  f match=default 192.0.2.6
pool first failover
  in pool=near
  out 192.0.2.7
`))
	s := tree.Scratch()
	for range rounds(200) {
		for _, pool := range []string{"near", "quick", "match", "first"} {
			q := ask(t, tree, pool, IPv4, publicClient(rnd).String())
			d := tree.Decide(q, s)
			if d.Scope > 0 && !answersDiffer(tree, q, int(d.Scope), s.Addrs[0]) {
				t.Fatalf("seed %d: pool %s, %s gets %v with scope %d, and so does all of the /%d", seed, pool, q.Client, s.Addrs[0], d.Scope, d.Scope-1)
			}
		}
	}
}

// answersDiffer searches the other half of the prefix that is a bit
// shorter, scope by scope, for a client that gets another answer.
func answersDiffer(tree *Tree, q Request, scope int, answer netip.Addr) bool {
	s := tree.Scratch()
	beside := q.Client.AsSlice()
	beside[(scope-1)/8] ^= 0x80 >> ((scope - 1) % 8)
	other, _ := netip.AddrFromSlice(beside)
	half := netip.PrefixFrom(other, scope).Masked()
	for at := half.Addr(); half.Contains(at); {
		q.Client = at
		d := tree.Decide(q, s)
		if isPrivate(at) || s.Addrs[0] != answer {
			return true
		}
		if d.Scope == 0 {
			return false
		}
		leaf := within(rand.New(rand.NewPCG(0, 0)), at, int(d.Scope))
		at = leaf[1].Next()
	}
	return false
}
