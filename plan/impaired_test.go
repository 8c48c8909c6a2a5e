package plan_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"meridian/plan"
	"meridian/pools"
)

// down lists all regions of pool near.
var down = []pools.Override{
	{Region: "us", Kind: pools.AssumedDown}, {Region: "eu", Kind: pools.AssumedDown}, {Region: "ap", Kind: pools.AssumedDown},
}

func TestTotalOutageAffectsAllTraffic(t *testing.T) {
	const spare = "  spare:\n    policy: failover\n    members:\n      - {name: s, addresses: [10.0.0.9]}\n"
	with := func(key string) string {
		return strings.Replace(near, "policy: proximity", "policy: proximity\n    "+key, 1)
	}
	tests := []struct {
		behaviour, pools string
		moved            float64
		impaired         []plan.Impairment
		told             string
	}{
		{
			"fails open", near, 0,
			[]plan.Impairment{{Pool: "web", How: "fail_open", Share: plan.Change{After: 1}}},
			"100.0 % of the traffic is answered by pools that fail open: web\n100.0 % of the traffic is affected; 0 % moves: 1 name",
		},
		{
			"nobody answers", with("fail_open: never"), 1,
			[]plan.Impairment{{Pool: "web", How: "no_answer", Share: plan.Change{After: 1}}},
			"100.0 % of the traffic gets no answer: web\n100.0 % of the traffic moves: 1 name",
		},
		{
			"the fallback answers", with("fallback: spare") + spare, 1,
			[]plan.Impairment{{Pool: "web", How: "fallback", Share: plan.Change{After: 1}}},
			"100.0 % of the traffic is answered by fallbacks: web\n100.0 % of the traffic moves: 1 name",
		},
		{
			"the fallback gives the same addresses", with("fallback: again") + strings.Replace(near, "web:", "again:", 1), 0,
			[]plan.Impairment{{Pool: "web", How: "fallback", Share: plan.Change{After: 1}}},
			"100.0 % of the traffic is affected; 0 % moves",
		},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			before, after := serving(t, "", test.pools), serving(t, "", test.pools)
			overrides := down
			if strings.Contains(test.pools, "again:") {
				overrides = []pools.Override{{Pool: "web", Kind: pools.AssumedDown}}
			}
			after.Pools.SetOverrides(overrides)
			f := compareParts(t, before, after, "198.51.100.0/24,3", "203.0.113.0/24,1")
			if !close(f.Affected, 1) || !close(f.Moved, test.moved) {
				t.Errorf("%v is affected and %v moves; want 1 and %v", f.Affected, f.Moved, test.moved)
			}
			if !slices.Equal(f.Impaired, test.impaired) {
				t.Errorf("impaired is %+v; want %+v", f.Impaired, test.impaired)
			}
			expectReported(t, f, test.told)
		})
	}
}

// expectReported checks the lines of the text, the sentences of the page, and the kinds in the
// JSON.
func expectReported(t *testing.T, f *plan.Forecast, lines string) {
	t.Helper()
	var text, page strings.Builder
	if err := f.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := f.Page(&page, "outage", nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), lines) {
		t.Errorf("no %q in\n%s", lines, &text)
	}
	for _, trouble := range f.Troubles() {
		if !strings.HasPrefix(text.String(), f.Troubles()[0]) || !strings.Contains(page.String(), trouble) {
			t.Errorf("%q is not told first, or not in the page:\n%s", trouble, &text)
		}
	}
	data, err := json.Marshal(f)
	if err != nil || !strings.Contains(string(data), `"impaired":[{"pool":"web","how":"`+f.Impaired[0].How+`","share":{"before":0,"after":1}}]`) {
		t.Errorf("error %v, JSON %s", err, data)
	}
}

// TestEarlierImpairmentIsNotAffected checks that an earlier impairment is reported, but does
// not count as affected.
func TestEarlierImpairmentIsNotAffected(t *testing.T) {
	s := serving(t, "", near)
	s.Pools.SetOverrides(down)
	f := compareParts(t, s, s, "198.51.100.0/24")
	if f.Affected != 0 || f.FailOpen != (plan.Change{Before: 1, After: 1}) {
		t.Errorf("%v is affected, %+v fails open; want 0, and all on both sides", f.Affected, f.FailOpen)
	}
	var text strings.Builder
	if err := f.Text(&text); err != nil || !strings.Contains(text.String(), "pools that fail open (before: 100.0 %): web\n0 % of the traffic moves") {
		t.Errorf("error %v, text\n%s", err, &text)
	}
}

// TestNoAnswerOnBothSidesIsNotAffected has a pool in which some clients match no member,
// and get no answer on either side.
func TestNoAnswerOnBothSidesIsNotAffected(t *testing.T) {
	const geo = "  web:\n    policy: geolocation\n    default: nodata\n    members:\n      - {name: a, addresses: [10.0.0.1], match: {country: [US, IE]}}\n      - {name: b, addresses: [10.0.0.2], match: {continent: EU}}\n"
	before, after := serving(t, "", geo), serving(t, "", geo)
	after.Pools.SetOverrides([]pools.Override{{Pool: "web", Member: "a", Kind: pools.AssumedDown}})
	f := compareParts(t, before, after, "198.51.100.0/24,1", "203.0.113.0/24,1", "192.0.2.0/24,2")
	if !close(f.Affected, 0.5) || !close(f.NoAnswer.Before, 0.5) || !close(f.NoAnswer.After, 0.75) {
		t.Errorf("%v is affected, %+v not answered; want 0.5, and 0.5 and 0.75", f.Affected, f.NoAnswer)
	}
}
