package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/health"
)

// TestRecordsAreChosenLikeAddresses compares decisions for records with those for addresses in twin worlds: there a member
// has an IPv4 address if it has the record, and otherwise an IPv6 address. The pools, and so the policies, are equal.
func TestRecordsAreChosenLikeAddresses(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where := openSmall(t, world(t, regionsOfTheWorld))
	given, asked := 0, 0
	for range rounds(30) {
		text := randomWorld(rnd) + randomPlain(rnd)
		cfg, twin := world(t, text), world(t, text)
		giveRecords(rnd, cfg, twin)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		other, err := Compile(twin, where)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			given += compareRecords(t, rnd, tree, other)
			asked += len(tree.pools)
			applyToBoth(rnd, tree, other)
		}
		if t.Failed() {
			t.Fatalf("seed %d, world:\n%s", seed, text)
		}
	}
	if given < asked/5 {
		t.Errorf("%d of %d decisions gave members: this compares little", given, asked)
	}
}

// giveRecords gives members one address each, and some of them a record. All members of nested pools have one: what a
// nested pool can give is not known by health state, as for addresses.
func giveRecords(rnd *rand.Rand, cfg, twin *config.Config) {
	nested := map[string]bool{}
	for _, p := range cfg.Pools {
		for _, m := range p.Members {
			nested[m.Pool] = true
		}
	}
	for i := range cfg.Pools {
		for j := range cfg.Pools[i].Members {
			m, other := &cfg.Pools[i].Members[j], &twin.Pools[i].Members[j]
			if len(m.Addresses) == 0 {
				continue
			}
			four := netip.AddrFrom4([4]byte{10, 1, byte(i), byte(j)})
			m.Addresses, other.Addresses = []netip.Addr{four}, []netip.Addr{netip.AddrFrom16([16]byte{0: 0x20, 14: byte(i), 15: byte(j)})}
			if nested[cfg.Pools[i].Name] || rnd.IntN(3) > 0 {
				m.Records = []config.Record{{Type: dns.TypeMX, Text: "10 a."}}
				other.Addresses = []netip.Addr{four}
			}
		}
	}
}

// applyToBoth applies equal health states to twins.
func applyToBoth(rnd *rand.Rand, tree, twin *Tree) {
	var turns, others []health.Transition
	for i, target := range tree.Targets() {
		turn := health.Transition{Index: i, Target: target, To: health.Up, Response: time.Duration(1+rnd.IntN(3)) * time.Millisecond, SlowStartWeight: health.FullWeight}
		switch rnd.IntN(4) {
		case 0:
			turn.To = health.Down
		case 1:
			turn.SlowStartWeight = uint8(rnd.IntN(256))
		}
		turns = append(turns, turn)
		turn.Target = twin.Targets()[i]
		others = append(others, turn)
	}
	tree.Apply(turns)
	twin.Apply(others)
}

// compareRecords asks each pool of twins, and returns how many decisions gave members.
func compareRecords(t *testing.T, rnd *rand.Rand, tree, twin *Tree) (given int) {
	t.Helper()
	for id := range tree.pools {
		q := Request{Pool: ID(id), Answers: rnd.IntN(4), Client: netip.AddrFrom4([4]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), 0, 1}), Draw: rnd.Uint64()}
		got, want := tree.Scratch(), twin.Scratch()
		got.Widen = rnd.IntN(4) == 0
		want.Widen = got.Widen
		d, dt := tree.DecideRecords(q, dns.TypeMX, got), twin.Decide(q, want)
		if d != dt || !slices.Equal(got.Given, want.Given) || fmt.Sprint(got.CName) != fmt.Sprint(want.CName) {
			t.Errorf("pool %s, %+v (widen %v)\nrecords   %+v %v %q\naddresses %+v %v %q", tree.cfg.Pools[id].Name, q, got.Widen, d, got.Given, got.CName, dt, want.Given, want.CName)
		}
		if len(got.Given) > 0 {
			given++
		}
		again, asked := tree.Scratch(), twin.Scratch()
		again.Widen, asked.Widen = got.Widen, got.Widen
		explained, steps := tree.ExplainRecords(q, dns.TypeMX, again)
		_, wanted := twin.Explain(q, asked)
		if explained != d || !slices.Equal(again.Given, got.Given) || len(steps) != len(wanted) {
			t.Errorf("pool %s, %+v: explained %+v %v, decided %+v %v", tree.cfg.Pools[id].Name, q, explained, again.Given, d, got.Given)
		}
		for i := range steps {
			if steps[i].Chosen != wanted[i].Chosen || steps[i].Probability != wanted[i].Probability || steps[i].InAnswer != wanted[i].InAnswer {
				t.Errorf("pool %s, %+v, step %d: %+v, with addresses %+v", tree.cfg.Pools[id].Name, q, i, steps[i], wanted[i])
			}
		}
	}
	return given
}

func TestDecidingForRecordsAllocatesNothing(t *testing.T) {
	cfg := world(t, "pool web weighted\n a 192.0.2.1\n b 192.0.2.2")
	for i := range cfg.Pools[0].Members {
		cfg.Pools[0].Members[i].Records = []config.Record{{Type: dns.TypeMX, Text: "10 a."}}
	}
	tree, err := Compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := tree.Scratch()
	if n := testing.AllocsPerRun(100, func() { tree.DecideRecords(Request{Answers: 1}, dns.TypeMX, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
