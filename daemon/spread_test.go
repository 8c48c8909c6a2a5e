package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/pools"
	"meridian/server/answer"
	"meridian/server/answer/answertest"
)

// A running server that loses a region spreads its clients by capacity, also over reloads, logs
// it, and returns them after recovery.
func TestLostRegionIsSpread(t *testing.T) {
	t.Parallel()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"near": 60, "mid": 30, "far": 100}`)
	}))
	defer source.Close()
	text := strings.ReplaceAll(answertest.Spread, "URL", source.URL)
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
		status, err := r.Status(control.Selector{})
		if err != nil {
			t.Fatal(err)
		}
		return status.Pools[0].LostRegions
	}
	if got := served(11); got["a"] != 256 {
		t.Fatalf("at first %v", got)
	}
	settle(t, "when the loads are known", func() (known [2]float64) { // a slow machine may need several reports
		status, err := r.Status(control.Selector{})
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
	if _, err := r.Undo(control.Selector{Region: "near"}, control.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := served(11); got["a"] != 256 || len(told()) != 0 {
		t.Errorf("when the region is back %v, %v", got, told())
	}
}
