package control

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/pools"
	"meridian/server/answer"
)

// observedZones is a configuration with two regions, and networks in them.
const observedZones = `
server: {listen: ["127.0.0.1:0"]}
admin: {listen: "127.0.0.1:0"}
resolver_stats: on
regions: {eu: {location: [53, 6]}, us: {location: [39, -77]}}
geo: {networks: {203.0.113.0/24: {region: eu}, 198.51.100.0/24: {region: us}}}
pools:
  web: {policy: proximity, members: [{name: a, region: eu, addresses: [192.0.2.1]}, {name: b, region: us, addresses: [192.0.2.2]}]}
zones:
  example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com, names: {www: {pool: web}, api: {pool: web}}}
`

// ask asks the server for a name, from a resolver and with a client subnet unless that is empty.
func (w *world) ask(t *testing.T, name, resolver, subnet string) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	if subnet != "" {
		network := netip.MustParsePrefix(subnet)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(network.Bits()), Address: network.Addr().AsSlice()}}
	}
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	w.answer(t, packed, resolver)
	w.CollectObservations()
}

// answer answers a query of a resolver.
func (w *world) answer(t *testing.T, query []byte, resolver string) {
	t.Helper()
	r := w.server.Borrow()
	defer w.server.Return(r)
	if len(r.Respond(nil, query, netip.MustParseAddr(resolver), false)) == 0 {
		t.Fatal("no answer")
	}
}

// expectGone compares how many clients have left the members of the only override.
func (w *world) expectGone(t *testing.T, when, want string) {
	t.Helper()
	s, err := w.Status(Selector{})
	if err != nil {
		t.Fatal(err)
	}
	got := "not measured"
	if c := s.Overrides[0].Clients; c != nil {
		got = fmt.Sprintf("%.0f gone: %.0f + %.0f, %.0f left of %d", c.Gone, c.Asked, c.Expired, c.Holding, c.Answers)
	}
	if got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

// TestDrainShowsWhichClientsAreGone has four resolvers: one with clients at another member, one that asks again after the
// drain, one that does not, and one that got its answer too early to have it still.
func TestDrainShowsWhichClientsAreGone(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", observedZones, nil, func(w *world) {
		w.ask(t, "www.example.com.", "203.0.113.4", "")
		time.Sleep(40 * time.Second)
		w.ask(t, "www.example.com.", "198.51.100.1", "")
		w.ask(t, "www.example.com.", "203.0.113.2", "")
		w.ask(t, "www.example.com.", "203.0.113.3", "")
		time.Sleep(5 * time.Second)
		said, err := w.Override(Selector{Region: "eu"}, pools.Drained, OverrideOptions{})
		if err != nil || said.Clients == nil || said.Clients.Answers != 2 {
			t.Errorf("drained %+v, %v, want two answers with the region", said.Clients, err)
		}
		w.expectGone(t, "at first", "0 gone: 0 + 0, 100 left of 2")
		w.ask(t, "api.example.com.", "203.0.113.2", "") // another name
		w.expectGone(t, "after another question", "0 gone: 0 + 0, 100 left of 2")
		w.ask(t, "www.example.com.", "203.0.113.2", "")
		w.expectGone(t, "after the same question", "50 gone: 50 + 0, 50 left of 2")
		time.Sleep(26 * time.Second)
		w.expectGone(t, "after the TTL", "100 gone: 50 + 50, 0 left of 2")
		if w.Overrides()[0].Clients != nil {
			t.Error("the saved overrides hold measurements")
		}
		next := built(t, observedZones)
		if _, err := w.server.Swap(next); err != nil {
			t.Fatal(err)
		}
		w.load(t, next)
		w.expectGone(t, "after a reload", "100 gone: 50 + 50, 0 left of 2")
	})
}

func TestClientsAreNotMeasuredWithoutStatistics(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		if _, err := w.Override(memberA, pools.Drained, OverrideOptions{}); err != nil {
			t.Fatal(err)
		}
		w.expectGone(t, "off", "not measured")
		if _, err := w.Resolvers(10, false); err == nil || err.Error() != "resolvers are not observed" {
			t.Errorf("resolvers: %v", err)
		}
		next := built(t, observedZones)
		if _, err := w.server.Swap(next); err != nil {
			t.Fatal(err)
		}
		w.load(t, next)
		w.expectGone(t, "turned on after the drain", "not measured")
	})
}

// TestStatisticsTurnedOffDropWhatIsObserved turns them off before an observed answer is collected: it would hold its
// snapshot in memory.
func TestStatisticsTurnedOffDropWhatIsObserved(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", observedZones, nil, func(w *world) {
		query, err := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		w.answer(t, query, "198.51.100.1")
		w.resolvers.use(&config.ResolverStats{}, time.Now())
		w.CollectObservations()
		w.server.DrainObservations(func(*answer.Observation) { t.Error("an observation remains") })
	})
}

func TestMisplacedResolversAreFound(t *testing.T) {
	inWorld(t, "2026-01-10T01:00:00Z", observedZones, nil, func(w *world) {
		for range 20 {
			w.ask(t, "www.example.com.", "198.51.100.1", "203.0.113.0/26") // in us, with clients in eu
			w.ask(t, "www.example.com.", "203.0.113.1", "203.0.113.0/26")
			w.ask(t, "www.example.com.", "198.51.100.2", "")
			time.Sleep(30 * time.Second)
		}
		w.ask(t, "www.example.com.", "198.51.100.2", "")
		report, err := w.Resolvers(10, true)
		if err != nil || len(report.Resolvers) != 1 || report.Known != 3 {
			t.Fatalf("%+v, %v, want one of three", report, err)
		}
		r := report.Resolvers[0]
		if r.Address.String() != "198.51.100.1" || r.Region != "us" || r.Clients[0].Region != "eu" || r.Elsewhere != 100 || r.WithSubnet != 20 {
			t.Errorf("%+v, want the resolver in us with clients in eu", r)
		}
		all, err := w.Resolvers(1, false)
		if err != nil || len(all.Resolvers) != 1 || all.Resolvers[0].Address.String() != "198.51.100.2" {
			t.Fatalf("%+v, %v, want the one with the most queries", all, err)
		}
		if r := all.Resolvers[0]; r.Queries != 21 || r.Gaps != 20 || r.TypicalGap < 30 || r.TypicalGap > 38 || r.TTL != 30 || r.Caching != "ttl" {
			t.Errorf("%+v, want 20 gaps of 30 s", r)
		}
	})
}
