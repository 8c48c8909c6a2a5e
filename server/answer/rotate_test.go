package answer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/server/answer/answertest"
)

// rotatedZones are two zones with a set of three records each, of which one is not rotated, and a pool.
const rotatedZones = `
server: {rotate: true}
pools: {to: {policy: weighted, members: [{name: a, cname: set.example.com.}, {name: b, cname: set.example.com.}]}}
zones:
  example.com: {file: example.com.zone, names: {to: {pool: to}}}
  fixed.example.com: {file: example.com.zone, rotate: false}
`

const rotatedRecords = `
@ 300 SOA ns.example.net. host.example.net. 1 2 3 4 5
@ 300 NS ns.example.net.
set 300 TXT "one"
set 300 TXT "the second is longer" "than the others"
set 300 TXT "three"
alias 300 CNAME set
`

// texts returns the first string of each TXT record in the last answer, in order.
func (p *paths) texts(t *testing.T) (all []string) {
	t.Helper()
	var answer dns.Msg
	if err := answer.Unpack(p.last); err != nil {
		t.Fatal(err)
	}
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			all = append(all, strings.Fields(txt.Txt[0])[0])
		}
	}
	return all
}

// TestStaticSetsRotate checks that both paths begin each answer at the record that the draw selects, after aliases too,
// and that a zone with rotate: false keeps the order of its file.
func TestStaticSetsRotate(t *testing.T) {
	p := newPaths(answertest.Build(t, rotatedZones, rotatedRecords))
	order := []string{"one", "the", "three"}
	for third := range 3 {
		for _, draw := range []uint64{math.MaxUint64/3*uint64(third) + 2, math.MaxUint64/3*uint64(third+1) - 2} {
			p.draw = draw
			for _, name := range []string{"set.example.com.", "alias.example.com.", "set.fixed.example.com."} {
				p.compare(t, answertest.Packed(t, answertest.Ask(name, dns.TypeTXT)), answertest.BenchSource, false)
				want := slices.Concat(order[third:], order[:third])
				if strings.Contains(name, "fixed") {
					want = order
				}
				if got := p.texts(t); !slices.Equal(got, want) {
					t.Errorf("%s by draw %d: %q, want %q", name, draw, got, want)
				}
			}
		}
	}
}

// A pool with aliases and the set behind it use draws of their own: every member is seen with every order.
func TestRotationIsIndependentOfThePoolBefore(t *testing.T) {
	p := newPaths(answertest.Build(t, rotatedZones, rotatedRecords))
	seen := map[string]bool{}
	for i := range uint64(64) {
		p.draw = i << 57 // the first half draws member a
		p.compare(t, answertest.Packed(t, answertest.Ask("to.example.com.", dns.TypeTXT)), answertest.BenchSource, false)
		seen[fmt.Sprint(i < 32, p.texts(t)[0])] = true
	}
	if len(seen) != 6 {
		t.Errorf("%v, want each half of the draws with each of three records first", seen)
	}
}

// TestRotatedSetsHaveOneSignature checks that rotated answers of a signed zone verify, and share a signature.
func TestRotatedSetsHaveOneSignature(t *testing.T) {
	s := answertest.Build(t, rotatedZones, rotatedRecords)
	signWorld(t, s, dnssec.Compact)
	p, v := newPaths(s), &validator{snapshot: s, now: time.Now(), verified: map[string]bool{}}
	query := answertest.Ask("set.example.com.", dns.TypeTXT)
	query.SetEdns0(1232, true)
	signatures, orders := map[string]bool{}, map[string]bool{}
	for i := range uint64(8) {
		p.draw = i << 61
		p.compare(t, answertest.Packed(t, query), answertest.BenchSource, false)
		var answer dns.Msg
		if err := answer.Unpack(p.last); err != nil {
			t.Fatal(err)
		}
		if err := v.check(query, &answer); err != nil {
			t.Error(err)
		}
		for _, rr := range answer.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok {
				signatures[sig.Signature] = true
			}
		}
		orders[fmt.Sprint(p.texts(t))] = true
	}
	if len(signatures) != 1 || len(orders) != 3 {
		t.Errorf("%d signatures of %d orders, want 1 of 3", len(signatures), len(orders))
	}
}

func TestRotationAllocatesNothing(t *testing.T) {
	r := newEngine(answertest.Build(t, rotatedZones, rotatedRecords), nil).Responder()
	query, out := answertest.Packed(t, answertest.Ask("set.example.com.", dns.TypeTXT)), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(200, func() { out = r.Respond(out[:0], query, answertest.BenchSource, false) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
}

// An explanation says that the set is rotated, and its draw repeats the order.
func TestExplanationHasTheRotation(t *testing.T) {
	s := answertest.Build(t, rotatedZones, rotatedRecords)
	draw := uint64(math.MaxUint64)
	traced := Trace(s, ExplainQuery{Name: dnsname.Name("set.example.com."), Type: dns.TypeTXT, Resolver: answertest.BenchSource, Draw: &draw})
	if len(traced.Answers) != 3 || traced.Answers[0].Data != `"three"` {
		t.Errorf("%v, want the third record first", traced.Answers)
	}
	if len(traced.Notes) != 1 || !strings.Contains(traced.Notes[0], "rotate") {
		t.Errorf("notes %q, want one about rotate", traced.Notes)
	}
}
