package answer

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
)

// TestIdleRespondersKeepNoUpdate has a caller that takes neither the update nor the transfer of a message: the next
// caller, which answers another client, does not get them.
func TestIdleRespondersKeepNoUpdate(t *testing.T) {
	e := newEngine(keyedWorld(t, "\nregions:", fmt.Sprintf("\nstate: %q\nregions:", t.TempDir()),
		"  example.com:\n", "  example.com:\n    update: [{key: xfr, names: [\"*\"]}]\n    transfer: {out: [{key: xfr}]}\n"), nil)
	e.UseUpdates(func(*Update) UpdateOutcome { return UpdateOutcome{} })
	update, _ := signedQuery(t, new(dns.Msg).SetUpdate("example.com."), "xfr.", tsigSecret, time.Now().Unix())
	transfer, _ := signedQuery(t, answertest.Ask("example.com.", dns.TypeAXFR), "xfr.", tsigSecret, time.Now().Unix())
	for _, packet := range [][]byte{update, transfer} {
		r := e.Borrow()
		r.Over, r.Transfers = TCP, true
		if out := r.Respond(nil, packet, answertest.BenchSource, true); len(out) > 0 {
			t.Errorf("an answer: %x", out)
		}
		if r.update == nil && r.transfer == nil {
			t.Fatal("the message is refused")
		}
		e.Return(r)
		if again := e.Borrow(); again != r || again.TakeUpdate() != nil || again.TakeTransfer() != nil {
			t.Error("the next caller gets what the last one has not taken")
		}
		e.Return(r)
	}
}
