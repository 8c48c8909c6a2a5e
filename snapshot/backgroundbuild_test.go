package snapshot_test

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"meridian/snapshot"
)

// subsets is a configuration of pools with three sets of regions and one of matches: four tables.
const subsets = `
regions:
  a: {location: [1, 2]}
  b: {location: [40, 2]}
  c: {location: [1, 80]}
pools:
  ab: {policy: proximity, members: [{name: a, region: a, addresses: [192.0.2.1]}, {name: b, region: b, addresses: [192.0.2.2]}]}
  bc: {policy: proximity, members: [{name: b, region: b, addresses: [192.0.2.2]}, {name: c, region: c, addresses: [192.0.2.3]}]}
  ca: {policy: proximity, members: [{name: c, region: c, addresses: [192.0.2.3]}, {name: a, region: a, addresses: [192.0.2.1]}]}
  by: {policy: geolocation, members: [{name: de, match: {country: DE}, addresses: [192.0.2.4]}, {name: rest, match: default, addresses: [192.0.2.5]}]}
zones:
  example.com:
    nameservers: {ns1.example.com: [192.0.2.53]}
    contact: hostmaster@example.com
    names: {ab: {pool: ab}, bc: {pool: bc}, ca: {pool: ca}, by: {pool: by}}
`

// started counts the goroutines that f starts, without the collector's.
func started(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

func TestBuildInBackgroundStartsNoGoroutine(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	cfg := load(t, subsets, nil)
	build := func(b snapshot.Builder) func() {
		return func() {
			s, _, err := b(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
	if n := started(build(snapshot.BuildInBackground(nil, snapshot.Known{}))); n != 0 {
		t.Errorf("%d goroutines started, which run on threads that wait for nobody", n)
	}
	if n := started(build(snapshot.Build)); n == 0 {
		t.Error("four tables are made by nobody but the caller")
	}
}
