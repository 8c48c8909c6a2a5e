package pools

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"meridian/health"
)

const nearAndFar = `
region near 0 0
region far 0 90
net 0.0.0.0/0 near
net ::/0 near
net 198.51.100.0/24 far
`

func TestAnswersByMemberState(t *testing.T) {
	for _, c := range []struct {
		behaviour  string
		world      string // pool web is asked
		down       string // members that are down
		mode       Mode
		ipv4, ipv6 string // all addresses answered; nodata
	}{
		{
			behaviour: "an AAAA question is never answered with an IPv4 member",
			world:     "pool web weighted\n  a 192.0.2.1\n  b 2001:db8::2\n",
			ipv4:      "192.0.2.1", ipv6: "2001:db8::2",
		},
		{
			behaviour: "the AAAA of a v4-only pool is NODATA, not dead",
			world:     "pool web failover\n  a 192.0.2.1\n  b 192.0.2.2\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "region before family: AAAA stays in the nearest region though only the next has one",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2 2001:db8::2\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "region before family: a member of the same region that has the family is used instead",
			world:     "pool web proximity\n  a region=near weight=1000 192.0.2.1\n  b region=near 2001:db8::2\n  c region=far 192.0.2.3 2001:db8::3\n",
			ipv4:      "192.0.2.1", ipv6: "2001:db8::2",
		},
		{
			behaviour: "region before family holds under failover as well",
			world:     "pool web failover\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2 2001:db8::2\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "members without a region are one region",
			world:     "pool web failover\n  a 192.0.2.1\n  b region=far 2001:db8::2\n  c 2001:db8::3\n",
			ipv4:      "192.0.2.1", ipv6: "2001:db8::3",
		},
		{
			behaviour: "a pool in the region is used instead, too",
			world:     "pool web failover\n  a 192.0.2.1\n  b pool=inner\npool inner failover\n  c 2001:db8::3\n",
			ipv4:      "192.0.2.1", ipv6: "2001:db8::3",
		},
		{
			behaviour: "disabled members and those of weight 0 are never answered",
			world:     "pool web weighted\n  a 192.0.2.1\n  b disabled 192.0.2.2\n  c weight=0 192.0.2.3\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "not even if all others are down",
			world:     "pool web weighted\n  a 192.0.2.1\n  b disabled 192.0.2.2\n  c weight=0 192.0.2.3\n",
			down:      "web/a",
			mode:      FailedOpen, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "all down: as if all were up",
			world:     "pool web weighted\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2\n",
			down:      "web",
			mode:      FailedOpen, ipv4: "192.0.2.1 192.0.2.2", ipv6: "2001:db8::1",
		},
		{
			behaviour: "all down, still nearest first",
			world:     "pool web proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n",
			down:      "web",
			mode:      FailedOpen, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "all down with fail_open: never",
			world:     "pool web weighted fail_open=never\n  a 192.0.2.1\n",
			down:      "web",
			mode:      Dead, ipv4: "nodata", ipv6: "nodata",
		},
		{
			behaviour: "no enabled member",
			world:     "pool web weighted\n  a disabled 192.0.2.1\n  b weight=0 192.0.2.2\n",
			mode:      Dead, ipv4: "nodata", ipv6: "nodata",
		},
		{
			behaviour: "no member",
			world:     "pool web round-robin\n",
			mode:      Dead, ipv4: "nodata", ipv6: "nodata",
		},
		{
			behaviour: "only a fallback",
			world:     "pool web round-robin fallback=spare\npool spare weighted\n  a 192.0.2.1\n",
			mode:      FallenBack, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "a live fallback comes before failing open",
			world:     "pool web weighted fallback=spare\n  a 192.0.2.1\npool spare weighted\n  b 192.0.2.2\n",
			down:      "web",
			mode:      FallenBack, ipv4: "192.0.2.2", ipv6: "nodata",
		},
		{
			behaviour: "a fallback that is not live does not answer",
			world:     "pool web weighted fallback=spare\n  a 192.0.2.1\npool spare weighted\n  b 192.0.2.2\n",
			down:      "web spare",
			mode:      FailedOpen, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "a fallback's own fallback is not used",
			world:     "pool web weighted fallback=spare\n  a 192.0.2.1\npool spare weighted fallback=last\n  b 192.0.2.2\npool last weighted\n  c 192.0.2.3\n",
			down:      "web spare",
			mode:      FailedOpen, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "the fallback of a nested pool is not used",
			world:     "pool web failover\n  in pool=inner\n  c 192.0.2.3\npool inner weighted fallback=spare\n  a 192.0.2.1\npool spare weighted\n  b 192.0.2.2\n",
			down:      "inner",
			ipv4:      "192.0.2.3", ipv6: "nodata",
		},
		{
			behaviour: "a nested pool that is not live is passed over",
			world:     "pool web failover\n  in pool=inner\n  c 192.0.2.3\npool inner weighted min_up=2\n  a 192.0.2.1\n  b 192.0.2.2\n",
			down:      "inner/a",
			ipv4:      "192.0.2.3", ipv6: "nodata",
		},
		{
			behaviour: "failing open opens nested pools",
			world:     "pool web failover\n  in pool=inner\npool inner failover\n  deep pool=deepest\npool deepest failover min_up=2\n  a 192.0.2.1\n  b 192.0.2.2\n",
			down:      "deepest/a deepest/b",
			mode:      FailedOpen, ipv4: "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "failing open answers the members that are up, in nested pools too",
			world:     "pool web failover\n  in pool=inner\npool inner failover\n  deep pool=deepest\n  x disabled 192.0.2.9\npool deepest failover min_up=2\n  a 192.0.2.1\n  b 192.0.2.2\n",
			down:      "deepest/a",
			mode:      FailedOpen, ipv4: "192.0.2.2", ipv6: "nodata",
		},
		{
			behaviour: "fail_open: remaining answers no down member while another is up",
			world:     "pool web weighted min_up=3\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n",
			down:      "web/a web/b",
			mode:      FailedOpen, ipv4: "192.0.2.3 192.0.2.4", ipv6: "nodata",
		},
		{
			behaviour: "fail_open: all answers all, up or not",
			world:     "pool web weighted min_up=3 fail_open=all\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d weight=0 192.0.2.4\n",
			down:      "web/a web/b",
			mode:      FailedOpen, ipv4: "192.0.2.1 192.0.2.2 192.0.2.3", ipv6: "nodata",
		},
		{
			behaviour: "min_up in percent counts no member of weight 0",
			world:     "pool web weighted min_up=60% fallback=sorry\n  blue 192.0.2.1\n  green weight=0 192.0.2.2\npool sorry weighted\n  s 192.0.2.66\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "failing open passes over a nested pool without answers",
			world:     "pool web failover\n  in pool=inner\n  c 192.0.2.3\npool inner failover\n  a weight=0 192.0.2.1\n",
			down:      "web",
			mode:      FailedOpen, ipv4: "192.0.2.3", ipv6: "nodata",
		},
		{
			behaviour: "min_up counts",
			world:     "pool web weighted min_up=2 fail_open=never\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n",
			down:      "web/b web/c",
			mode:      Dead, ipv4: "nodata", ipv6: "nodata",
		},
		{
			behaviour: "min_up in percent rounds up, of the enabled members: 50% of 3 are 2",
			world:     "pool web failover min_up=50% fail_open=never\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d disabled 192.0.2.4\n",
			down:      "web/b",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
		{
			behaviour: "min_up in percent: one of three is less than 50%",
			world:     "pool web failover min_up=50% fail_open=never\n  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d disabled 192.0.2.4\n",
			down:      "web/b web/c",
			mode:      Dead, ipv4: "nodata", ipv6: "nodata",
		},
		{
			behaviour: "an endpoint with several addresses gives one that is up",
			world:     "pool web weighted\n  a 192.0.2.1 192.0.2.2 192.0.2.3\n  b 192.0.2.2\n",
			down:      "web/b",
			ipv4:      "192.0.2.1 192.0.2.3", ipv6: "nodata",
		},
		{
			behaviour: "nested five deep",
			world: "pool web failover\n  m pool=p2\npool p2 weighted\n  m pool=p3\npool p3 round-robin\n  m pool=p4\npool p4 proximity\n  m region=near pool=p5\n  far region=far 192.0.2.9\n" +
				"pool p5 failover\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2\n",
			down: "p5/a",
			ipv4: "192.0.2.2", ipv6: "nodata",
		},
		{
			behaviour: "an IPv4-mapped address is an IPv4 address",
			world:     "pool web weighted\n  a ::ffff:192.0.2.1\n",
			ipv4:      "192.0.2.1", ipv6: "nodata",
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			for f, want := range map[Family]string{IPv4: c.ipv4, IPv6: c.ipv6} {
				q := ask(t, tree, "web", f, "192.0.2.200")
				expect(t, f.String(), answers(tree, q), want)
				expect(t, f.String()+" mode", tree.Decide(q, tree.Scratch()).Mode, c.mode)
			}
		})
	}
}

// A dual-stack member with only its IPv4 address down is down for IPv4 only.
func TestFamiliesAreUpIndependently(t *testing.T) {
	tree := compile(t, world(t, "pool web failover\n  a 192.0.2.1 2001:db8::1\n  b 192.0.2.2 2001:db8::2\nbind web\n"))
	for i, target := range tree.Targets() {
		if target.Addr == netip.MustParseAddr("192.0.2.1") {
			tree.Apply([]health.Transition{{Index: i, To: health.Down}})
		}
	}
	expect(t, "IPv4", answers(tree, ask(t, tree, "web", IPv4, "8.8.8.8")), "192.0.2.2")
	expect(t, "IPv6", answers(tree, ask(t, tree, "web", IPv6, "8.8.8.8")), "2001:db8::1")
}

func TestAnswersLimitsDrawnMembers(t *testing.T) {
	const five = "  a 192.0.2.1\n  b 192.0.2.2\n  c 192.0.2.3\n  d 192.0.2.4\n  e 192.0.2.5\n"
	for _, c := range []struct {
		behaviour, world string
		count            int // addresses in every answer
		of               int // different ones over all answers
	}{
		{"one by default", "pool web weighted\n" + five, 1, 5},
		{"two of five", "pool web weighted answers=2\n" + five, 2, 5},
		{"all, said as 0", "pool web weighted answers=0\n" + five, 5, 5},
		{"more than there are", "pool web weighted answers=9\n" + five, 5, 5},
		{"the first two of failover", "pool web failover answers=2\n" + five, 2, 2},
		{"two in turn", "pool web round-robin answers=2\n" + five, 2, 5},
		{"never beyond the nearest region", "pool web proximity answers=3\n  a region=near 192.0.2.1\n  b region=near 192.0.2.2\n  c region=far 192.0.2.3\n", 2, 2},
		{"several addresses of one endpoint count one each", "pool web weighted answers=2\n  a 192.0.2.1 192.0.2.2 192.0.2.3\n", 2, 3},
		{"an address of two members is answered once", "pool web weighted answers=0\n  a 192.0.2.1\n  b 192.0.2.1\n  c 192.0.2.2 192.0.2.1\n", 2, 2},
		{"a nested pool brings as many as its own answers says", "pool web failover\n  in pool=inner\n  z 192.0.2.9\npool inner weighted answers=3\n" + five, 3, 5},
		{"and counts as one", "pool web failover answers=2\n  in pool=inner\n  z 192.0.2.9\npool inner weighted answers=2\n" + five, 3, 6},
		{"or fewer than the outer one", "pool web failover answers=4\n  in pool=inner\npool inner weighted\n" + five, 1, 5},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, nearAndFar+c.world))
			q := ask(t, tree, "web", IPv4, "192.0.2.200")
			s := tree.Scratch()
			seen := map[netip.Addr]bool{}
			for q.Draw = range 500 {
				tree.Decide(q, s)
				distinct := map[netip.Addr]bool{}
				for _, a := range s.Addrs {
					distinct[a], seen[a] = true, true
				}
				if len(s.Addrs) != c.count || len(distinct) != c.count {
					t.Fatalf("draw %d: got %v, want %d addresses", q.Draw, s.Addrs, c.count)
				}
			}
			expect(t, "different addresses", len(seen), c.of)
		})
	}
}

// The name's answers replace those of the pool that answers, including a fallback.
func TestAnswersOfTheNameComeFirst(t *testing.T) {
	tree := compile(t, world(t, "pool web weighted fallback=spare\n  a 192.0.2.1\n  b 192.0.2.2\npool spare weighted answers=1\n  c 192.0.2.3\n  d 192.0.2.4\n"))
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	q.Answers = 2
	s := tree.Scratch()
	tree.Decide(q, s)
	expect(t, "of the pool", len(s.Addrs), 2)
	setVerdicts(t, tree, health.Down, "web")
	tree.Decide(q, s)
	expect(t, "of the fallback", len(s.Addrs), 2)
}

func TestEqualDrawsGiveAAndAAAAOneRegion(t *testing.T) {
	var b strings.Builder
	for r := range 5 {
		fmt.Fprintf(&b, "region r%d 0 %d\n", r, 30*r)
	}
	b.WriteString("pool web weighted answers=2\n")
	for m := range 15 {
		families := []string{"192.0.2.%[1]d 2001:db8::%[1]x", "192.0.2.%[1]d", "2001:db8::%[1]x"}[m%3]
		fmt.Fprintf(&b, "  m%d region=r%d weight=%d "+families+"\n", m, m/3, 1+m%4)
	}
	tree := compile(t, world(t, b.String()))
	q4, q6 := ask(t, tree, "web", IPv4, "8.8.8.8"), ask(t, tree, "web", IPv6, "8.8.8.8")
	s4, s6 := tree.Scratch(), tree.Scratch()
	region := func(a netip.Addr) int { bytes := a.AsSlice(); return int(bytes[len(bytes)-1]) / 3 }
	for draw := range uint64(2000) {
		q4.Draw, q6.Draw = draw, draw
		tree.Decide(q4, s4)
		tree.Decide(q6, s6)
		var of4, of6 []int
		for i := range s4.Addrs {
			of4, of6 = append(of4, region(s4.Addrs[i])), append(of6, region(s6.Addrs[i]))
		}
		if !slices.Equal(of4, of6) {
			t.Fatalf("draw %d: A %v, AAAA %v", draw, s4.Addrs, s6.Addrs)
		}
	}
}

func TestPoolsOfMoreThan64Members(t *testing.T) {
	for _, policy := range []string{"weighted", "round-robin", "proximity", "failover"} {
		t.Run(policy, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(nearAndFar + "pool web " + policy + "\n")
			for m := range 200 {
				fmt.Fprintf(&b, "  m%d region=%s 192.0.2.%d\n", m, []string{"near", "far"}[m/150], m)
			}
			tree := compile(t, world(t, b.String()))
			setVerdicts(t, tree, health.Down, "web/m0", "web/m64", "web/m199")
			q := ask(t, tree, "web", IPv4, "8.8.8.8")
			q.Answers = 0
			s := tree.Scratch()
			tree.Decide(q, s)
			want := map[string]int{"proximity": 148}[policy]
			if want == 0 {
				want = 197
			}
			expect(t, "all", len(s.Addrs), want)
			q.Answers = 1
			distinct := len(shares(tree, q, 5000))
			if policy == "failover" {
				want = 1
			}
			expect(t, "one at a time", distinct, want)
		})
	}
}

func TestEqualQuestionsHaveEqualAnswers(t *testing.T) {
	tree := compile(t, world(t, eightRegions("weighted")))
	q := ask(t, tree, "web", IPv4, "8.8.8.8")
	q.Answers = 3
	one, other := tree.Scratch(), tree.Scratch()
	for range 1000 {
		q.Draw = rand.Uint64()
		tree.Decide(q, one)
		tree.Decide(q, other)
		if !slices.Equal(one.Addrs, other.Addrs) {
			t.Fatalf("draw %d: got %v and %v", q.Draw, one.Addrs, other.Addrs)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	text := eightRegions("proximity") + "pool outer round-robin answers=2\n  in pool=web\n  w pool=weights\npool weights weighted answers=0\n  a 192.0.2.70 192.0.2.71 2001:db8::70\n  b 192.0.2.72\n"
	tree := compile(t, world(t, text))
	s := tree.Scratch()
	for _, f := range []Family{IPv4, IPv6} {
		q := ask(t, tree, "outer", f, "198.51.3.1")
		allocs := testing.AllocsPerRun(1000, func() {
			q.Draw++
			tree.Decide(q, s)
		})
		expect(t, f.String(), allocs, 0.0)
	}
}

func TestScratchOfAnotherTreeIsRefused(t *testing.T) {
	const text = "pool web weighted\n  a 192.0.2.1\n"
	one, other := compile(t, world(t, text)), compile(t, world(t, text))
	defer func() {
		if recover() == nil {
			t.Error("Decide took the scratch of another tree")
		}
	}()
	one.Decide(ask(t, one, "web", IPv4, "8.8.8.8"), other.Scratch())
}
