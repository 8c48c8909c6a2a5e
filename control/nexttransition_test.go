package control

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/health"
	"meridian/health/probe"
)

// made returns a composite check and its status. A part is written NAME=VERDICT:STREAK, with the
// streak of results towards its next transition; a leading "!" means critical, "~" observe only.
func made(kind config.CheckType, n int, verdict health.Verdict, parts ...string) (*config.Check, *health.Status) {
	at := netip.MustParseAddr("192.0.2.1")
	c, s := &config.Check{Type: kind, N: n}, &health.Status{Verdict: verdict}
	for _, text := range parts {
		name, how, _ := strings.Cut(strings.TrimLeft(text, "!~"), "=")
		verdict, row, _ := strings.Cut(how, ":")
		p := health.PartStatus{Check: name, Addr: at, Critical: strings.HasPrefix(text, "!"), ObserveOnly: strings.HasPrefix(text, "~")}
		last := probe.Failed
		switch verdict {
		case "up":
			p.Verdict, p.Outlook = health.Up, "down after "+row
		case "down":
			p.Verdict, p.Outlook, last = health.Down, "up after "+row, probe.Passed
		case "unknown":
			p.Outlook = "the first report decides"
		case "uncertain":
			p.Verdict, p.Effective, p.Outlook = health.Uncertain, health.Up, "unknown at 12:00:00"
		}
		if row != "" {
			p.Streak = int(row[0] - '0')
			p.Last = []probe.Result{{Outcome: probe.Inconclusive}, {Outcome: last}}
		}
		c.Parts = append(c.Parts, config.CheckPart{Check: &config.Check{Name: name, Type: config.HTTP}})
		s.Parts = append(s.Parts, p)
	}
	return c, s
}

func TestNextNamesDecidingPart(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		behaviour string
		kind      config.CheckType
		n         int
		verdict   health.Verdict
		parts     []string
		want      string
	}{
		{"the one that is on its way", config.All, 0, health.Up, []string{"db=up", "web=up:2"}, `check "web": down after 2`},
		{"of several that are, the one that is further", config.All, 0, health.Up, []string{"db=up:1", "web=up:2"}, `check "web": down after 2`},
		{"the only one that could", config.All, 0, health.Up, []string{"db=up"}, `check "db": down after `},
		{"all that could, where none is on its way", config.All, 0, health.Up, []string{"db=up", "web=up"}, `when one of these changes: check "db", check "web"`},
		{"the one that is missing", config.All, 0, health.Down, []string{"db=down:1", "web=up:2"}, `check "db": up after 1`},
		{"two are missing", config.All, 0, health.Down, []string{"db=down:1", "web=down:2"}, `when several of its checks change`},
		{"any is down by its last one alone", config.Any, 0, health.Up, []string{"db=down:2", "web=up:1"}, `check "web": down after 1`},
		{"a critical one", config.Any, 0, health.Up, []string{"!db=up:1", "web=up:2"}, `check "db": down after 1`},
		{"as many as must be", config.AtLeast, 2, health.Up, []string{"a=up", "b=up:1", "c=down"}, `check "b": down after 1`},
		{"one more than must be", config.AtLeast, 2, health.Up, []string{"a=up", "b=up:1", "c=up"}, `when several of its checks change`},
		{"invert", config.Invert, 0, health.Down, []string{"drain=up:1"}, `check "drain": down after 1`},
		{"one that is observed alone turns nothing", config.All, 0, health.Up, []string{"db=up", "~web=up:2"}, `check "db": down after `},
		{"silent ones are awaited", config.All, 0, health.Unknown, []string{"db=up", "told=unknown", "late=uncertain", "~watched=unknown"}, `check "told": the first report decides; check "late": unknown at 12:00:00`},
		{"parts told elsewhere", config.All, 0, health.Up, nil, "follows its checks"},
	} {
		check, known := made(c.kind, c.n, c.verdict, c.parts...)
		known.Outlook = "follows its checks"
		if got := predict(check, at, known).words; got != c.want {
			t.Errorf("%s: got %q, want %q", c.behaviour, got, c.want)
		}
	}
}

func TestNextDescendsToProbedPart(t *testing.T) {
	inner, pair := made(config.Any, 0, health.Up, "db=down", "cache=up:2")
	outer, known := made(config.All, 0, health.Up, "web=up:1", "pair=up")
	outer.Parts[1].Check = inner
	known.Parts[1].Status = *pair
	known.Parts[1].Parts[1].Addr = netip.MustParseAddr("192.0.2.9")
	s := AddressStatus{Address: netip.MustParseAddr("192.0.2.1")}
	s.Fill(*known)
	s.complete(outer, known, time.Now())
	if want := `check "pair": check "cache" at 192.0.2.9: down after 2`; s.Next != want {
		t.Errorf("got %q, want %q", s.Next, want)
	}
	if want := `check "cache" at 192.0.2.9: down after 2`; s.Parts[1].Next != want {
		t.Errorf("the part: got %q, want %q", s.Parts[1].Next, want)
	}
}

func TestExpiringCertificateIsWarning(t *testing.T) {
	now, at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		left time.Duration
		days int
		want string
	}{
		{3*24*time.Hour - 1, 3, "certificate expires on 2026-03-04, in 2 days"},
		{3 * 24 * time.Hour, 3, ""},
		{36 * time.Hour, 14, "certificate expires on 2026-03-03, in 1 day"},
		{time.Hour, 0, ""},
	} {
		s := AddressStatus{Address: at}
		known := health.Status{Last: []probe.Result{{Outcome: probe.Failed}, {Expires: now.Add(c.left)}, {Expires: now}}}
		s.Fill(known)
		s.complete(&config.Check{TLS: config.CheckTLS{WarnDays: c.days}}, &known, now)
		if !s.Expires.Equal(now.Add(c.left)) || s.Warning != c.want {
			t.Errorf("%v left: expires %v, warning %q, want %q", c.left, s.Expires, s.Warning, c.want)
		}
	}
	if s := expiresSoon(time.Time{}, now, 14); s != "" {
		t.Errorf("without a certificate: %q", s)
	}
}
