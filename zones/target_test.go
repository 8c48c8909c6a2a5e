package zones

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/pools"
)

// A target in our own zones is rejected wherever it is written. A target below a delegation is allowed.
func TestTargetsInOwnZonesAreRejected(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"sub NS ns.outside.\nlb A 192.0.2.1\n*.w A 192.0.2.2\n")
	for _, name := range []dnsname.Name{
		"lb.example.com.", "a.w.example.com.", "none.example.com.", "lb.sub.example.com.", "lb.example.net.", "badexample.com.",
	} {
		w.cfg.Pools[0].Members = append(w.cfg.Pools[0].Members, config.Member{Name: "m", Target: name, Pos: config.Pos{Line: 7, Column: 9}})
	}
	const want = `/etc/meridian.yaml:7:9: pools.web.members[0].target: target "lb.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
/etc/meridian.yaml:7:9: pools.web.members[1].target: target "a.w.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
/etc/meridian.yaml:7:9: pools.web.members[2].target: target "none.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
`
	if got := w.faults(t); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTargetsAreListedOnce(t *testing.T) {
	w := newWorld()
	for _, name := range []dnsname.Name{"b.example.", "", "a.example.", "b.example."} {
		w.cfg.Pools[0].Members = append(w.cfg.Pools[0].Members, config.Member{Target: name})
	}
	if got := (&Snapshot{Config: w.cfg}).Targets(); !slices.Equal(got, []dnsname.Name{"b.example.", "a.example."}) {
		t.Errorf("targets %q", got)
	}
}

// A snapshot with other addresses differs only in its pools.
func TestResolveKeepsTheZones(t *testing.T) {
	cfg, _, err := config.Parse("f", []byte(`
pools: {web: {policy: weighted, members: [{name: a, target: lb.example.net}]}}
zones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: web}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	after, err := before.Resolve(map[dnsname.Name]pools.Resolved{"lb.example.net.": {}})
	if err != nil {
		t.Fatal(err)
	}
	if after.Pools == before.Pools || after.Geo != before.Geo {
		t.Error("want new pools and the same geo data")
	}
	name := wire("www.example.com")
	if a, b := before.Lookup(name, dns.TypeA), after.Lookup(name, dns.TypeA); a != b {
		t.Errorf("%+v before, %+v after", a, b)
	}
}

func TestTargetsPageExamplesBuild(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) != 2 {
		t.Fatalf("%d examples, want that of target and that of cname", len(examples))
	}
	for _, example := range examples {
		cfg, warnings, err := config.Parse("targets.md", example[1])
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		s, warnings, err := Build(cfg)
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		s.Close()
	}
}
