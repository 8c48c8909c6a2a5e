package control

import (
	"log/slog"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server"
	"meridian/server/answer/answertest"
)

// TestPacketInQuarantineIsReportedOnce checks the event of a packet that caused a panic, and when it is released.
func TestPacketInQuarantineIsReportedOnce(t *testing.T) {
	s := server.New(answertest.World(t), server.Options{Draw: func() uint64 { panic("a defect of ours") }})
	c, r := New(s, slog.New(slog.DiscardHandler)), s.Responder()
	r.Respond(nil, answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), answertest.BenchSource, false)
	for _, after := range []time.Duration{0, time.Second, 9 * time.Minute} {
		c.reportQuarantineLocked(time.Now().Add(after))
	}
	events := c.Events().Save()
	if len(events) != 1 || events[0].Kind != "quarantine" || events[0].Subject != "www.example.com. A" || events[0].Fields["reason"] != "a defect of ours" {
		t.Errorf("%+v", events)
	}
	if c.reportQuarantineLocked(time.Now().Add(time.Hour)); len(s.Quarantined()) != 0 {
		t.Errorf("after an hour: %+v", s.Quarantined())
	}
}
