package answer

import (
	"fmt"
	"testing"
	"time"

	"meridian/dnssec"
	"meridian/server/answer/answertest"
)

func BenchmarkSignedFastPath(b *testing.B) {
	for _, signed := range []bool{false, true} {
		s := answertest.World(b)
		if signed {
			signWorld(b, s, dnssec.Compact)
		}
		r := newEngine(s, nil).Responder()
		var out []byte
		for name, query := range answertest.SignedQueries(b) {
			b.Run(fmt.Sprintf("%s/signed=%v", name, signed), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out = r.Respond(out[:0], query, answertest.BenchSource, false)
				}
			})
		}
	}
}

// BenchmarkSignatureMiss measures answers without a signature in the cache: each one is in another slot. The metric
// x-raw is their time relative to the signature alone, measured in turn.
func BenchmarkSignatureMiss(b *testing.B) {
	s := answertest.World(b)
	signWorld(b, s, dnssec.Compact)
	e := newEngine(s, nil)
	now := time.Now()
	e.clock = func() time.Time { return now }
	r := e.Responder() // without Postpone: it signs itself
	query := answertest.SignedQueries(b)["Static"]
	key, err := dnssec.Generate(s.Config.Zones[0].Name, dnssec.ZoneKey|dnssec.SEP, dnssec.ECDSAP256SHA256)
	if err != nil {
		b.Fatal(err)
	}
	var out, raw []byte
	var answered, signed time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		out = r.Respond(out[:0], query, answertest.BenchSource, true)
		middle := time.Now()
		if raw, err = key.Sign(raw[:0], out); err != nil {
			b.Fatal(err)
		}
		answered += middle.Sub(begin)
		signed += time.Since(middle)
		now = now.Add(testTiming.Refresh)
	}
	if made := e.Counters().Signed; made < uint64(b.N) {
		b.Errorf("%d signatures in %d answers", made, b.N)
	}
	b.ReportMetric(float64(answered.Nanoseconds())/float64(b.N), "ns/miss")
	b.ReportMetric(float64(answered)/float64(signed), "x-raw")
}
