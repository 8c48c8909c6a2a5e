package plan_test

import (
	"math/rand/v2"
	"testing"

	"meridian/plan"
	"meridian/pools"
	"meridian/snapshot"
)

const lawful = near + `  api:
    policy: weighted
    members:
      - {name: u, region: us, weight: 1, addresses: [10.0.1.1]}
      - {name: e, region: eu, weight: 2, addresses: [10.0.1.2]}
      - {name: x, addresses: [10.0.1.3]}
  cdn:
    policy: failover
    fallback: api
    fail_open: never
    members:
      - {name: all, pool: web}
      - {name: spare, region: ap, addresses: [10.0.2.1]}
`

// overridden returns a copy of a snapshot under overrides at random.
func overridden(t *testing.T, s *snapshot.Snapshot, random *rand.Rand) *snapshot.Snapshot {
	t.Helper()
	tree, err := s.Pools.ResolveAs(s.Pools)
	if err != nil {
		t.Fatal(err)
	}
	targets := []pools.Override{{Region: "us"}, {Region: "eu"}, {Region: "ap"}, {Pool: "web"}, {Pool: "api", Member: "e"}, {Pool: "api", Member: "x"}, {Pool: "cdn", Member: "all"}}
	kinds := []pools.Kind{pools.Drained, pools.ForcedDown, pools.AssumedDown, pools.ReducedWeight, pools.ForcedUp}
	var set []pools.Override
	for range random.IntN(4) {
		o := targets[random.IntN(len(targets))]
		o.Kind, o.Percent = kinds[random.IntN(len(kinds))], float64(10*random.IntN(10))
		set = append(set, o)
	}
	tree.SetOverrides(set)
	next := *s
	next.Pools = tree
	return &next
}

// sumOf adds up a number of each element.
func sumOf[T any](all []T, of func(*T) float64) (sum float64) {
	for i := range all {
		sum += of(&all[i])
	}
	return sum
}

// TestLawsOfForecasts checks what every forecast obeys, between states at random:
//
//	the shares of the regions, and of the countries, are all traffic
//	what moves is the sum over routes, over countries and over pools
//	the way back moves the same, along the same routes
//	a detour moves no less
//	nothing moves from a state to itself, and what moves is affected
func TestLawsOfForecasts(t *testing.T) {
	s := serving(t, "", lawful, "www: {pool: web}", "api: {pool: api}", "cdn: {pool: cdn}")
	lines := []string{"198.51.100.0/24,7", "203.0.113.0/24,5", "192.0.2.0/24,3", "2001:db8::/48,2"}
	compare := func(before, after *snapshot.Snapshot) *plan.Forecast { return compareParts(t, before, after, lines...) }
	moving := 0
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		a, b, c := overridden(t, s, random), overridden(t, s, random), overridden(t, s, random)
		there, back := compare(a, b), compare(b, a)
		law := func(name string, got, want float64) {
			if !close(got, want) {
				t.Errorf("seed %d, %s: %v, want %v", seed, name, got, want)
			}
		}
		law("shares of regions before", sumOf(there.Regions, func(r *plan.Target) float64 { return r.Share.Before }), 1)
		law("shares of regions after", sumOf(there.Regions, func(r *plan.Target) float64 { return r.Share.After }), 1)
		law("shares of countries", sumOf(there.Countries, func(p *plan.Part) float64 { return p.Share }), 1)
		law("moved, by route", sumOf(there.Flows, func(f *plan.Flow) float64 { return f.Share }), there.Moved)
		law("moved, by country", sumOf(there.Countries, func(p *plan.Part) float64 { return p.Moved }), there.Moved)
		law("moved, by pool", sumOf(there.Pools, func(p *plan.Part) float64 { return p.Moved }), there.Moved)
		law("moved on the way back", back.Moved, there.Moved)
		routes := map[[2]string]float64{}
		for _, f := range there.Flows {
			routes[[2]string{f.From, f.To}] = f.Share
		}
		for _, f := range back.Flows {
			law("route "+f.To+" to "+f.From, f.Share, routes[[2]string{f.To, f.From}])
		}
		law("moved from a state to itself", compare(a, a).Moved, 0)
		if detour := compare(a, c).Moved + compare(c, b).Moved; detour < there.Moved-1e-9 {
			t.Errorf("seed %d: a detour moves %v, less than %v", seed, detour, there.Moved)
		}
		if there.Affected < there.Moved-1e-9 {
			t.Errorf("seed %d: %v affected, less than %v moved", seed, there.Affected, there.Moved)
		}
		if there.Moved > 0 {
			moving++
		}
	}
	if moving < 30 {
		t.Errorf("clients move in %d of 60 forecasts: too few", moving)
	}
}
