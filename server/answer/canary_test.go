package answer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/health"
	"meridian/pools"
	"meridian/server/answer/answertest"
	"meridian/server/limit"
	"meridian/snapshot"
)

// canaryOf returns a canary for so many parts of the clients.
func canaryOf(s *snapshot.Snapshot, parts uint32) *Canary {
	return &Canary{Generation: 42, Share: pools.NewClientShare("42 x", parts), Parts: parts, Snapshot: s}
}

// TestBothPathsAgreeWithCanary is TestBothPathsAgree while another random configuration decides for half of the clients.
func TestBothPathsAgreeWithCanary(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	made := generator{Rand: rand.New(rand.NewPCG(seed, 1)), cookies: limit.NewCookies()}
	stable, next := made.world(t), made.world(t)
	stable.Cookies = made.cookies
	p := newPaths(stable)
	p.wire.engine.SetCanary(canaryOf(next, pools.WholeShare/2))()
	for i := range 1200 {
		if i%300 == 0 {
			made.turn(stable)
			made.turn(next)
		}
		p.draw = made.Uint64()
		made.from = made.source()
		p.compare(t, made.query(), made.from, made.IntN(4) == 0)
		if t.Failed() {
			return
		}
	}
	if n := p.wire.engine.Counters(); n.Canary == 0 || n.CanaryFailed != 0 || n.Canary > n.Queries*3/4 {
		t.Errorf("the canary has decided %d of %d queries, %d failed", n.Canary, n.Queries, n.CanaryFailed)
	}
}

// splitYAML is a configuration with the addresses of one network.
func splitYAML(network, more string) string {
	return strings.NewReplacer("NET", network, "MORE", more).Replace(`
server: {listen: ["127.0.0.1:0"]}
pools:
  web: {policy: all, members: [{name: a, addresses: [NET.1, "2001:db8::1"]}]}
  here: {policy: hash, hash: {ipv4: 28, ipv6: 60}, members: [{name: a, addresses: [NET.2]}, {name: b, addresses: [NET.3]}]}
  away: {policy: all, members: [{name: a, cname: www.example.com}]}
zones:
  example.com:
    file: example.com.zone
    names:
      www: {pool: web}
      narrow: {pool: here}
      off: {pool: web, ecs: false}
      alias: {pool: away}
MORE`)
}

// Every answer is that of the snapshot that the share says, for all clients and kinds of names; names that only one
// snapshot has, static records and the SOA are those of the snapshot that serves.
func TestCanaryDecidesForItsClientsOnly(t *testing.T) {
	const zone = answertest.LoneZone
	stable := answertest.Build(t, splitYAML("192.0.2", "      old: {pool: web}"), zone)
	next := answertest.Build(t, splitYAML("198.51.100", "      new: {pool: web}"), zone+"extra TXT \"only there\"\n")
	p, canary := newPaths(stable), canaryOf(next, pools.WholeShare/4)
	p.wire.engine.SetCanary(canary)()
	selected := 0
	for i := range 400 {
		source := fmt.Sprintf("10.%d.%d.9", i/256, i%256)
		if i%2 == 1 {
			source = fmt.Sprintf("2001:db8:%x::9", i)
		}
		in, _ := canary.Share.Includes(netip.MustParseAddr(source))
		if in {
			selected++
		}
		want := map[bool]string{true: "198.51.100.", false: "192.0.2."}
		for name, decides := range map[string]bool{"www": in, "narrow": in, "off": in, "alias": in, "old": false} {
			m := exchange(t, p, answertest.Packed(t, answertest.Ask(name+".example.com.", dns.TypeA)), source, i%3 == 0)
			last, ok := m.Answer[len(m.Answer)-1].(*dns.A)
			if !ok || !strings.HasPrefix(last.A.String(), want[decides]) {
				t.Fatalf("%s from %s, in the share %v: %v", name, source, in, m.Answer)
			}
		}
		for _, name := range []string{"new", "extra"} {
			if m := exchange(t, p, answertest.Packed(t, answertest.Ask(name+".example.com.", dns.TypeTXT)), source, false); m.Rcode != dns.RcodeNameError {
				t.Fatalf("%s from %s: %v", name, source, m)
			}
		}
	}
	n := p.wire.engine.Counters()
	if want := uint64(2 * 4 * selected); n.Canary != want || selected < 50 { // both paths ask
		t.Errorf("the canary has decided %d queries, want %d", n.Canary, want)
	}
}

// The scope of answers is at least the network by which clients are selected, for all clients, and only of answers that
// may differ.
func TestCanaryBoundsTheScope(t *testing.T) {
	const zone = answertest.LoneZone
	stable, next := answertest.Build(t, splitYAML("192.0.2", ""), zone), answertest.Build(t, splitYAML("198.51.100", ""), zone)
	ask := func(p *paths, name string, qtype uint16, subnet ...byte) (scope int) {
		t.Helper()
		m := exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask(name+".example.com.", qtype), answertest.RawOption(dns.EDNS0SUBNET, subnet...))), "203.0.113.9", false)
		for _, o := range m.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_SUBNET); ok {
				return int(o.SourceScope)
			}
		}
		return -1
	}
	v4, v6 := []byte{0, 1, 24, 0, 198, 18, 7}, []byte{0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 5, 0}
	mapped := append([]byte{0, 2, 120, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 198, 18, 7)
	for _, c := range []struct {
		what, name   string
		qtype        uint16
		subnet       []byte
		before, with int
	}{
		{"one answer for all", "www", dns.TypeA, v4, 0, 24},
		{"IPv6", "www", dns.TypeAAAA, v6, 0, 56},
		{"IPv4 in IPv6", "www", dns.TypeA, mapped, 96, 120},
		{"a wider network", "www", dns.TypeA, []byte{0, 1, 8, 0, 9}, 0, 24},
		{"a narrower decision", "narrow", dns.TypeA, v4, 28, 28},
		{"an alias", "alias", dns.TypeA, v4, 0, 24},
		{"no data of a balanced type", "narrow", dns.TypeAAAA, v4, 28, 28},
		{"a type that no pool answers", "www", dns.TypeTXT, v4, 0, 0},
		{"any type", "www", dns.TypeANY, v4, 0, 24},
		{"a name without client subnets", "off", dns.TypeA, v4, -1, -1},
		{"source prefix 0", "www", dns.TypeA, []byte{0, 1, 0, 0}, 0, 0},
		{"a static name", "ns", dns.TypeA, v4, 0, 0},
	} {
		p := newPaths(stable)
		if got := ask(p, c.name, c.qtype, c.subnet...); got != c.before {
			t.Errorf("%s: scope %d without a canary, want %d", c.what, got, c.before)
		}
		for _, parts := range []uint32{1, pools.WholeShare - 1} {
			p.wire.engine.SetCanary(canaryOf(next, parts))()
			if got := ask(p, c.name, c.qtype, c.subnet...); got != c.with {
				t.Errorf("%s: scope %d with a canary of %d parts, want %d", c.what, got, parts, c.with)
			}
		}
		p.wire.engine.SetCanary(nil)()
		if got := ask(p, c.name, c.qtype, c.subnet...); got != c.before {
			t.Errorf("%s: scope %d after the canary, want %d", c.what, got, c.before)
		}
	}
}

// The client subnet selects, not its resolver, unless the name does not use it. Explanations agree.
func TestClientSubnetSelectsTheCanary(t *testing.T) {
	stable, next := answertest.Build(t, splitYAML("192.0.2", ""), answertest.LoneZone), answertest.Build(t, splitYAML("198.51.100", ""), answertest.LoneZone)
	canary := canaryOf(next, pools.WholeShare/2)
	p, seen := newPaths(stable), map[bool]int{}
	p.wire.engine.SetCanary(canary)()
	for i := range 64 {
		subnet, resolver := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), 24), netip.AddrFrom4([4]byte{203, 0, byte(7 * i), 9})
		bySubnet, _ := canary.Share.Includes(subnet.Addr())
		byResolver, _ := canary.Share.Includes(resolver)
		for name, want := range map[string]bool{"www": bySubnet, "off": byResolver} {
			packet := answertest.Packed(t, answertest.WithOptions(answertest.Ask(name+".example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 18, byte(i))))
			m := exchange(t, p, packet, resolver.String(), false)
			got := strings.HasPrefix(m.Answer[0].(*dns.A).A.String(), "198.51.100.")
			if seen[got]++; got != want {
				t.Fatalf("%s of %s by %s: the canary answers: %v, want %v", name, subnet, resolver, got, want)
			}
			e := Trace(stable, ExplainQuery{Name: dnsname.Name(name + ".example.com."), Type: dns.TypeA, Client: subnet, Resolver: resolver, Canary: canary})
			if e.Canary == nil || e.Canary.Answers != want || e.Canary.Generation != 42 || e.Canary.Percent != 50 || e.Answers[0].Data != m.Answer[0].(*dns.A).A.String() {
				t.Fatalf("%s of %s by %s is explained as %+v, %v; answered %v", name, subnet, resolver, e.Canary, e.Answers, m.Answer)
			}
		}
	}
	if seen[true] < 20 || seen[false] < 20 {
		t.Errorf("%v", seen)
	}
}

// Health states, counters, the query log and statistics are those of the snapshot that decides.
func TestCanaryHasItsOwnStatesAndCounts(t *testing.T) {
	const checked = "\nchecks: {tcp: {type: tcp, port: 1}}\npools:"
	edit := func(s string) string {
		return strings.Replace(strings.Replace(s, "\npools:", checked, 1), "web: {policy: all,", "web: {policy: all, check: tcp, fail_open: never,", 1)
	}
	stable := answertest.Build(t, edit(splitYAML("192.0.2", "")), answertest.LoneZone)
	next := answertest.Build(t, strings.NewReplacer("pools:", "pools:\n  before: {policy: all, members: [{name: z, addresses: [192.0.2.99]}]}").Replace(edit(splitYAML("198.51.100", "\nquery_log: {file: q.log}"))), answertest.LoneZone)
	p := newPaths(stable)
	p.wire.engine.SetCanary(canaryOf(next, pools.WholeShare))()
	query := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA))
	if m := exchange(t, p, query, "10.0.0.9", false); len(m.Answer) != 1 {
		t.Fatalf("%v", m)
	}
	for i, target := range next.Pools.Targets() {
		next.Pools.Apply([]health.Transition{{Index: i, Target: target, To: health.Down}})
	}
	if m := exchange(t, p, query, "10.0.0.9", false); len(m.Answer) != 0 || m.Rcode != dns.RcodeSuccess {
		t.Errorf("with all members of the canary down: %v", m)
	}
	totals := p.wire.engine.AnswerTotals()
	if n := totals.Members[pools.MemberNames{Pool: "web", Member: "a"}]; n != 2 {
		t.Errorf("answers of the member: %d, want 2; %v", n, totals.Members)
	}
	p.wire.engine.SetCanary(nil)()
	if m := exchange(t, p, query, "10.0.0.9", false); len(m.Answer) != 1 {
		t.Errorf("after the canary: %v", m)
	}
	after := p.wire.engine.AnswerTotals()
	if n := after.Members[pools.MemberNames{Pool: "web", Member: "a"}]; n != 4 || after.Pools[PoolMode{"before", "normal"}] != 0 {
		t.Errorf("after the canary: %d answers of the member, want 4; %v", n, after)
	}
}

// A canary begins and ends while responders answer: each batch has one or the other, and the end waits for the batches that
// began before it. A reload keeps the canary.
func TestSetCanaryWaitsForReaders(t *testing.T) {
	stable, again, next := answertest.World(t), answertest.World(t), answertest.World(t)
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(stable, nil)
		busy, idle := e.Responder(), e.Responder()
		idle.Acquire()
		idle.Release()
		e.SetCanary(canaryOf(next, 100))()
		busy.Acquire()
		if busy.at.canary == nil || busy.at.canary.active.snapshot != next {
			t.Fatal("a responder does not have the canary")
		}
		ended := make(chan struct{})
		wait := e.SetCanary(nil)
		go func() { defer close(ended); wait() }()
		time.Sleep(time.Second) // synthetic time
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("the canary has ended while a responder reads it")
		default:
		}
		busy.Release()
		<-ended
		for _, r := range []*Responder{busy, idle} {
			r.Acquire()
			if r.at.canary != nil || r.at.active.snapshot != stable {
				t.Error("a responder still has the canary")
			}
			r.Release()
		}
		e.SetCanary(canaryOf(next, 100))()
		if old := e.Replace(again)(); old != stable || e.Canary() == nil || e.Canary().Snapshot != next {
			t.Errorf("after a reload the canary is %+v", e.Canary())
		}
		busy.Acquire()
		if busy.at.active.snapshot != again || busy.at.canary == nil || busy.at.canary.active.snapshot != next {
			t.Error("after a reload a responder lacks the canary")
		}
		busy.Release()
		e.Remove(busy)
		e.SetCanary(nil)()
	})
}

// A query that panics in the canary is its failure.
func TestPanicInCanaryIsCounted(t *testing.T) {
	stable, next := answertest.World(t), answertest.World(t)
	broken := *next
	p := newPaths(stable)
	p.wire.engine.SetCanary(canaryOf(&broken, pools.WholeShare))()
	p.wire.Acquire()
	p.wire.at.canary.scratch = nil
	p.wire.Release()
	out := p.wire.Respond(nil, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), netip.MustParseAddr("10.0.0.1"), false)
	var m dns.Msg
	if err := m.Unpack(out); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Fatalf("%v, %v", m, err)
	}
	if n := p.wire.engine.Counters(); n.Canary != 1 || n.CanaryFailed != 1 {
		t.Errorf("decided %d, failed %d", n.Canary, n.CanaryFailed)
	}
	out = p.wire.Respond(nil, answertest.Packed(t, answertest.Ask("six.www.example.com.", dns.TypeA)), netip.MustParseAddr("10.0.0.1"), false)
	if err := m.Unpack(out); err != nil || m.Rcode != dns.RcodeSuccess {
		t.Errorf("after the panic: %v, %v", m, err)
	}
}

// TestCanaryAllocatesNothing covers every outcome of the fast path for clients of both snapshots.
func TestCanaryAllocatesNothing(t *testing.T) {
	out := make([]byte, 0, 4096)
	for _, parts := range []uint32{0, pools.WholeShare} {
		e := newEngine(answertest.World(t), nil)
		e.SetCanary(canaryOf(answertest.World(t), parts))()
		r := e.Responder()
		for name, query := range answertest.BenchQueries(t) {
			if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
				t.Errorf("%s, %d parts: %v allocations a query", name, parts, n)
			}
		}
	}
}

func benchmarkCanary(b *testing.B, which string, parts uint32) {
	e := newEngine(answertest.World(b), nil)
	e.SetCanary(canaryOf(answertest.World(b), parts))()
	r, query := e.Responder(), answertest.BenchQueries(b)[which]
	out := make([]byte, 0, 4096)
	r.Acquire()
	defer r.Release()
	b.ReportAllocs()
	for b.Loop() {
		out = r.Answer(out[:0], query, answertest.BenchSource, false)
	}
}

func BenchmarkRespondCanaryInShare(b *testing.B)      { benchmarkCanary(b, "BalancedECS", pools.WholeShare) }
func BenchmarkRespondCanaryOutsideShare(b *testing.B) { benchmarkCanary(b, "BalancedECS", 0) }
