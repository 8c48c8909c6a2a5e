package snapshot

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

func TestTargetsAreListedOnce(t *testing.T) {
	cfg := &config.Config{Pools: make([]config.Pool, 1)}
	for _, name := range []config.Target{"b.example.", "", "a.example.", "b.example."} {
		cfg.Pools[0].Members = append(cfg.Pools[0].Members, config.Member{Target: name})
	}
	if got := (&Snapshot{Config: cfg}).Targets(); !slices.Equal(got, []config.Target{"b.example.", "a.example."}) {
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
	after, err := before.Resolve(map[config.Target]pools.Resolved{"lb.example.net.": {}})
	if err != nil {
		t.Fatal(err)
	}
	if after.Pools == before.Pools || after.Geo != before.Geo {
		t.Error("want new pools and the same geo data")
	}
	name := dnsname.Name("www.example.com.").Wire()
	if a, b := before.Zones.Lookup(name, dns.TypeA), after.Zones.Lookup(name, dns.TypeA); a != b {
		t.Errorf("%+v before, %+v after", a, b)
	}
}

func TestTargetsPageExamplesBuild(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) != 3 {
		t.Fatalf("%d examples, want those of target, of ecs: region and of cname", len(examples))
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
