package geo

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Blocks and Locate agree for each address of a block; outside all blocks, only the default region has a location.
func TestBlocksAgreeWithLocate(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(r)
		l := w.open(t)
		for _, v4 := range []bool{true, false} {
			all := tractsOf(t, l, v4)
			for _, tract := range all {
				for _, a := range []netip.Addr{tract.Prefix.Addr(), lastOf(tract.Prefix)} {
					agrees(t, seed, tract, l.Locate(a))
				}
			}
			for _, a := range w.corners() {
				if a.Is4() != v4 || a.Is4In6() || inBlocks(all, a) {
					continue
				}
				_, private := l.PrivateECS(a)
				if at := l.Locate(a); at.From != fromDefault && at.From != "" && !private {
					t.Errorf("seed %d: %s is in no tract, and %s places it", seed, a, at.From)
				}
			}
		}
	}
}

func agrees(t *testing.T, seed uint64, tract Block, want Location) {
	t.Helper()
	want.Network = netip.Prefix{}
	got := *tract.At
	got.Network, got.ASN = netip.Prefix{}, tract.ASN
	if got != want {
		t.Errorf("seed %d: tract %s stands at %+v; Locate says %+v", seed, tract.Prefix, got, want)
	}
}

func tractsOf(t *testing.T, l *Locator, v4 bool) []Block {
	t.Helper()
	var all []Block
	err := l.Blocks(v4, func(tract Block) bool {
		if n := len(all); n > 0 && !lastOf(all[n-1].Prefix).Less(tract.Prefix.Addr()) {
			t.Errorf("tract %s comes after %s", tract.Prefix, all[n-1].Prefix)
		}
		all = append(all, tract)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func inBlocks(all []Block, a netip.Addr) bool {
	for _, tract := range all {
		if tract.Prefix.Contains(a) {
			return true
		}
	}
	return false
}

func TestBlocksStopEarly(t *testing.T) {
	l := newWorld(rand.New(rand.NewPCG(1, 2))).open(t)
	visits := 0
	if err := l.Blocks(true, func(Block) bool { visits++; return false }); err != nil || visits != 1 {
		t.Errorf("%d tracts visited, error %v; want the first alone", visits, err)
	}
}
