package pools

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// For any addresses and any reserved size, each address gets the
// number that a map would give it.
func TestInternerMatchesMap(t *testing.T) {
	for range rounds(200) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		room, networks, hosts := r.IntN(300), 1+r.Uint32N(50), 1+r.Uint32N(300)
		v4, v6 := newInterner(room, splitV4), newInterner(room, splitV6)
		known := map[[4]byte]uint32{}
		for range r.IntN(2000) {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], r.Uint32N(networks)<<16|r.Uint32N(hosts))
			want, met := known[a]
			if !met {
				want = uint32(len(known))
				known[a] = want
			}
			long := [16]byte{0: 0x20, 1: a[0], 7: a[1], 14: a[2], 15: a[3]}
			if got, fresh := v4.id(a); got != want || fresh == met || v4.all[got] != a {
				t.Fatalf("seed %d: %v is number %d, fresh %v; want %d, met %v", seed, a, got, fresh, want, met)
			}
			if got, fresh := v6.id(long); got != want || fresh == met || v6.all[got] != long {
				t.Fatalf("seed %d: %v is number %d, fresh %v; want %d, met %v", seed, long, got, fresh, want, met)
			}
		}
	}
}

// Full networks must not slow their neighbours in the table: the
// longest probe sequence is limited to a few lines.
func TestInternerProbesStayShort(t *testing.T) {
	const count = 1 << 16
	n := newInterner(count, splitV4)
	for i := range uint32(count) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|i>>8<<16|i&0xff) // a /24 full in each /16
		n.id(a)
	}
	longest, run := 0, 0
	for _, slot := range append(n.slots, n.slots...) { // the table is a circle
		if run++; slot == 0 {
			run = 0
		}
		longest = max(longest, run)
	}
	if longest > 64<<hostBits {
		t.Errorf("%d slots in a row are taken, of %d for %d addresses", longest, len(n.slots), count)
	}
}

func BenchmarkInterner(b *testing.B) {
	const count = 1 << 20
	b.ReportAllocs()
	for b.Loop() {
		n := newInterner(count, splitV6)
		for i := range uint32(count) {
			a := [16]byte{0: 0x20, 1: 1, 5: byte(i & 15)}
			binary.BigEndian.PutUint32(a[12:], i>>4)
			n.id(a)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/address")
}
