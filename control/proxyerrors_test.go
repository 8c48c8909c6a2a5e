package control

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/server"
	"meridian/server/answer/answertest"
)

// TestRefusedProxyHeadersAreLogged checks that the log has a warning at most once a minute.
func TestRefusedProxyHeadersAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := server.New(answertest.World(t, "nsid: test", "nsid: test, proxy: {from: [192.0.2.0/24]}"), server.Options{})
	c, r := New(s, slog.New(slog.NewTextHandler(&log, nil))), s.Responder()
	now := time.Now()
	for _, at := range []time.Duration{0, time.Second, time.Minute} {
		r.Respond(nil, []byte("PROXY UDP4"), netip.MustParseAddr("192.0.2.9"), false)
		c.reportProxyErrorsLocked(now.Add(at))
	}
	if text := log.String(); strings.Count(text, "refused because of their PROXY header") != 2 || !strings.Contains(text, "count=1 missing=0 malformed=0 version_1=1") || !strings.Contains(text, "count=2 missing=0 malformed=0 version_1=3") {
		t.Errorf("%s", text)
	}
	for _, source := range []string{"203.0.113.5", "2001:db8::5"} {
		log.Reset()
		now = now.Add(time.Hour)
		r.Respond(nil, []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c and a client"), netip.MustParseAddr(source), false)
		c.reportProxyErrorsLocked(now)
		if text := log.String(); !strings.Contains(text, " count=1 ") || !strings.Contains(text, " untrusted_source="+source+" ") {
			t.Errorf("from %s: %s", source, text)
		}
	}
}
