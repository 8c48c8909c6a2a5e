package plan_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meridian/plan"
	"meridian/pools"
	"meridian/snapshot"
)

// steered is a configuration template for pools, of which web is queried, with the round trips
// of regions in a file.
const steered = `
regions:
  us: {location: [39.04, -77.49]}
  eu: {location: [53.35, -6.26]}
  ap: {location: [19.08, 72.88]}
latency: {file: %s}
checks:
  c: {type: tcp, port: 1}
loads:
  l: {type: json, url: "http://127.0.0.1:1/", load: active}
pools:
%s
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// everyPolicy returns pools that together use every policy. Members with a name that begins
// with x are down.
var everyPolicy = []struct{ behaviour, pools string }{
	{"proximity", "  web: {policy: proximity, members: [{name: u, region: us, weight: 3, addresses: [10.0.0.1]}, {name: v, region: us, addresses: [10.0.0.2]}, {name: e, region: eu, addresses: [10.0.0.3, \"fd00::3\"]}, {name: xa, region: ap, check: c, addresses: [10.0.0.4]}]}\n"},
	{"geolocation", "  web: {policy: geolocation, default: nodata, members: [{name: n, match: {continent: NA}, addresses: [10.0.0.1]}, {name: xu, match: {country: US}, check: c, addresses: [10.0.0.2]}, {name: e, weight: 1, match: {continent: EU}, addresses: [10.0.0.3]}, {name: f, weight: 2, match: {continent: EU}, addresses: [10.0.0.4]}]}\n"},
	{"weighted", "  web: {policy: weighted, members: [{name: a, weight: 5, addresses: [10.0.0.1]}, {name: b, weight: 2, addresses: [10.0.0.2, 10.0.0.3]}, {name: c, weight: 0, addresses: [10.0.0.4]}, {name: xd, check: c, addresses: [10.0.0.5]}]}\n"},
	{"sticky", "  web: {policy: weighted, sticky: true, members: [{name: a, weight: 5, addresses: [10.0.0.1]}, {name: b, weight: 2, addresses: [10.0.0.2]}]}\n"},
	{"round-robin", "  web: {policy: round-robin, members: [{name: a, addresses: [10.0.0.1]}, {name: b, addresses: [10.0.0.2]}, {name: xc, check: c, addresses: [10.0.0.3]}]}\n"},
	{"failover with trickle", "  web: {policy: failover, trickle: 20%, members: [{name: xa, check: c, addresses: [10.0.0.1]}, {name: b, addresses: [10.0.0.2]}, {name: c, addresses: [10.0.0.3]}, {name: d, addresses: [10.0.0.4]}]}\n"},
	{"hash", "  web: {policy: hash, members: [{name: a, weight: 3, addresses: [10.0.0.1, \"fd00::1\"]}, {name: b, addresses: [10.0.0.2, \"fd00::2\"]}, {name: c, addresses: [10.0.0.3]}]}\n"},
	{"fastest", "  web: {policy: fastest, check: c, members: [{name: a, weight: 3, addresses: [10.0.0.1]}, {name: b, addresses: [10.0.0.2]}, {name: c, addresses: [10.0.0.30]}]}\n"},
	{"latency", "  web: {policy: latency, members: [{name: u, region: us, addresses: [10.0.0.1]}, {name: e, region: eu, addresses: [10.0.0.3]}, {name: a, region: ap, addresses: [10.0.0.4]}]}\n"},
	{"least-load", "  web: {policy: least-load, members: [{name: a, load: l, capacity: 100, addresses: [10.0.0.1]}, {name: b, load: l, capacity: 40, addresses: [10.0.0.2]}]}\n"},
	{"all", "  web: {policy: all, members: [{name: a, addresses: [10.0.0.1]}, {name: b, addresses: [10.0.0.2]}, {name: c, addresses: [10.0.0.3]}]}\n"},
	{"nested", "  web: {policy: proximity, members: [{name: u, region: us, pool: in}, {name: e, region: eu, pool: out}]}\n  in: {policy: weighted, members: [{name: a, weight: 2, addresses: [10.0.0.1]}, {name: o, pool: out}]}\n  out: {policy: failover, members: [{name: xb, check: c, addresses: [10.0.0.2]}, {name: h, pool: hashed}]}\n  hashed: {policy: hash, members: [{name: c, addresses: [10.0.0.3]}, {name: d, addresses: [10.0.0.4]}]}\n"},
	{"fallback", "  web: {policy: weighted, fallback: spare, members: [{name: xa, check: c, addresses: [10.0.0.1]}]}\n  spare: {policy: weighted, members: [{name: b, weight: 3, addresses: [10.0.0.2]}, {name: c, addresses: [10.0.0.3]}]}\n"},
	{"failing open", "  web: {policy: weighted, members: [{name: xa, weight: 3, check: c, addresses: [10.0.0.1]}, {name: xb, check: c, addresses: [10.0.0.2]}]}\n"},
}

// TestForecastMatchesServing compares the shares of a forecast with those of serving the same
// clients, within six standard deviations. The share of a client of weight w deviates by
// w·sqrt(p(1-p)/draws), at most w·sqrt(1/4/draws).
func TestForecastMatchesServing(t *testing.T) {
	const seed, networks, draws = 7, 60, 400
	for _, test := range everyPolicy {
		t.Run(test.behaviour, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			s := build(t, fmt.Sprintf(steered, roundTrips(t), test.pools))
			stir(t, s)
			list, all := randomClients(rnd, networks)
			f, err := plan.Compare(s, s, plan.FromList(list, s.Geo))
			if err != nil {
				t.Fatal(err)
			}
			served, deviation := serve(rnd, s, list, all, draws)
			compareShares(t, f, served, 6*deviation)
		})
	}
}

// compareShares compares the shares of a forecast, including no answer, with those served.
func compareShares(t *testing.T, f *plan.Forecast, served map[string]float64, tolerance float64) {
	t.Helper()
	forecast := map[string]float64{"": f.NoAnswer.After}
	for _, m := range f.Served() {
		forecast[m.Name] = m.Share.After
	}
	for name := range served {
		if _, known := forecast[name]; !known {
			t.Errorf("%q is answered, and not forecast", name)
		}
	}
	for name, share := range forecast {
		if math.Abs(share-served[name]) > tolerance {
			t.Errorf("%q is forecast %.4f of the traffic, and served %.4f; want them within %.4f", name, share, served[name], tolerance)
		}
	}
}

// serve decides draws times for every client. It returns the share of each member, and the
// maximum of its standard deviation.
func serve(rnd *rand.Rand, s *snapshot.Snapshot, list []plan.WeightedNetwork, all float64, draws int) (shares map[string]float64, deviation float64) {
	scratch, owners := s.Pools.Scratch(), owners(s)
	shares = make(map[string]float64)
	for _, c := range list {
		q := pools.Request{Family: pools.IPv6, Answers: 1, Client: c.Network.Addr()}
		if c.Network.Addr().Is4() {
			q.Family = pools.IPv4
		}
		for range draws {
			q.Draw = rnd.Uint64()
			s.Pools.Decide(q, scratch)
			owner := ""
			if len(scratch.Addrs) > 0 {
				owner = owners[scratch.Addrs[0].String()]
			}
			shares[owner] += c.Queries / all / float64(draws)
		}
		deviation += c.Queries / all * c.Queries / all / 4 / float64(draws)
	}
	return shares, math.Sqrt(deviation)
}

// owners returns the member of each address.
func owners(s *snapshot.Snapshot) map[string]string {
	found := make(map[string]string)
	for _, p := range s.Config.Pools {
		for _, m := range p.Members {
			for _, a := range m.Addresses {
				found[a.String()] = p.Name + "/" + m.Name
			}
		}
	}
	return found
}

func randomClients(rnd *rand.Rand, n int) (list []plan.WeightedNetwork, all float64) {
	for i := range n {
		text := fmt.Sprintf("%d.%d.%d.%d", 1+rnd.IntN(220), rnd.IntN(256), rnd.IntN(256), rnd.IntN(256))
		if i%6 == 0 {
			text = fmt.Sprintf("2a00:%x::%x", rnd.IntN(1<<16), rnd.IntN(1<<16))
		}
		a := netip.MustParseAddr(text)
		c := plan.WeightedNetwork{Network: netip.PrefixFrom(a, a.BitLen()), Queries: float64(1 + rnd.IntN(9))}
		list, all = append(list, c), all+c.Queries
	}
	return list, all
}

// stir sets members down, and sets response times and loads.
func stir(t *testing.T, s *snapshot.Snapshot) {
	t.Helper()
	var down []pools.Override
	for _, p := range s.Config.Pools {
		for _, m := range p.Members {
			if m.Check != "" {
				respond(t, s, p.Name, m.Name)
			}
			if m.Name[0] == 'x' {
				down = append(down, pools.Override{Pool: p.Name, Member: m.Name, Kind: pools.AssumedDown})
			}
		}
	}
	s.Pools.SetOverrides(down)
	loads := make([]pools.Load, len(s.Pools.LoadTargets()))
	for i := range loads {
		loads[i] = pools.Load{Load: 20, At: time.Unix(1, 0), Fresh: true}
	}
	s.Pools.SetLoads(loads)
}

// respond sets the response time of a member's probes: slow if its address ends in 30.
func respond(t *testing.T, s *snapshot.Snapshot, pool, member string) {
	t.Helper()
	turns, err := s.Pools.SimulateVerdict(pool, member, 0) // to unknown, which counts as up
	if err != nil {
		t.Fatal(err)
	}
	for i := range turns {
		turns[i].Response = 20 * time.Millisecond
		if turns[i].Target.Addr.String() == "10.0.0.30" {
			turns[i].Response = 90 * time.Millisecond
		}
	}
	s.Pools.Apply(turns)
}

// roundTrips writes a latency file that sends the clients of some countries past the nearest region.
func roundTrips(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "latency.csv")
	if err := os.WriteFile(file, []byte("client,region,rtt_ms,samples\nUS,eu,10,40\nUS,us,50,40\nCN,us,30,40\nCN,ap,90,40\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
