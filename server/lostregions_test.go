package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/pools"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

const spread = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
geo: {networks: {11.0.0.0/8: {region: near}, 12.0.0.0/8: {region: mid}}}
loads:
  near: {type: json, url: "URL/", load: near, interval: 100ms, stale: 10s}
  mid: {type: json, url: "URL/", load: mid, interval: 100ms, stale: 10s}
  far: {type: json, url: "URL/", load: far, interval: 100ms, stale: 10s}
regions:
  near: {location: [39, -77], load: near, capacity: 200}
  mid: {location: [45, -70], load: mid, capacity: 100}
  far: {location: [60, 10], load: far, capacity: 1000}
pools:
  web:
    policy: proximity
    shed: {low: 70%, high: 90%}
    members:
      - {name: a, region: near, addresses: [127.0.0.81]}
      - {name: b, region: mid, addresses: [127.0.0.82]}
      - {name: c, region: far, addresses: [127.0.0.83]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// A running server that loses a region spreads its clients by capacity, also over reloads, logs
// it, and returns them after recovery.
func TestLostRegionIsSpread(t *testing.T) {
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"near": 80, "mid": 30, "far": 100}`)
	}))
	defer source.Close()
	text := strings.ReplaceAll(spread, "URL", source.URL)
	r := start(t, text)
	served := func(octet int) map[string]int {
		got := map[string]int{}
		for i := range 256 {
			answer := r.Explain(answer.ExplainQuery{Name: "www.example.com.", Type: dns.TypeA, Client: netip.MustParsePrefix(fmt.Sprintf("%d.0.%d.1/32", octet, i))})
			for _, step := range answer.Steps {
				if step.Chosen {
					got[step.Member]++
				}
			}
		}
		return got
	}
	told := func() []pools.LostRegion {
		status, err := r.Status(Selector{})
		if err != nil {
			t.Fatal(err)
		}
		return status.Pools[0].LostRegions
	}
	if got := served(11); got["a"] != 256 {
		t.Fatalf("at first %v", got)
	}
	settle(t, "when the loads are known", func() (known [2]float64) { // a slow machine may need several reports
		status, err := r.Status(Selector{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range status.Pools[0].Members {
			if m.Load.Fresh {
				known[0]++
			}
		}
		return known
	}, [2]float64{3})
	r.mustOverride(t, "region:near", pools.Drained, 0)
	lost := served(11)
	if lost["b"] < 8 || lost["b"] > 45 || lost["c"] != 256-lost["b"] {
		t.Errorf("of a lost region's 256 clients %v, want an eleventh of them at b and the others at c", lost)
	}
	if got := served(12); got["b"] != 256 {
		t.Errorf("clients of another region %v", got)
	}
	if got := fmt.Sprint(told()); !strings.HasPrefix(got, "[{web near IPv4 [{mid 0.0909") {
		t.Errorf("status %s", got)
	}
	r.reload(text + "# another\n")
	if got := served(11); fmt.Sprint(got) != fmt.Sprint(lost) {
		t.Errorf("after a reload %v, before %v", got, lost)
	}
	if _, err := r.Undo(Selector{Region: "near"}); err != nil {
		t.Fatal(err)
	}
	if got := served(11); got["a"] != 256 || len(told()) != 0 {
		t.Errorf("when the region is back %v, %v", got, told())
	}
}

// A region lost before, during or after a reload is logged once, and so is its recovery.
func TestLostRegionIsLoggedOnce(t *testing.T) {
	tree := func() (tree *pools.Tree) {
		snapshot := answertest.Build(t, strings.ReplaceAll(spread, "URL", "http://127.0.0.1:1"), "")
		snapshot.Pools.SetLoads(loadsOf(snapshot, 80, 30, 100))
		return snapshot.Pools
	}
	lost := []pools.Override{{Region: "near", Kind: pools.Drained}}
	var out bytes.Buffer
	l := lostRegionLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	told := func(when, want string) {
		t.Helper()
		if got := out.String(); !strings.Contains(got, want) || (got == "") != (want == "") || strings.Count(got, "\n") > 1 {
			t.Errorf("%s, got %q, want %q", when, got, want)
		}
		out.Reset()
	}
	first, second, third := tree(), tree(), tree()
	l.serve(first)
	first.SetOverrides(lost)
	l.report(first)
	told("when it is lost", `level=WARN msg="region lost, its clients are spread over the other regions" pool=web region=near family=IPv4 shares="mid=9% far=91%"`)
	l.report(first)
	second.CarryOver(first)
	second.SetOverrides(lost)
	l.report(second)
	told("of a tree that does not serve yet", "")
	l.serve(second)
	told("when that serves", "")
	second.SetOverrides(nil)
	l.report(second)
	told("when it is back", `level=INFO msg="region recovered, spillover ended" pool=web region=near family=IPv4`)
	second.SetOverrides(lost)
	l.report(second)
	told("when it is lost again", "level=WARN")
	l.serve(third)
	told("when a reload knows no loss", "level=INFO")
}

// loadsOf returns fresh reports of the load targets, in the order of their sources.
func loadsOf(snapshot *snapshot.Snapshot, loads ...float64) []pools.Load {
	var all []pools.Load
	for i := range snapshot.Pools.LoadTargets() {
		all = append(all, pools.Load{Load: loads[i], Fresh: true})
	}
	return all
}
