package daemon

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/health"
	"meridian/health/probe"
)

func TestStatusListsPartsOfCompositeCheck(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	addr := netip.MustParseAddr("192.0.2.10")
	db := health.PartStatus{Check: "db", Addr: addr, Critical: true, Status: health.Status{
		Verdict: health.Down, Since: at, Cause: probe.Result{Reason: "connect: connection refused"}, Outlook: "up after 2 successes in a row",
	}}
	drain := health.PartStatus{Check: "drain", Addr: addr, ObserveOnly: true, Status: health.Status{
		Verdict: health.Unknown, Since: at, Cause: probe.Result{Reason: "no report for 30s"},
	}}
	pair := health.PartStatus{Check: "pair", Addr: addr, Status: health.Status{Verdict: health.Down, Parts: []health.PartStatus{db}}}
	s := control.AddressStatus{Address: addr, Check: "site", Verdict: "down"}
	s.Fill(health.Status{Verdict: health.Down, Since: at, Parts: []health.PartStatus{pair, drain}})
	if len(s.Parts) != 2 || len(s.Parts[0].Parts) != 1 {
		t.Fatalf("%+v", s)
	}
	text, err := json.Marshal(s.Parts)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"critical":true,"address":"192.0.2.10","check":"db","verdict":"down","since":"2026-01-02T12:00:00Z","why":"connect: connection refused"`,
		`"observe_only":true,"address":"192.0.2.10","check":"drain","verdict":"unknown","since":"2026-01-02T12:00:00Z","why":"no report for 30s; counts as up"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nhas no\n%s", text, want)
		}
	}
}
