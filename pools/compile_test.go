package pools

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
)

// config.Load rejects all of these with a better message; a configuration that
// is made in another way must not crash Compile.
func TestCompileRejectsInvalidConfigurations(t *testing.T) {
	for _, c := range []struct{ behaviour, world, want string }{
		{"an unknown policy", "pool web nearest\n  a 192.0.2.1\n", `world: pools.web.policy: unknown policy "nearest"; proximity, geolocation, weighted, round-robin, failover, hash, fastest, latency, least-load or all`},
		{"an unknown pool", "pool web weighted\n  a pool=none\n", `world: pools.web.members[0].pool: unknown pool "none"; a pool of this file`},
		{"an unknown fallback", "pool web weighted fallback=none\n  a 192.0.2.1\n", `world: pools.web.fallback: unknown pool "none"; a pool of this file`},
		{"an unknown region", "pool web weighted\n  a region=mars 192.0.2.1\n", `world: pools.web.members[0].region: unknown region "mars"; a region of this file`},
		{"a member without addresses", "pool web weighted\n  a\n", "world: pools.web.members[0].addresses: 0 addresses; 1 to 65535"},
		{"a pool in itself", "pool web weighted\n  a pool=web\n", "world: pools.web: the pool contains itself through its members; remove the cycle"},
		{"a circle of pools", "pool web weighted\n  a pool=one\npool one weighted\n  b pool=two\n  z 192.0.2.1\npool two weighted\n  c pool=one\n", "world: pools.web: the pool contains itself through its members; remove the cycle"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			_, err := Compile(world(t, c.world), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCompileReportsAllErrors(t *testing.T) {
	cfg := world(t, "pool web nearest fallback=none\n  a pool=nowhere\n")
	cfg.Pools[0].Members[0].Pos = config.Pos{Line: 3, Column: 7}
	_, err := Compile(cfg, nil)
	faults, ok := err.(*multierror.Error)
	if !ok || len(faults.Errors) != 3 {
		t.Fatalf("got %v, want three faults", err)
	}
	expect(t, "the last", faults.Errors[2], `world:3:7: pools.web.members[0].pool: unknown pool "nowhere"; a pool of this file`)
}

func TestUnknownCheckIsAnError(t *testing.T) {
	cfg := world(t, "pool web weighted\n  a 192.0.2.1\n")
	cfg.Pools[0].Members[0].Check = "none"
	if _, err := Compile(cfg, nil); err == nil || !strings.Contains(err.Error(), `unknown check "none"`) {
		t.Errorf("got %v, want the unknown check", err)
	}
}

func TestPoolsOfTheSameRegionsShareATable(t *testing.T) {
	tree := compile(t, world(t, nearAndFar+`
pool one proximity
  a region=near 192.0.2.1
  b region=far 192.0.2.2
pool two proximity
  b region=far 192.0.2.2
  a region=near 192.0.2.1
  c 192.0.2.3
pool alone proximity
  a region=near 192.0.2.1
`))
	expect(t, "tables", len(tree.geoTables), 1)
	expect(t, "the pool of one region asks none", tree.pools[2].table, none)
}

func TestCompileWithoutPools(t *testing.T) {
	tree := compile(t, &config.Config{File: "world"})
	expect(t, "targets", len(tree.Targets()), 0)
	expect(t, "changes", len(tree.Apply(nil)), 0)
}
