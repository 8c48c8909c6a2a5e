package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Every pool that does not depend on addresses has the same probabilities for two
// clients with equal keys.
func TestClientsWithEqualKeysHaveEqualProbabilities(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	alike := 0
	for range rounds(10) {
		cfg := world(t, randomWorld(rnd))
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		tree.Apply(randomTurns(rnd, tree, newReference(cfg, where)))
		s := tree.Scratch()
		known := map[string]string{}
		for range 200 {
			q := Request{Pool: ID(rnd.IntN(len(tree.pools))), Family: IPv4, Answers: 1, Client: netip.AddrFrom4([4]byte{byte(rnd.IntN(224)), byte(rnd.IntN(256)), 1, 1})}
			if tree.DependsOnAddress(q.Pool) {
				continue
			}
			_, odds := tree.Probabilities(q, s)
			standing, bits := tree.ClientKey(q.Client, []byte{byte(q.Pool)})
			key := string(standing)
			for _, near := range edges(q.Client, bits) {
				same, _ := tree.ClientKey(near, []byte{byte(q.Pool)})
				expect(t, fmt.Sprintf("seed %d: standing of %s, within /%d of %s", seed, near, bits, q.Client), same, standing)
			}
			if other, met := known[key]; met {
				expect(t, fmt.Sprintf("seed %d: odds of clients of equal standing", seed), fmt.Sprint(odds), other)
				alike++
			}
			known[key] = fmt.Sprint(odds)
		}
	}
	if !raceEnabled && alike < 50 {
		t.Errorf("only %d pairs of clients were alike", alike)
	}
}

// edges returns the first and the last address with the same first bits as a.
func edges(a netip.Addr, bits int) []netip.Addr {
	p := netip.PrefixFrom(a, bits).Masked()
	last := p.Addr().As4()
	for i := bits; i < 32; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return []netip.Addr{p.Addr(), netip.AddrFrom4(last)}
}
