package daemon

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/control/state"
	"meridian/health"
	"meridian/pools"
)

var keptAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func someMemory() *savedState {
	return &savedState{
		Verdicts: []health.SavedTarget{{
			Check: "web", Fingerprint: strings.Repeat("ab", 32), Address: netip.MustParseAddr("192.0.2.1"),
			At: keptAt, Verdict: "down", Since: keptAt, LastResultAt: keptAt, Reason: "status 500", Last: "failed", Streak: 3, StreakSince: keptAt,
		}},
		Ejections: []pools.SavedEjection{
			{Pool: "web", Member: "a", Down: [2]bool{true, false}, At: keptAt, Counted: true, Reason: "status 500"},
			{Pool: "web", Member: "b", Deferred: [2]bool{true, true}, Since: keptAt},
		},
		Loads: pools.LoadMemory{
			Shedding: []pools.ShedMemory{{Pool: "web", Region: "east", Kept: 0.5, Within: 1, At: keptAt, ShareMemory: pools.ShareMemory{Share: 0.5, Traffic: 0.6, Since: keptAt, Demand: 160}}},
			Balanced: []pools.BalanceMemory{{Pool: "least", Member: "a", At: keptAt, ShareMemory: pools.ShareMemory{Share: 0.5, Traffic: 0.5, Since: keptAt, Demand: 160}}},
		},
		Conditions: control.SavedConditions{
			States:   []control.SavedProblem{{Subject: "web/a", Check: "web", Address: netip.MustParseAddr("192.0.2.1")}},
			Modes:    []control.SavedMode{{Pool: "web", Family: "IPv4", Mode: "fail-open"}},
			Lost:     []control.SavedRegion{{Pool: "web", Region: "east", Family: "IPv4"}},
			Deferred: []control.SavedDeferral{{Pool: "web", Member: "b", Since: keptAt, Reason: "status 500"}},
			Pools:    []pools.SavedSince{{Pool: "web", Mode: [2]string{"fail-open", "normal"}, ModeSince: [2]time.Time{keptAt, keptAt}, LiveSince: [2]time.Time{keptAt, keptAt}}},
		},
		Filters: []control.Filter{{Name: "flood", Types: []string{"ANY"}, Names: []string{"*.example.com."}, Source: []string{"192.0.2.0/24"}, Action: "drop", Reason: "why", Since: keptAt, Until: keptAt.Add(time.Hour)}},
		Overrides: []control.Override{
			{Target: control.Selector{Pool: "web", Member: "a"}, Kind: pools.Drained.String(), Reason: `"why" é`, Since: keptAt, Until: keptAt.Add(time.Hour)},
			{Target: control.Selector{Region: "east"}, Kind: pools.Drained.String(), Since: keptAt, Until: keptAt.Add(time.Hour), Owner: "maintenance night"},
			{Target: control.Selector{Region: "east"}, Kind: pools.Drained.String(), Since: keptAt, At: keptAt.Add(time.Hour), Force: true, OverrideGuardrail: "agreed", Error: "why"},
			{Target: control.Selector{Region: "east"}, Kind: pools.ForcedDown.String(), Since: keptAt, Replaced: &control.Replaced{Kind: pools.Drained.String(), Reason: "power", Since: keptAt}},
		},
	}
}

// contentOf returns m as the content of a state file.
func contentOf(t testing.TB, m *savedState) []byte {
	t.Helper()
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// saveState writes m to a new state directory and returns its path.
func saveState(t testing.TB, m *savedState) (path string) {
	t.Helper()
	dir := state.NewDir(t.TempDir())
	defer dir.Unlock()
	if err := dir.Write(contentOf(t, m)); err != nil {
		t.Fatal(err)
	}
	return dir.Path()
}

func TestSavedStateRoundTrip(t *testing.T) {
	want := someMemory()
	got, err := decodeState(contentOf(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestSavedStateErrors(t *testing.T) {
	bad := someMemory()
	bad.Overrides[3].Kind = "painted"
	odd := someMemory()
	odd.Overrides[3].Replaced.Reason = "\x1b[2J"
	for name, c := range map[string]struct {
		state *savedState
		want  string
	}{
		"impossible replaced": {odd, `override 4: what it replaced: the reason "\x1b[2J" has characters that do not print; write it on one line with plain spaces`},
		"impossible override": {bad, `override 4: "painted" is not a kind of override; want "drained", "forced up", "forced down", "weight"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodeState(contentOf(t, c.state)); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// FuzzStateContent fuzzes what is inside a valid state file.
func FuzzStateContent(f *testing.F) {
	f.Add(contentOf(f, someMemory()))
	f.Add(contentOf(f, &savedState{}))
	f.Add([]byte(`{"overrides":[{"target":"region:","kind":"drained"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := decodeState(content)
		if err != nil {
			return
		}
		for _, o := range m.Overrides {
			if _, err := control.ParseKind(o.Kind); err != nil {
				t.Errorf("a valid list has an override that no tree can use: %v", err)
			}
			if again, err := control.ParseSelector(o.Target.String()); err != nil || again != o.Target {
				t.Errorf("target %+v is written %q and read as %+v, %v", o.Target, o.Target, again, err)
			}
		}
		twice, err := decodeState(contentOf(t, m))
		if err != nil || !reflect.DeepEqual(twice.Overrides, m.Overrides) || len(twice.Verdicts) != len(m.Verdicts) {
			t.Errorf("%+v came back as %+v, %v", m, twice, err)
		}
	})
}
