package answer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// With its draw, an explanation equals the answer of the fast path: names, data, TTL, scope and
// response code, under every policy, with members down or forced.
func TestExplanationsMatchServedAnswers(t *testing.T) {
	worlds, questions := 12, 300
	switch {
	case raceEnabled: // the worlds differ in their pools, not in the goroutines that they run
		worlds = 1
	case testing.Short():
		worlds = 5
	}
	for range worlds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := generator{Rand: rand.New(rand.NewPCG(seed, 0))}
			snapshot := m.world(t)
			s := newEngine(snapshot, nil)
			for i := range questions {
				if i%50 == 0 {
					m.turn(snapshot)
				}
				m.compareExplained(t, s, snapshot)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// compareExplained sends a random question and compares the answer with its explanation.
func (m generator) compareExplained(t *testing.T, s *Engine, snapshot *snapshot.Snapshot) {
	t.Helper()
	draw, resolver := m.Uint64(), m.source()
	client, err := m.source().Prefix(pick(m, 8, 20, 24, 32))
	if err != nil {
		t.Fatal(err)
	}
	asked := ExplainQuery{
		Name: dnsname.Name(fmt.Sprintf("p%d.example.com.", m.IntN(poolCount))), Client: client, Resolver: resolver, Draw: &draw,
		Type: pick(m, dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT, dns.TypeMX, dns.TypeSRV),
	}
	family, octets := byte(familyIPv4), client.Addr().AsSlice()
	if client.Addr().Is6() {
		family = familyIPv6
	}
	data := append([]byte{0, family, byte(client.Bits()), 0}, octets[:(client.Bits()+7)/8]...)
	query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(string(asked.Name), asked.Type), answertest.RawOption(dns.EDNS0SUBNET, data...)))

	r := newResponder(s, func() uint64 { return draw })
	r.Acquire()
	r.at.scratch.SeedTurns(draw)
	var served dns.Msg
	if err := served.Unpack(r.Answer(nil, query, resolver, true)); err != nil {
		t.Fatal(err)
	}
	r.Release()
	asked.Time = time.Unix(r.now, 0)
	e := Trace(snapshot, asked)
	got := fmt.Sprintf("%s scope %d\n%s", dns.RcodeToString[e.Msg.Rcode], e.Scope, sortedLines(e.Answers))
	want := fmt.Sprintf("%s scope %d\n%s", dns.RcodeToString[served.Rcode], scopeIn(&served), sortedLines(explained(served.Answer)))
	if got != want {
		t.Errorf("%s %d for %s by %s, draw %d\nexplained %s\nserved %s", asked.Name, asked.Type, client, resolver, draw, got, want)
	}
}

// scopeIn returns the scope of an answer; 0 without client subnet.
func scopeIn(m *dns.Msg) uint8 {
	for _, option := range m.IsEdns0().Option {
		if subnet, ok := option.(*dns.EDNS0_SUBNET); ok {
			return subnet.SourceScope
		}
	}
	return 0
}

// sortedLines sorts records: their order in an answer has no meaning.
func sortedLines(records []ExplainedRecord) string {
	var lines []string
	for _, r := range records {
		lines = append(lines, fmt.Sprintf("%s %d %s %s\n", r.Name, r.TTL, r.Type, r.Data))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
