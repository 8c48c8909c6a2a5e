package top

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

// TestUsualTrafficIsNoFlood has traffic that is steady, that grows tenfold in minutes and falls again, and a flash crowd of
// four times the usual traffic: no alarm.
func TestUsualTrafficIsNoFlood(t *testing.T) {
	day := func(second int) float64 { return 20_000 * math.Pow(10, math.Sin(float64(second)/500*math.Pi)/2+0.5) }
	for name, rate := range map[string]func(int) float64{
		"steady": steady(50_000), "day": day, "flash crowd": between(250, 400, 80_000, 20_000), "little": steady(40),
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 1)
			m.run(500, flow{rate, usualQuery})
			m.expect()
		})
	}
}

func TestFloodsAreNamedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		flow    flow
		subject string
		command string
	}{
		"random names": {
			flow{between(300, 500, 30_000, 0), randomNames},
			"zone example.com.",
			"meridian filter add flood-1 --name '*.shop.example.com.' --type A --action truncate --for 1h",
		},
		"forged sources": {
			flow{between(300, 500, 30_000, 0), forged},
			"name big.example.com.",
			"meridian filter add flood-1 --name big.example.com. --type TXT --action truncate --for 1h",
		},
		"one source": {
			flow{between(300, 500, 30_000, 0), oneSource},
			"source 203.0.113.0/24",
			"meridian filter add flood-1 --name '*.example.com.' --type A --source 203.0.113.0/24 --action truncate --for 1h",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 2)
			m.run(600, flow{steady(20_000), usualQuery}, c.flow)
			m.expect(c.subject)
			if len(m.begun) != 1 {
				return
			}
			f, end := m.begun[0], m.ended[0]
			if delay := f.Since.Sub(m.began) - 300*time.Second; delay > 8*time.Second {
				t.Errorf("began %v after its first query", delay)
			}
			if end.Command != c.command {
				t.Errorf("command\n%s\nwant\n%s", end.Command, c.command)
			}
			if end.Queries < 200*30_000*0.8 || end.Queries > 200*30_000*1.2 || end.Peak < 25_000 || end.Usual > 2000 {
				t.Errorf("flood %+v", end)
			}
		})
	}
}

// TestPulsesAreOneFlood has a flood that pauses for less than the time after which it ends.
func TestPulsesAreOneFlood(t *testing.T) {
	pulses := func(second int) float64 {
		if second >= 300 && second < 600 && second%50 < 15 {
			return 40_000
		}
		return 0
	}
	m := newModel(t, 3)
	m.run(720, flow{steady(10_000), usualQuery}, flow{pulses, forged})
	m.expect("name big.example.com.")
}

// TestFloodNearItsLimitDoesNotFlap has a rate that wanders around the rate from which it is a flood.
func TestFloodNearItsLimitDoesNotFlap(t *testing.T) {
	wandering := func(second int) float64 {
		if second < 300 {
			return 0
		}
		return 1500 + 800*math.Sin(float64(second)/7)
	}
	m := newModel(t, 4)
	m.run(900, flow{steady(4000), usualQuery}, flow{wandering, oneSource})
	if len(m.begun) > 1 || len(m.ended) > 1 {
		t.Errorf("floods %q, want at most one", m.events)
	}
}

// TestFalseAlarmsAreRare counts the alarms of traffic of which a part comes in bursts.
func TestFalseAlarmsAreRare(t *testing.T) {
	m := newModel(t, 5)
	bursts := func(second int) float64 {
		return 30_000 * (1 + 0.8*math.Sin(float64(second)/11)) * (1 + float64(m.rng.IntN(100))/100)
	}
	m.run(700, flow{bursts, usualQuery}, flow{steady(500), oneSource})
	m.expect()
}

// TestLongFloodDoesNotBecomeUsual has a flood that lasts: it is one flood until it ends, and neither its rate nor that of
// the names that it asks for is usual afterwards.
func TestLongFloodDoesNotBecomeUsual(t *testing.T) {
	m := newModel(t, 10)
	flows := []flow{{steady(4000), usualQuery}, {between(300, 1200, 30_000, 0), oneSource}}
	m.run(300, flows...)
	before := maps.Clone(m.table.detector.usual)
	m.run(1000, flows...)
	m.expect("source 203.0.113.0/24")
	if f := m.ended[0]; f.Queries < 900*30_000*0.8 || f.Usual > 100 {
		t.Errorf("flood %+v", f)
	}
	for k, usual := range m.table.detector.usual {
		if usual > 2*max(before[k], m.table.detector.min/factor) {
			t.Errorf("%s %s: usual rate %.0f after the flood, %.0f before", k.kind, k, usual, before[k])
		}
	}
}

// TestHigherSettingEndsFlood has a name that stays popular: a higher setting ends its flood.
func TestHigherSettingEndsFlood(t *testing.T) {
	m := newModel(t, 11)
	flows := []flow{{steady(4000), usualQuery}, {between(100, 10_000, 3000, 0), forged}}
	m.run(400, flows...)
	if len(m.begun) != 1 || len(m.ended) != 0 {
		t.Fatalf("floods %q, want one that has not ended", m.events)
	}
	m.table.SetFlood(10_000)
	m.run(endAfter+rateSpan, flows...)
	m.expect("name big.example.com.")
}

func TestDetectorIsBounded(t *testing.T) {
	m := newModel(t, 6)
	m.table.SetFlood(1)
	m.run(90, flow{steady(100_000), randomNames})
	if d := &m.table.detector; len(d.usual) > tracked || len(d.over) > modelSamples*rateSpan*4 {
		t.Errorf("%d usual rates, %d over their limit", len(d.usual), len(d.over))
	}
}

func TestZeroReportsNoFlood(t *testing.T) {
	m := newModel(t, 7)
	flows := []flow{{steady(1000), usualQuery}, {between(100, 10_000, 50_000, 0), forged}}
	m.run(120, flows...)
	m.table.SetFlood(0)
	m.run(20, flows...)
	m.expect("name big.example.com.")
	m.table.SetFlood(100_000)
	m.run(20, flows...)
	m.expect("name big.example.com.")
	if strings.Join(m.events, "") == "" {
		t.Error("no event")
	}
}

// TestNoUsualRatesWithoutFloods has more names than usual rates are kept: with the setting 0,
// no rate is too low to be kept.
func TestNoUsualRatesWithoutFloods(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	table := New(0, began)
	for range minSamples {
		for i := range tracked + 100 {
			table.Add(&answer.Sample{Weight: 1, Name: wire(fmt.Sprintf("n%d.example.com.", i)), Source: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Type: dns.TypeA}, began)
		}
	}
	table.Tick(began.Add(2*time.Second), noRule)
	if n := len(table.detector.usual); n > 0 {
		t.Errorf("%d usual rates are kept, want none", n)
	}
}

// TestCommandIsOfTheGreatestRate has a flood with fewer queries than before.
func TestCommandIsOfTheGreatestRate(t *testing.T) {
	k := key{kind: ByName, name: string(wire("www.example.com."))}
	f := Flood{key: k, Kind: ByName, Peak: 100, Command: "of the peak"}
	seconds := []*second{{queries: []query{{weight: 90, name: k.name, qtype: dns.TypeA}}}}
	f.update(&rates{of: map[key]rate{k: {mean: 90}}}, seconds)
	if f.Command != "of the peak" {
		t.Errorf("command %q at a lower rate", f.Command)
	}
	f.update(&rates{of: map[key]rate{k: {mean: 110}}}, seconds)
	if !strings.Contains(f.Command, "--name www.example.com.") {
		t.Errorf("command %q at a greater rate", f.Command)
	}
}

// TestCommandOfLongNames has names with more labels than are compared.
func TestCommandOfLongNames(t *testing.T) {
	var m mixture
	for i := range 30 {
		m.add(&query{weight: 1, name: string(wire(fmt.Sprintf("n%d.%sexample.com.", i, strings.Repeat("a.", 110))))})
	}
	if got, want := m.nameCondition(), "'*."+strings.Repeat("a.", maxSuffix-2)+"example.com.'"; got != want {
		t.Errorf("condition %s, want %s", got, want)
	}
	if n := len(m.suffixes()); n != maxSuffix {
		t.Errorf("%d suffixes, want %d", n, maxSuffix)
	}
}

func BenchmarkTick(b *testing.B) {
	m := newModel(nil, 8)
	for i := range 100 {
		for range sampleRate {
			s := usualQuery(m.rng)
			s.Weight = 100
			m.table.Add(&s, m.began.Add(time.Duration(i)*time.Second))
		}
	}
	m.table.Tick(m.began.Add(100*time.Second), noRule)
	seconds := m.table.lastLocked(99, rateSpan)
	for b.Loop() {
		m.table.detector.step(seconds, 99, m.began, noRule)
	}
}

// TestFloodsAreNumberedAbove checks that the next flood has a number that no rule has.
func TestFloodsAreNumberedAbove(t *testing.T) {
	m := newModel(t, 9)
	m.lastRule = func() int { return 7 }
	m.run(120, flow{steady(1000), usualQuery}, flow{between(100, 120, 50_000, 0), randomNames})
	if len(m.begun) == 0 || m.begun[0].Number != 8 {
		t.Errorf("%+v", m.begun)
	}
	m.lastRule = noRule
	m.run(60, flow{steady(1000), usualQuery})
	m.run(20, flow{steady(1000), usualQuery}, flow{steady(50_000), oneSource})
	if last := m.begun[len(m.begun)-1].Number; last != 9 {
		t.Errorf("number %d after the rule is removed, want 9", last)
	}
}
