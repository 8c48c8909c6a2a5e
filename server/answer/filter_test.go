package answer

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/server/answer/answertest"
)

// filteredBy returns paths of a server with rules of the filter.
func filteredBy(t testing.TB, rules string) *paths {
	t.Helper()
	return newPaths(answertest.World(t, "nsid: test", "nsid: test, filter: ["+rules+"]"))
}

func TestFilterActions(t *testing.T) {
	const rule = "{name: r, source: [198.51.100.0/24], action: "
	www := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0NSID))
	notify, malformed := www.Copy(), www.Copy()
	notify.Opcode = dns.OpcodeNotify
	malformed.Question = append(malformed.Question, malformed.Question[0])
	for _, c := range []struct {
		name, action string
		query        *dns.Msg
		stream       bool
		want         string
	}{
		{"dropped", "drop", www, false, "none"},
		{"dropped over TCP", "drop", www, true, "none"},
		{"refused", "refuse", www, false, "REFUSED false 0 EDE 18"},
		{"refused over TCP", "refuse", www, true, "REFUSED false 0 EDE 18"},
		{"truncated", "truncate", www, false, "NOERROR true 0"},
		{"not truncated over TCP", "truncate", www, true, "NOERROR false 1"},
		{"a NOTIFY is dropped", "refuse", notify, false, "none"},
		{"a malformed query is dropped", "truncate", malformed, false, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := filteredBy(t, rule+c.action+"}")
			packet := answertest.Packed(t, c.query)
			for _, r := range []*Responder{p.wire, p.full} {
				if got := outcomeOf(t, r.Respond(nil, packet, netip.MustParseAddr("198.51.100.7"), c.stream)); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if got := outcomeOf(t, r.Respond(nil, packet, netip.MustParseAddr("192.0.2.7"), c.stream)); got == c.want && got != "NOERROR false 1" {
					t.Errorf("another source: %s", got)
				}
			}
			if all := p.wire.engine.Filters(); len(all) != 1 || all[0].Queries != 2 {
				t.Errorf("%+v", all)
			}
			n := p.wire.engine.Counters()
			if sum := n.FilterDropped + n.FilterRefused + n.FilterTruncated; n.Queries != 4 || sum != 2 && c.want != "NOERROR false 1" || n.Dropped != n.FilterDropped {
				t.Errorf("%+v", n)
			}
		})
	}
}

// outcomeOf describes an answer: its code, TC, the number of its records, and its extended error.
func outcomeOf(t *testing.T, out []byte) string {
	t.Helper()
	if len(out) == 0 {
		return "none"
	}
	var m dns.Msg
	if err := m.Unpack(out); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(dns.RcodeToString[m.Rcode], " ", m.Truncated, " ", len(m.Answer))
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				text += fmt.Sprint(" EDE ", e.InfoCode)
			}
		}
	}
	return text
}

// TestFilterAnswersWithCookie checks that a refused client gets a cookie for itself, not that of another query.
func TestFilterAnswersWithCookie(t *testing.T) {
	p := filteredBy(t, "{name: r, types: [ANY], action: refuse}")
	learnCookie(t, p, "198.51.100.1")
	client := []byte("abcdefgh")
	out := p.wire.Respond(nil, answertest.Packed(t, withCookie("www.example.com.", dns.TypeANY, client)), netip.MustParseAddr("198.51.100.7"), false)
	var m dns.Msg
	if err := m.Unpack(out); err != nil || m.Rcode != dns.RcodeRefused {
		t.Fatalf("%v %v", &m, err)
	}
	if cookie := cookieIn(t, &m); string(cookie[:8]) != string(client) {
		t.Errorf("cookie %x", cookie)
	}
}

// TestAddedFiltersComeFirst adds a rule at run time, keeps it over a reload, and removes it.
func TestAddedFiltersComeFirst(t *testing.T) {
	p := filteredBy(t, "{name: r, types: [ANY], action: refuse}")
	e, packet, source := p.wire.engine, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeANY)), netip.MustParseAddr("198.51.100.7")
	expect := func(want string) {
		t.Helper()
		if got := outcomeOf(t, p.wire.Respond(nil, packet, source, false)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	expect("REFUSED false 0")
	e.SetFilters([]config.FilterRule{{Name: "added", Types: []uint16{dns.TypeANY}, Action: config.FilterDrop}})
	expect("none")
	e.Replace(answertest.World(t))()
	expect("none")
	e.SetFilters(nil)
	expect("NOERROR false 1")
	if p.wire.engine.filters.current.Load() != nil {
		t.Error("without rules there is a filter")
	}
}

func TestFilterAllocatesNothing(t *testing.T) {
	r := filteredBy(t, `{name: a, names: ["*.t.example.com."], action: refuse}, {name: b, types: [MX], action: drop}, {name: c, source: [10.0.0.0/8], action: drop}`).wire
	out := make([]byte, 0, 4096)
	for name, query := range answertest.BenchQueries(t) {
		if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
			t.Errorf("%s: %v allocations a query", name, n)
		}
	}
}
