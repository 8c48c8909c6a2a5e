package answer

import (
	"testing"

	"meridian/dnssec"
	"meridian/server/answer/answertest"
)

// A rehearsal makes signatures, also those of the next slot, and is neither counted as a query nor logged.
func TestRehearsalMakesSignaturesAhead(t *testing.T) {
	s := answertest.World(t)
	signWorld(t, s, dnssec.Compact)
	e := newEngine(s, func() uint64 { return 7 })
	h := e.Rehearsal()
	query := answertest.SignedQueries(t)["Balanced"]
	h.Answer(query, answertest.BenchSource, 7, Ahead{})
	h.Answer(query, answertest.BenchSource, 7, Ahead{Signatures: testTiming.Refresh})
	r := e.Responder()
	r.Postpone = func([]byte, uint64) bool { t.Error("the signature is not in the cache"); return false }
	r.Respond(nil, query, answertest.BenchSource, false)
	n, stats := e.Counters(), e.Signer().Stats()
	if stats.Entries != 2 || n.Signed != 2 || n.SignatureHits != 1 || n.Queries != 1 {
		t.Errorf("%d signatures in the cache, %d counted, %d hits, %d queries; want 2, 2, 1, 1", stats.Entries, n.Signed, n.SignatureHits, n.Queries)
	}
	if total := e.AnswerTotals().Zones["example.com."]; total != 1 {
		t.Errorf("%d queries of the zone, want 1", total)
	}
	h.End()
	if e.Counters().Signed != 2 || e.Responders() != 1 {
		t.Error("the end of the rehearsal changes the counts")
	}
	unsigned := newEngine(answertest.World(t), nil).Rehearsal()
	unsigned.Answer(query, answertest.BenchSource, 7, Ahead{}) // does nothing
}
