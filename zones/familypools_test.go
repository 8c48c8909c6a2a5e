package zones

import (
	"strings"
	"testing"

	"meridian/config"
)

// TestPoolsForAAndAAAAThatDoNotFit covers pools that may answer a CNAME, have no address of their family, and the target of
// an HTTPS record with hints that are addresses of one pool.
func TestPoolsForAAndAAAAThatDoNotFit(t *testing.T) {
	const text = `
pools:
  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}
  six: {policy: all, members: [{name: a, addresses: ["2001:db8::1"]}]}
  out: {policy: failover, members: [{name: a, cname: example.net}]}
views: {v: {match: {network: [10.0.0.0/8]}}}
zones:
  example.com:
    nameservers: {ns.example.net: []}
    contact: h@example.com
    names: {www: {pool: NAME}, alias: {pool: web, https: {target: TARGET}}, web: {pool: web}}
`
	for _, c := range []struct{ pool, target, want string }{
		{"{A: web, AAAA: six}", "web.example.com", ""},
		{"{A: web, AAAA: out}", "web.example.com", `zones.example.com.names.www: pool "out", for AAAA only, may answer a CNAME; bind the name to one pool: a CNAME is the answer for all types`},
		{"{A: out, AAAA: six}", "web.example.com", `zones.example.com.names.www: pool "out", for A only, may answer a CNAME`},
		{"web, views: {v: {pool: {A: web, AAAA: out}}}", "web.example.com", `pool "out", for AAAA only, may answer a CNAME`},
		{"{A: six, AAAA: web}", "web.example.com", `pool "six" has no IPv4 address: A of the name has no data`},
		{"{A: web, AAAA: web}", "web.example.com", `pool "web" has no IPv6 address: AAAA of the name has no data`},
		{"{A: web, AAAA: six}", "www.example.com", `"www.example.com." is not bound to pool "web" for A and AAAA`},
	} {
		cfg, _, err := config.Parse("meridian.yaml", []byte(strings.NewReplacer("NAME", c.pool, "TARGET", c.target).Replace(text)))
		if err != nil {
			t.Fatal(err)
		}
		_, report := Compile(cfg)
		warnings, err := report.Join()
		said := ""
		for _, w := range warnings {
			said += w.Error() + "\n"
		}
		if err != nil {
			said += err.Error()
		}
		if (said != "") != (c.want != "") || !strings.Contains(said, c.want) {
			t.Errorf("pool %s, target %s: got %q, want %q", c.pool, c.target, said, c.want)
		}
	}
}

// TestUnknownFamilyPoolIsReportedOnce has names with a pool that does not exist, for one type or the other.
func TestUnknownFamilyPoolIsReportedOnce(t *testing.T) {
	for typ, spoil := range map[string]func(*config.BalancedName){
		"A": func(b *config.BalancedName) { b.Pool = "wob" }, "AAAA": func(b *config.BalancedName) { b.AAAA.Pool = "wob" },
	} {
		cfg, _, err := config.Parse("meridian.yaml", []byte(`
pools:
  web: {policy: all, members: [{name: a, addresses: [192.0.2.1]}]}
  six: {policy: all, members: [{name: a, addresses: ["2001:db8::1"]}]}
zones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, names: {www: {pool: {A: web, AAAA: six}}}}}
`))
		if err != nil {
			t.Fatal(err)
		}
		spoil(&cfg.Zones[0].Names[0])
		_, report := Compile(cfg)
		if _, err := report.Join(); err == nil || strings.Count(err.Error(), `no pool "wob"`) != 1 {
			t.Errorf("%s: %v, want one error of the pool", typ, err)
		}
	}
}
