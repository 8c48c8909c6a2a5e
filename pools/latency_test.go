package pools

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"meridian/health"
)

// measuredWorld has regions near and far from a client, and a third to measure.
const measuredWorld = `
region near 0 0
region far 0 90
region other 0 170
net 192.0.2.0/24 near
net 198.51.100.0/24 near
net 203.0.113.0/24 country:DE
`

func TestLatencyTakesQuickestEligibleRegion(t *testing.T) {
	const pool = "pool web latency\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\n  c region=other 192.0.2.3\n"
	for _, c := range []struct {
		behaviour, world, down string
		client                 string
		want                   string
		scope                  int // -1: any
	}{
		{
			behaviour: "without measurements the nearest",
			client:    "198.51.100.1", want: "192.0.2.1", scope: -1,
		},
		{
			behaviour: "the quickest, for its network alone",
			world:     "rtt 198.51.100.0/25 far 3\n",
			client:    "198.51.100.1", want: "192.0.2.2", scope: 25,
		},
		{
			behaviour: "outside that network, as before",
			world:     "rtt 198.51.100.0/25 far 3\n",
			client:    "198.51.100.129", want: "192.0.2.1", scope: 25,
		},
		{
			behaviour: "the next when the quickest is down",
			world:     "rtt 198.51.100.0/24 far 3\nrtt 198.51.100.0/24 near 500\nrtt 198.51.100.0/24 other 20\n",
			down:      "web/b",
			client:    "198.51.100.1", want: "192.0.2.3", scope: -1,
		},
		{
			behaviour: "one lucky sample moves no client: (1·3+9·210)/10 ms is more than 10",
			world:     "rtt 198.51.100.0/24 far 3 1\n",
			client:    "198.51.100.1", want: "192.0.2.1", scope: -1,
		},
		{
			behaviour: "of regions within the tolerance the nearer",
			world:     "rtt 198.51.100.0/24 far 30\nrtt 198.51.100.0/24 near 35\n",
			client:    "198.51.100.1", want: "192.0.2.1", scope: -1,
		},
		{
			behaviour: "beyond the tolerance the quicker",
			world:     "rtt 198.51.100.0/24 far 30\nrtt 198.51.100.0/24 near 36\n",
			client:    "198.51.100.1", want: "192.0.2.2", scope: -1,
		},
		{
			behaviour: "by country",
			world:     "rtt DE far 3\nrtt DE other 2\nrtt DE near 1000\n",
			client:    "203.0.113.5", want: "192.0.2.2", scope: -1,
		},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			tree := compile(t, world(t, measuredWorld+pool+c.world))
			setVerdicts(t, tree, health.Down, strings.Fields(c.down)...)
			q := ask(t, tree, "web", IPv4, c.client)
			expect(t, "answers", answers(tree, q), c.want)
			if c.scope >= 0 {
				expect(t, "scope", tree.Decide(q, tree.Scratch()).Scope, c.scope)
			}
		})
	}
}

func TestLatencyExplainsItsRoundTrips(t *testing.T) {
	tree := compile(t, world(t, measuredWorld+`
pool web latency
  a region=near 192.0.2.1
  b region=far 192.0.2.2
  c region=other 192.0.2.3
rtt 198.51.100.0/24 near 400 1
rtt 198.51.100.0/24 far 20.5 40
`))
	setVerdicts(t, tree, health.Down, "web/b")
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "198.51.100.1"), tree.Scratch())
	var got []string
	for _, s := range steps {
		got = append(got, s.Member+": "+s.Reason)
	}
	want := []string{
		"a: quickest region with an eligible member: 49.0 ms, of 400.0 ms measured for network 198.51.100.0/24 and 10.0 ms expected by distance, 1 sample; \"far\" is quicker and has none eligible",
		"b: down: its IPv4 address is down",
		"c: region \"other\" is slower: 388.1 ms, expected by distance; nothing is measured",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b := steps[1].RTT; b == nil || b.Ms != 20.5 || *b.MeasuredMs != 20.5 || b.Samples != 40 || b.By != "network 198.51.100.0/24" {
		t.Errorf("the far region's round trip: %+v", b)
	}
}

// A tree with other measurements decides like one that was compiled with that table.
func TestMeasureUsesNewTable(t *testing.T) {
	cfg := world(t, measuredWorld+"pool web latency\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\npool by-distance proximity\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\nrtt 198.51.100.0/24 far 3\n")
	tree := compile(t, cfg)
	setVerdicts(t, tree, health.Down, "by-distance/a")
	if err := os.WriteFile(cfg.Latency.File, []byte("192.0.2.0/24,far,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := tree.locator.ReadLatency()
	if err != nil {
		t.Fatal(err)
	}
	next, err := tree.Measure(table)
	if err != nil {
		t.Fatal(err)
	}
	fresh := compile(t, cfg)
	rnd := rand.New(rand.NewPCG(1, 2))
	clients := []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}
	for range rounds(500) {
		clients = append(clients, randomClient(rnd).String())
	}
	for _, client := range clients {
		q := ask(t, tree, "web", IPv4, client)
		if got, want := next.Decide(q, next.Scratch()), fresh.Decide(q, fresh.Scratch()); got != want || answers(next, q) != answers(fresh, q) {
			t.Fatalf("%s gets %s %+v, want %s %+v", client, answers(next, q), got, answers(fresh, q), want)
		}
	}
	expect(t, "what has not changed is shared", next.geoTables[1] == tree.geoTables[1], true)
	none, err := tree.Measure(nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "without round trips", answers(none, ask(t, none, "web", IPv4, "198.51.100.1")), "192.0.2.1")
}

// With alpha a round trip is an average of several measurements, and is shown as one.
func TestExplainShowsMovingAverages(t *testing.T) {
	cfg := world(t, measuredWorld+"pool web latency\n  a region=near 192.0.2.1\n  b region=far 192.0.2.2\nrtt 198.51.100.0/24 far 3\n")
	cfg.Latency.Alpha = 30
	tree := compile(t, cfg)
	_, steps := tree.Explain(ask(t, tree, "web", IPv4, "198.51.100.1"), tree.Scratch())
	expect(t, "reason", steps[1].Reason, "quickest region with an eligible member: 3.0 ms, a moving average for network 198.51.100.0/24")
	expect(t, "field", steps[1].RTT.Averaged && !steps[0].RTT.Averaged, true)
}
