package top

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/server/answer"
	"meridian/server/limit"
)

// TestReportEqualsReference compares reports with counts of all queries of the last minute.
func TestReportEqualsReference(t *testing.T) {
	m := newModel(t, 9)
	var all []answer.Sample
	var at []time.Time
	for range 150 {
		for range m.rng.IntN(20) {
			s := usualQuery(m.rng)
			s.Weight = 1 + float64(m.rng.IntN(5))
			m.table.Add(&s, m.now)
			all, at = append(all, s), append(at, m.now)
		}
		r := m.table.Report(m.now, 5)
		names, total := map[string]float64{}, 0.0
		for i, s := range all {
			if m.now.Sub(at[i]) < 60*time.Second {
				names[s.Name.String()] += s.Weight
				total += s.Weight
			}
		}
		if math.Abs(r.Rate*r.Seconds-total) > 1e-6 {
			t.Fatalf("%g queries, want %g", r.Rate*r.Seconds, total)
		}
		for i, c := range r.Names {
			if math.Abs(c.Rate*r.Seconds-names[c.Key]) > 1e-6 || i > 0 && c.Rate > r.Names[i-1].Rate {
				t.Fatalf("name %d is %+v, want %g queries", i, c, names[c.Key])
			}
		}
		m.now = m.now.Add(time.Second)
	}
}

func TestSamplesAreAsManyAtAnyRate(t *testing.T) {
	now := time.Now()
	table := New(0, now)
	for _, rate := range []float64{1, 400, 100_000, 1_000_000} {
		now = now.Add(3 * time.Second)
		table.Add(&answer.Sample{Weight: rate}, now)
		if got, want := table.Every(now), uint32(max(1, math.Ceil(rate/sampleRate))); got != want {
			t.Errorf("at %g queries a second every %d, want %d", rate, got, want)
		}
	}
}

// TestCommandAppliesToTheFloodOnly makes the rule of the command, as the command does, and applies it to queries.
func TestCommandAppliesToTheFloodOnly(t *testing.T) {
	for name, c := range map[string]struct {
		make   func(*rand.Rand) answer.Sample
		action config.FilterAction
	}{
		"random names":   {randomNames, config.FilterTruncate},
		"forged sources": {forged, config.FilterTruncate},
		"one source":     {oneSource, config.FilterTruncate},
		"odd name": {edited(forged, func(s *answer.Sample) {
			s.Name = dnsname.Wire("\x06a'b,$(" + "\x03\"`\\" + "\x07example\x03com\x00")
		}), config.FilterTruncate},
		"one source over TCP":   {edited(oneSource, func(s *answer.Sample) { s.Transport = answer.TCP }), config.FilterDrop},
		"random names over TCP": {edited(randomNames, func(s *answer.Sample) { s.Transport = answer.TCP }), config.FilterRefuse},
	} {
		t.Run(name, func(t *testing.T) { checkCommand(t, c.make, c.action) })
	}
}

// edited returns queries that differ from others by edit.
func edited(make func(*rand.Rand) answer.Sample, edit func(*answer.Sample)) func(*rand.Rand) answer.Sample {
	return func(rng *rand.Rand) answer.Sample {
		s := make(rng)
		edit(&s)
		return s
	}
}

// checkCommand floods a table with one kind of queries.
func checkCommand(t *testing.T, flood func(*rand.Rand) answer.Sample, action config.FilterAction) {
	m := newModel(t, 10)
	m.run(120, flow{steady(10_000), usualQuery}, flow{between(100, 150, 50_000, 0), flood})
	if len(m.begun) != 1 || m.begun[0].Command == "" {
		t.Fatalf("floods %q", m.events)
	}
	command := m.begun[0].Command
	rule := parseCommand(t, command)
	if rule.Action != action {
		t.Errorf("%s, want %s", command, action)
	}
	filter := limit.NewFilter([]config.FilterRule{rule}, nil)
	matched, others := 0, 0
	for range 1000 {
		s, usual := flood(m.rng), usualQuery(m.rng)
		if filter.Match(s.Name, s.Type, s.Source) == 0 {
			matched++
		}
		if filter.Match(usual.Name, usual.Type, usual.Source) == 0 {
			others++
		}
	}
	if matched < 950 || others > 5 {
		t.Errorf("%s matches %d of 1000 queries of the flood, and %d of 1000 others", command, matched, others)
	}
}

// parseCommand returns the rule of a command.
func parseCommand(t *testing.T, command string) config.FilterRule {
	t.Helper()
	words := strings.Fields(command) // no word has a space, see shellName
	if !slices.Equal(words[:3], []string{"meridian", "filter", "add"}) {
		t.Fatal(command)
	}
	rule := config.FilterRule{Name: words[3]}
	for i := 4; i+1 < len(words); i += 2 {
		value := strings.Trim(words[i+1], "'")
		var err error
		switch words[i] {
		case "--name":
			var n dnsname.Name
			n, err = dnsname.Parse(value)
			rule.Names = append(rule.Names, n)
		case "--type":
			var code uint16
			code, err = config.ParseType(value)
			rule.Types = append(rule.Types, code)
		case "--source":
			var network netip.Prefix
			network, err = netip.ParsePrefix(value)
			rule.Source = append(rule.Source, network)
		case "--action":
			rule.Action = config.FilterAction(value)
		case "--for":
			_, err = time.ParseDuration(value)
		default:
			t.Fatalf("%s: unknown flag %s", command, words[i])
		}
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	if err := rule.Validate(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return rule
}

// FuzzShellName checks that any name is one word of a shell that stands for the name.
func FuzzShellName(f *testing.F) {
	for _, name := range []string{"www.example.com.", `\$\(id\).example.`, `a\'b.`, `\042.x.`, `\000\255.`} {
		f.Add([]byte(wire(name)))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		text, end, err := dns.UnpackDomainName(name, 0)
		if err != nil || end != len(name) || len(name) > 255 || text == "." {
			return
		}
		w := dnsname.Wire(name).Folded()
		word := shellName(string(w), "")
		plain := strings.Trim(word, "'")
		if strings.ContainsAny(plain, "'\"`$&|;<>()*? ,\n") || strings.Contains(plain, `\`) && plain == word {
			t.Fatalf("%q is not one plain word", word)
		}
		parsed, err := dnsname.Parse(plain)
		if err != nil || !slices.Equal(parsed.Wire(), w) {
			t.Fatalf("%q parses as %v, %v; want %v", word, fmt.Sprint(parsed), err, w)
		}
	})
}
