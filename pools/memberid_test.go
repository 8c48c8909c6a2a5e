package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/geo"
)

// givers returns the members that gave a decision's answer, as pool/member.
func givers(tree *Tree, s *Scratch) string {
	var all []string
	for _, id := range s.Given {
		n := tree.NamesOf(id)
		all = append(all, n.Pool+"/"+n.Member)
	}
	return strings.Join(all, " ")
}

func TestGivenNamesTheMembersOfTheAnswer(t *testing.T) {
	tree := compile(t, world(t, `
pool web failover answers=1
  nested pool=inner
  other 192.0.2.9
pool inner weighted answers=2
  a 192.0.2.1
  b 192.0.2.2
pool plain failover
  one 192.0.2.3 2001:db8::3
  two 192.0.2.4
pool alias failover answers=0
  first cname=lb.example.net.
  later 192.0.2.5
pool mixed failover answers=0
  first 192.0.2.5
  later cname=lb.example.net.
pool shared all answers=0
  first 192.0.2.6
  same 192.0.2.6
pool six failover
  only 2001:db8::6
bind web
bind plain
bind alias
bind mixed
bind shared
bind six
`))
	for _, c := range []struct {
		pool   string
		family Family
		both   bool
		want   string
	}{
		{"web", IPv4, false, "inner/a inner/b web/nested"},
		{"plain", IPv4, false, "plain/one"},
		{"plain", IPv6, false, "plain/one"},
		{"plain", IPv4, true, "plain/one"},
		{"six", IPv4, true, "six/only"},
		{"six", IPv4, false, ""},
		{"alias", IPv4, false, "alias/first"},
		{"mixed", IPv4, false, "mixed/first"},
		{"shared", IPv4, false, "shared/first"},
	} {
		q := ask(t, tree, c.pool, c.family, "198.51.100.7")
		q.Both = c.both
		s := tree.Scratch()
		for range 2 { // the second decision starts with an empty list
			tree.Decide(q, s)
		}
		got := strings.Fields(givers(tree, s))
		if c.pool == "web" {
			slices.Sort(got[:2]) // drawn in either order
		}
		if c.pool == "shared" && len(got) == 1 {
			got = []string{"shared/first"} // either of the two
		}
		expect(t, fmt.Sprintf("%s %s %v", c.pool, c.family, c.both), strings.Join(got, " "), c.want)
	}
}

// TestGivenAccountsForEveryAddress checks on random worlds that each given endpoint has an address of the answer, and that
// each address of the answer is of a given endpoint.
func TestGivenAccountsForEveryAddress(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	where, err := geo.Open(world(t, regionsOfTheWorld))
	if err != nil {
		t.Fatal(err)
	}
	defer where.Close()
	for range 3 {
		text := randomWorld(rnd)
		tree, err := Compile(world(t, text), where)
		if err != nil {
			t.Fatal(err)
		}
		tree.Apply(randomTurns(rnd, tree, newReference(tree.cfg, where)))
		s := tree.Scratch()
		for range 200 {
			q := Request{
				Pool: ID(rnd.IntN(len(tree.pools))), Family: Family(rnd.IntN(2)), Answers: rnd.IntN(4), Draw: rnd.Uint64(),
				Client: netip.MustParseAddr(clientsOfTheWorld[rnd.IntN(len(clientsOfTheWorld))]),
			}
			tree.Decide(q, s)
			if err := unaccounted(tree, s); err != nil {
				t.Fatalf("%v: %v by %s: %v; seed %d, world:\n%s", q, s.Addrs, givers(tree, s), err, seed, text)
			}
		}
	}
}

// unaccounted returns how the given members and the addresses of an answer disagree.
func unaccounted(tree *Tree, s *Scratch) error {
	left := slices.Clone(s.Addrs)
	for _, id := range s.Given {
		m := &tree.members[id]
		if m.child != none {
			continue // a pool that is nested in several pools may be asked more than once
		}
		found := false
		for _, f := range []Family{IPv4, IPv6} {
			for _, ref := range tree.addrs(m, f) {
				addr := tree.addr(f, ref.addr)
				found = found || slices.Contains(s.Addrs, addr)
				left = slices.DeleteFunc(left, func(a netip.Addr) bool { return a == addr })
			}
		}
		if !found {
			return fmt.Errorf("member %d gave none of the addresses", id)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("no given member has %v", left)
	}
	return nil
}

func TestMemberNamesAreThoseOfTheConfiguration(t *testing.T) {
	tree := compile(t, world(t, "region eu 53 6\npool a weighted\n  x region=eu 192.0.2.1\n  y 192.0.2.2\npool b weighted\n  z 192.0.2.3\n"))
	var all []string
	for id, n := range tree.MemberNames() {
		if tree.NamesOf(id) != n {
			t.Errorf("member %d: %v, want %v", id, tree.NamesOf(id), n)
		}
		all = append(all, fmt.Sprintf("%d=%s/%s(%s)", id, n.Pool, n.Member, n.Region))
	}
	expect(t, "members", all, "[0=a/x(eu) 1=a/y() 2=b/z()]")
	expect(t, "count", tree.MemberCount(), 3)
}
