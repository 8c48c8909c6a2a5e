package zones

import (
	"testing"

	"meridian/config"
	"meridian/dnsname"
)

// A target in our own zones is rejected wherever it is written. A target below a delegation is allowed.
func TestTargetsInOwnZonesAreRejected(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"sub NS ns.outside.\nlb A 192.0.2.1\n*.w A 192.0.2.2\n")
	for _, name := range []dnsname.Name{
		"lb.example.com.", "a.w.example.com.", "none.example.com.", "lb.sub.example.com.", "lb.example.net.", "badexample.com.",
	} {
		w.cfg.Pools[0].Members = append(w.cfg.Pools[0].Members, config.Member{Name: "m", Target: config.Target(name), Pos: config.Pos{Line: 7, Column: 9}})
	}
	const want = `/etc/meridian.yaml:7:9: pools.web.members[0].target: target "lb.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
/etc/meridian.yaml:7:9: pools.web.members[1].target: target "a.w.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
/etc/meridian.yaml:7:9: pools.web.members[2].target: target "none.example.com." is in zone "example.com.", which this server answers itself; write addresses, or the pool that the name is bound to
`
	if got := w.faults(t); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
