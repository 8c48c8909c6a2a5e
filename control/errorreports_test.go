package control

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/server"
	"meridian/server/answer/answertest"
)

// TestErrorReportsAreEvents sends reports, and checks that each minute has at most one event, about the last one.
func TestErrorReportsAreEvents(t *testing.T) {
	s := server.New(answertest.World(t, "nsid: test", "nsid: test, report_agent: agent.example.com"), server.Options{})
	c, r := New(s, slog.New(slog.DiscardHandler)), s.Responder()
	report := func(name string) {
		r.Respond(nil, answertest.Packed(t, answertest.Ask(name+"._er.agent.example.com.", dns.TypeTXT)), netip.MustParseAddr("192.0.2.9"), true)
	}
	began := time.Now()
	report("_er.1.www.example.com.6")
	c.reportResolverErrorsLocked(began.Add(time.Second))
	report("_er.28.www.example.com.7")
	for _, after := range []time.Duration{2 * time.Second, 59 * time.Second} {
		if c.reportResolverErrorsLocked(began.Add(after)); len(c.Events().Save()) != 1 {
			t.Errorf("after %v: %+v", after, c.Events().Save())
		}
	}
	all := s.ErrorReports()
	if len(all) != 2 {
		t.Errorf("%+v", all)
	}
	for _, after := range []time.Duration{time.Minute + time.Second, 3 * time.Minute} {
		if c.reportResolverErrorsLocked(began.Add(after)); len(c.Events().Save()) != 2 {
			t.Errorf("after %v: %+v", after, c.Events().Save())
		}
	}
	events := c.Events().Save()
	if e := events[0]; e.Kind != "error_report" || e.Subject != "www.example.com. A" || e.Message != "a resolver reports error 6: DNSSEC Bogus" || e.Fields["zone"] != "example.com." || e.Fields["client"] != "192.0.2.9" {
		t.Errorf("%+v", e)
	}
}
