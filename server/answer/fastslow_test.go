package answer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/server/limit"
	"meridian/zones"
)

// TestBothPathsAgree generates random configurations, health states and queries, and compares the
// fast path with the slow path byte by byte. The fast path must answer each eligible query, and
// there must be enough of each.
func TestBothPathsAgree(t *testing.T) {
	worlds, queries := 5, 1200
	switch {
	case raceEnabled: // the worlds differ in their records, not in the goroutines that they run
		worlds = 1
	case testing.Short():
		worlds, queries = 2, 1000
	}
	answered := map[string]int{} // on the fast path, by outcome
	for range worlds {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			made := generator{Rand: rand.New(rand.NewPCG(seed, 0)), cookies: limit.NewCookies()}
			snapshot := made.world(t)
			snapshot.Cookies = made.cookies
			p := newPaths(snapshot)
			for i := range queries {
				if i%300 == 0 {
					made.turn(snapshot)
				}
				p.draw = made.Uint64()
				made.from = made.source()
				for _, outcome := range p.compare(t, made.query(), made.from, made.IntN(4) == 0) {
					answered[outcome]++
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	for _, outcome := range []string{"static", "balanced", "negative", "referral", "wildcard", "https", "records", "cname", "alias", "dname", "refused", "truncated", "subnet", "proved"} {
		if least := worlds * queries / 400; answered[outcome] < least && !raceEnabled && !t.Failed() {
			t.Errorf("%d %s answers of %d came by the wire path, want %d: this compares little; %v", answered[outcome], outcome, worlds*queries, least, answered)
		}
	}
}

// compare asks both paths and returns the outcomes of the fast path.
func (p *paths) compare(t *testing.T, packet []byte, source netip.Addr, stream bool) []string {
	t.Helper()
	before, fulls := bytes.Clone(packet), p.wire.slowAnswers()
	fast := p.wire.Respond([]byte("before"), packet, source, stream)
	slow := p.full.Respond([]byte("before"), packet, source, stream)
	p.last = fast[len("before"):]
	if !bytes.Equal(before, packet) {
		t.Errorf("the query was changed\nfrom %x\nto   %x", before, packet)
	}
	if !bytes.Equal(fast, slow) {
		t.Errorf("query %x from %s (stream %v), draw %d\nwire %s\nfull %s", packet, source, stream, p.draw, readable(fast), readable(slow))
	}
	for _, answer := range [][]byte{fast, slow} {
		answer = answer[len("before"):]
		checkAnswer(t, packet, answer, stream)
		if len(answer) > 0 {
			p.checkSize(t, answer, stream)
		}
	}
	if n := p.wire.engine.Counters().Panics; n != 0 {
		t.Errorf("query %x: panicked", packet)
	}
	outcomes := p.outcomes(slow[len("before"):])
	if wire := p.wire.slowAnswers() == fulls; !wire && len(outcomes) > 0 {
		t.Errorf("query %x: the full path answered what is %v\n%s", packet, outcomes, readable(slow))
	}
	return outcomes
}

// outcomes names the outcomes in the answer to the last query; none for questions left to the
// slow path.
func (p *paths) outcomes(answer []byte) []string {
	var m dns.Msg
	if len(answer) == 0 || m.Unpack(answer) != nil || !p.full.query.fastPathEligible() || m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeBadCookie {
		return nil
	}
	outcome := p.outcome(&m)
	if outcome == "" {
		return nil
	}
	all := []string{outcome}
	if len(m.Answer) > 0 && p.lookup().Kind == zones.Wildcard {
		all = append(all, "wildcard")
	}
	if m.Truncated {
		all = append(all, "truncated")
	}
	if p.full.query.edns.proved {
		all = append(all, "proved")
	}
	if len(m.Answer) > 0 && p.full.query.edns.subnet.present {
		all = append(all, "subnet")
	}
	return all
}

func (p *paths) lookup() zones.Match {
	return p.full.engine.current.Load().zones.Lookup(p.full.query.name, p.full.query.qtype)
}

func (p *paths) outcome(m *dns.Msg) string {
	snapshot, match, qtype := p.full.engine.current.Load().snapshot, p.lookup(), p.full.query.qtype
	switch match.Kind {
	case zones.Refused:
		return "refused"
	case zones.Referral:
		return "referral"
	case zones.NXDomain:
		return "negative"
	case zones.DName:
		return "dname"
	}
	if binding := snapshot.Zones.Balanced(match.Node); binding != nil && balances(binding, qtype) {
		switch {
		case len(m.Answer) == 0 && !m.Truncated:
			return "negative"
		case len(m.Answer) > 0 && m.Answer[0].Header().Rrtype == dns.TypeCNAME:
			return "cname"
		case service(binding, qtype):
			return "https"
		case binding.Gives(qtype):
			return "records"
		}
		return "balanced"
	}
	if _, ok := snapshot.Zones.RRset(match.Node, qtype); ok {
		return "static"
	}
	if _, ok := snapshot.Zones.RRset(match.Node, dns.TypeCNAME); ok {
		return "alias"
	}
	return "negative"
}

// checkAnswer checks the properties of every answer.
func checkAnswer(t *testing.T, query, answer []byte, stream bool) {
	t.Helper()
	silent := len(query) < HeaderSize || query[2]&flagQR != 0
	if silent != (len(answer) == 0) {
		t.Errorf("query %x: answer %x", query, answer)
	}
	if silent {
		return
	}
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		t.Errorf("query %x: answer %x: %v", query, answer, err)
	}
	if !m.Response || m.RecursionAvailable || m.AuthenticatedData || m.Zero {
		t.Errorf("query %x: flags of %s", query, &m)
	}
	if len(m.Question) == 1 && !bytes.HasPrefix(answer[HeaderSize:], query[HeaderSize:HeaderSize+questionSize(answer)]) {
		t.Errorf("query %x: question of %x", query, answer)
	}
}

// checkSize checks the answer to the last query against the client's limit.
func (p *paths) checkSize(t *testing.T, answer []byte, stream bool) {
	t.Helper()
	q := &p.full.query
	limit := 512
	switch {
	case stream:
		limit = 65535
	case q.edns.present:
		cfg := p.full.engine.current.Load().config
		limit = max(limit, min(int(q.edns.size), cfg.UDPSize))
		if most := cfg.UDPSizeWithoutCookie; most > 0 && !q.edns.proved {
			limit = min(limit, most)
		}
	}
	if len(answer) > limit {
		t.Errorf("query %x: answer of %d octets, the client takes %d", q.packet, len(answer), limit)
	}
}

// questionSize returns the size of the question of a message.
func questionSize(m []byte) int {
	end, _ := skipName(m, HeaderSize)
	return end + 4 - HeaderSize
}

func readable(answer []byte) string {
	var m dns.Msg
	if err := m.Unpack(answer[len("before"):]); err != nil {
		return fmt.Sprintf("%x: %v", answer, err)
	}
	return fmt.Sprintf("%x\n%s", answer, &m)
}
