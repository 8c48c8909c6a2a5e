package answer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer/answertest"
)

// TestPacketThatPanickedIsDropped sends a packet that makes the server panic, and then the same one with another id: by
// the responder of the panic in the same batch, and by another one.
func TestPacketThatPanickedIsDropped(t *testing.T) {
	e := newEngine(answertest.World(t), func() uint64 { panic("a defect of ours") })
	now := time.Now()
	e.clock = func() time.Time { return now }
	r, other := e.Responder(), e.Responder()
	bad, good := answertest.Packed(t, answertest.Ask("www.example.com.", dns.TypeA)), answertest.Packed(t, answertest.Ask("mail.example.com.", dns.TypeA))
	r.Acquire()
	if got := outcomeOf(t, r.Answer(nil, bad, answertest.BenchSource, false)); got != "SERVFAIL false 0" {
		t.Errorf("the first packet: %s", got)
	}
	bad[0]++
	if out := r.Answer(nil, bad, netip.MustParseAddr("192.0.2.1"), false); len(out) != 0 {
		t.Errorf("the same in one batch: %x", out)
	}
	r.Release()
	for range 3 {
		if out := other.Respond(nil, bad, answertest.BenchSource, true); len(out) != 0 {
			t.Errorf("the same by TCP: %x", out)
		}
	}
	if got := outcomeOf(t, other.Respond(nil, good, answertest.BenchSource, false)); got != "NOERROR false 1" {
		t.Errorf("another packet: %s", got)
	}
	all, c := e.Quarantined(), e.Counters()
	if len(all) != 1 || all[0].Query != "www.example.com. A" || all[0].Dropped != 4 || all[0].Reason != "a defect of ours" || all[0].Client != answertest.BenchSource.String() {
		t.Errorf("in quarantine: %+v", all)
	}
	if c.Panics != 1 || c.Quarantined != 4 || c.Dropped != 4 || c.Queries != 6 {
		t.Errorf("counters %+v", c)
	}
	e.ReleaseQuarantined(now.Add(quarantineTime - 1))
	if len(e.Quarantined()) != 1 {
		t.Error("released before its time")
	}
	e.ReleaseQuarantined(now.Add(quarantineTime))
	if got := outcomeOf(t, other.Respond(nil, bad, answertest.BenchSource, false)); got != "SERVFAIL false 0" {
		t.Errorf("after ten minutes: %s", got)
	}
}

// TestQuarantineIsBounded puts more packets into quarantine than it holds; the oldest leave it.
func TestQuarantineIsBounded(t *testing.T) {
	r := newEngine(answertest.World(t), func() uint64 { panic("a defect of ours") }).Responder()
	for i := range maxQuarantined + 5 {
		r.Respond(nil, answertest.Packed(t, answertest.Ask(strings.Repeat("x", 1+i%60)+strings.Repeat(".y", i/60)+".t.example.com.", dns.TypeA)), answertest.BenchSource, false)
	}
	all := r.engine.Quarantined()
	if len(all) != maxQuarantined || all[0].Number != 6 || all[maxQuarantined-1].Number != maxQuarantined+5 {
		t.Errorf("%d packets, from %d", len(all), all[0].Number)
	}
}

// FuzzDescribeQuery describes any packet: a panic there would end the process.
func FuzzDescribeQuery(f *testing.F) {
	f.Add(answertest.Packed(f, answertest.Ask("www.example.com.", dns.TypeA)))
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x04\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) >= HeaderSize && describeQuery(packet) == "" {
			t.Errorf("%x has no description", packet)
		}
	})
}
