package rendezvous

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// log2 is within 2^-20 of floating point's, and decreases throughout.
func TestCostIsTheLogarithm(t *testing.T) {
	l := NewTable()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := rnd.Uint64() >> rnd.IntN(64)
		got, want := float64(l.Cost(x))/math.Exp2(unitBits), 64-math.Log2(float64(x|1))
		if math.Abs(got-want) > math.Exp2(-20) {
			t.Fatalf("%d: %v, want %v", x, got, want)
		}
		if y := x + 1 + rnd.Uint64N(1+x/512); y > x && l.Cost(y) > l.Cost(x) {
			t.Fatalf("%d costs more than %d", y, x)
		}
	}
	if got := l.Cost(1 << 63); got != 1<<unitBits {
		t.Errorf("of one half: got %d, want 2^%d", got, unitBits)
	}
	if got := l.Cost(0); got != 64<<unitBits {
		t.Errorf("of nothing: got %d, want 64 of 2^%d", got, unitBits)
	}
}

func TestLessComparesQuotientsBeyond64Bits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		a, v, b, w := rnd.Uint64(), rnd.Uint64(), rnd.Uint64()>>rnd.IntN(8), 1+rnd.Uint64()>>1
		left, right := new(big.Int), new(big.Int)
		left.Mul(left.SetUint64(a), new(big.Int).SetUint64(w))
		right.Mul(right.SetUint64(b), new(big.Int).SetUint64(v))
		if got, want := Less(a, v, b, w), left.Cmp(right) < 0; got != want {
			t.Fatalf("%d/%d less than %d/%d: got %v, want %v", a, v, b, w, got, want)
		}
	}
}
