package control

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control/top"
)

// floodWorld asks the server in fake time, and collects samples as a server does.
type floodWorld struct {
	*world
	t    *testing.T
	next int // of random names
}

// run asks for a name with a usual rate, and for random names with another one.
func (w *floodWorld) run(seconds, usual, random int) {
	w.t.Helper()
	ask := func(name string) {
		query, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
		if err != nil {
			w.t.Fatal(err)
		}
		w.answer(w.t, query, fmt.Sprintf("198.51.%d.1", w.next%100))
	}
	for range seconds * 5 {
		for range usual / 5 {
			ask("www.example.com.")
		}
		for range random / 5 {
			w.next++
			ask(fmt.Sprintf("x%d.www.example.com.", w.next))
		}
		w.CollectSamples()
		time.Sleep(drainInterval)
	}
}

// floodsOf returns the events of floods.
func (w *world) floodEvents() (lines []string) {
	for _, e := range w.Events().Save() {
		if e.Kind == "flood" {
			lines = append(lines, fmt.Sprintf("%s %s: %s", e.Severity, e.Subject, e.Fields["command"]))
		}
	}
	return lines
}

// TestFloodIsReportedFromQueries floods a server with random names, which is reported at its begin and end.
func TestFloodIsReportedFromQueries(t *testing.T) {
	text := strings.Replace(observedZones, `"127.0.0.1:0"]}`, `"127.0.0.1:0"], top: {flood: 50}}`, 1)
	inWorld(t, "2026-01-10T01:00:00Z", text, nil, func(in *world) {
		w := &floodWorld{world: in, t: t}
		w.CollectSamples()
		w.run(65, 20, 0)
		w.run(15, 20, 150)
		const command = `meridian filter add flood-1 --name '*.www.example.com.' --type A --action truncate --for 1h`
		s, err := w.Status(Selector{})
		if err != nil || len(s.Floods) != 1 || s.Floods[0].Subject() != "zone example.com." || s.Floods[0].Command != command {
			t.Fatalf("floods %+v, %v", s.Floods, err)
		}
		r, err := w.Top(1)
		if err != nil || len(r.Names) != 1 || r.Names[0].Key != "www.example.com." || r.Zones[0].Key != "example.com." || r.Zones[0].Random < 30 {
			t.Errorf("report %+v, %v", r, err)
		}
		if m, ok := w.Measure(); !ok || m.Floods[top.ByZone] != (FloodCounts{Present: 1, Begun: 1}) {
			t.Errorf("measured %+v", m.Floods)
		}
		w.run(70, 20, 0)
		want := "warning zone example.com.: " + command + "\ninfo zone example.com.: " + command
		if got := strings.Join(w.floodEvents(), "\n"); got != want {
			t.Errorf("events\n%s\nwant\n%s", got, want)
		}
	})
}

// TestFloodEndsWhenSamplingIsTurnedOff turns it off during a flood: sinks of alerts must not wait for its end.
func TestFloodEndsWhenSamplingIsTurnedOff(t *testing.T) {
	text := strings.Replace(observedZones, `"127.0.0.1:0"]}`, `"127.0.0.1:0"], top: {flood: 50}}`, 1)
	inWorld(t, "2026-01-10T01:00:00Z", text, nil, func(in *world) {
		w := &floodWorld{world: in, t: t}
		w.CollectSamples()
		w.run(65, 20, 0)
		w.run(10, 20, 150)
		w.load(t, built(t, strings.Replace(text, "flood: 50", "enabled: false", 1)))
		if got := w.floodEvents(); len(got) != 2 || !strings.HasPrefix(got[1], "info ") || len(w.Floods()) > 0 {
			t.Errorf("events %q", got)
		}
		if _, err := w.Top(1); err == nil || !strings.Contains(err.Error(), "not sampled") {
			t.Errorf("top: %v", err)
		}
		if next := w.CollectSamples(); next != time.Second {
			t.Errorf("next %v", next)
		}
	})
}

func TestSamplingFollowsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q topQueries
		q.use(&config.Top{Enabled: true, Flood: 10}, time.Now())
		first := q.table.Load()
		if q.use(&config.Top{Enabled: true, Flood: 20}, time.Now()); q.table.Load() != first || first == nil {
			t.Error("another setting made another table")
		}
		if q.use(&config.Top{}, time.Now()); q.table.Load() != nil {
			t.Error("the table remains while it is off")
		}
	})
}

func TestRatesHaveTwoDigits(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.4: "0", 7.3: "7", 123: "120", 5678: "5700", 123456: "120000"} {
		if got := roundText(n); got != want {
			t.Errorf("%g is %s, want %s", n, got, want)
		}
	}
}

// TestFloodsGetNumbersOfNoRule has a rule of the configuration and one that was added with names of floods, as after a
// restart: the command of the next flood replaces neither.
func TestFloodsGetNumbersOfNoRule(t *testing.T) {
	text := strings.Replace(observedZones, `"127.0.0.1:0"]}`, `"127.0.0.1:0"], top: {flood: 50}, filter: [{name: flood-7, types: [ANY], action: drop}, {name: flood-x, types: [ANY], action: drop}]}`, 1)
	inWorld(t, "2026-01-10T01:00:00Z", text, nil, func(in *world) {
		w := &floodWorld{world: in, t: t}
		if _, err := w.AddFilter(Filter{Name: "flood-3", Types: []string{"ANY"}, Action: "drop"}, time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		w.CollectSamples()
		w.run(65, 20, 0)
		w.run(15, 20, 150)
		if all := w.Floods(); len(all) != 1 || !strings.HasPrefix(all[0].Command, "meridian filter add flood-8 ") {
			t.Errorf("floods %+v", all)
		}
	})
}
