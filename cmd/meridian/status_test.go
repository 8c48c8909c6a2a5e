package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/control"
	"meridian/dnssec/keys"
	"meridian/snapshot"
)

// site returns an address with a composite check.
func site(now time.Time) control.AddressStatus {
	part := func(check, at, verdict, why, next string, results ...control.Result) control.PartStatus {
		return control.PartStatus{AddressStatus: control.AddressStatus{
			Address: netip.MustParseAddr(at), Check: check, Verdict: verdict, SlowStartWeight: 1, Since: now.Add(-time.Minute), Why: why, Next: next, Results: results,
		}}
	}
	failed := control.Result{At: now.Add(-2 * time.Second), Outcome: "failed", Reason: "connect: connection refused", Latency: time.Millisecond}
	db := part("db", "192.0.2.20", "down", "connect: connection refused", "up after 2 successes in a row", failed, failed, failed, failed)
	db.Critical = true
	web := part("web", "192.0.2.1", "up", "status 200", "down after 3 failures in a row", control.Result{At: now, Outcome: "passed", Reason: "status 200"})
	web.Warning = "certificate expires on 2026-03-04, in 2 days"
	disk := part("disk", "192.0.2.1", "unknown", "no result yet; counts as up", "the first report decides")
	disk.ObserveOnly = true
	pair := part("pair", "192.0.2.1", "down", `check "db": connect: connection refused`, `check "db": up after 2 successes in a row`)
	pair.Parts = []control.PartStatus{web, db}
	return control.AddressStatus{
		Address: netip.MustParseAddr("192.0.2.1"), Check: "site", Verdict: "down", SlowStartWeight: 1, Since: now.Add(-time.Minute),
		Why: `check "pair": check "db": connect: connection refused`, Next: `check "pair": check "db": up after 2 successes in a row`,
		Parts: []control.PartStatus{pair, disk},
	}
}

// TestStatusNotesAResolverThatIgnoresSubnets checks the note of a target: another node may give its addresses.
func TestStatusNotesAResolverThatIgnoresSubnets(t *testing.T) {
	const here = "has the addresses for the resolver's own place: the resolver ignores the client subnet"
	own := []netip.Addr{netip.MustParseAddr("192.0.2.9")}
	for want, r := range map[string]control.ResolvingStatus{
		"":   {},
		here: {SubnetIgnored: true},
		"has the addresses that fra1 finds; the resolver of this node ignores the client subnet": {SubnetIgnored: true, From: "fra1", Own: own},
		"has the addresses that fra1 finds; this node finds 192.0.2.9":                           {From: "fra1", Own: own},
	} {
		if got := describeResolving(&r, time.Now()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestStatusShowsPartsOfCompositeCheck checks the parts of a composite check with
// their last results, and the notes below the table.
func TestStatusShowsPartsOfCompositeCheck(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := site(now)
	var out strings.Builder
	err := printStatus(&out, &control.Status{At: now, StartedAt: now, Pools: []control.PoolStatus{{
		Pool: "web", Policy: "failover", Need: 1,
		Mode: map[string]string{"IPv4": "fail-open", "IPv6": "nodata"}, Eligible: map[string]int{"IPv4": 0, "IPv6": 0},
		ModeSince: map[string]time.Time{"IPv4": now.Add(-time.Minute)},
		Members: []control.MemberStatus{{
			Member: "lb", Target: "lb.example.net.", State: "down", Since: a.Since, Why: a.Why, Next: a.Next, Addresses: []control.AddressStatus{a},
			Resolving: &control.ResolvingStatus{Failing: now.Add(-90 * time.Second), Failures: 3, Why: "A: 192.0.2.53:53: response code SERVFAIL", Next: now.Add(4 * time.Second)},
		}},
	}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(out.String(), "\n\n")
	want := `pool web, failover: eligible 0 (fail-open for 1m0s) for IPv4, 0 (nodata) for IPv6, needed 1
  MEMBER  REGION  STATE  SINCE  WHY                                                    NEXT
  lb      -       down   1m0s   check "pair": check "db": connect: connection refused  check "pair": check "db": up after 2 successes in a row
  note: target lb.example.net. not resolvable for 1m30s, keeping the last addresses: A: 192.0.2.53:53: response code SERVFAIL; next attempt in 4s
  note: 192.0.2.1, check web: certificate expires on 2026-03-04, in 2 days

192.0.2.1, check site
  check pair: down for 1m0s: check "db": connect: connection refused; check "db": up after 2 successes in a row
    check web: up for 1m0s: status 200; down after 3 failures in a row
      0s ago  passed in 0s: status 200
    check db at 192.0.2.20, critical: down for 1m0s: connect: connection refused; up after 2 successes in a row
      2s ago  failed in 1ms: connect: connection refused
      2s ago  failed in 1ms: connect: connection refused
      2s ago  failed in 1ms: connect: connection refused
  check disk, observe_only: unknown for 1m0s: no result yet; counts as up; the first report decides
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestStatusBeginsWithPoolsThatDoNotAnswerByPolicy checks the lines for outages and for pools with too few eligible members.
func TestStatusBeginsWithPoolsThatDoNotAnswerByPolicy(t *testing.T) {
	for _, c := range []struct {
		behaviour  string
		mode, more string // for IPv4, for IPv6
		eligible   int
		want       string // the first line
	}{
		{"by its policy", "normal", "normal", 2, ""},
		{"too few members", "fail-open", "fail-open", 1, "WARNING: pool web, weighted: eligible 1 (fail-open), needed 2; fewer members are eligible than it needs\n"},
		{"too few members of one family", "normal", "nodata", 1, "WARNING: pool web, weighted: eligible 1 for IPv4, 1 (nodata) for IPv6, needed 2; fewer members are eligible than it needs\n"},
		{"no member", "fallback", "fallback", 0, "OUTAGE: pool web, weighted: eligible 0 (fallback), needed 2; no member is healthy\n"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			var out strings.Builder
			err := printStatus(&out, &control.Status{Pools: []control.PoolStatus{{
				Pool: "web", Policy: "weighted", Need: 2, Members: []control.MemberStatus{{Member: "a", State: "down"}},
				Mode: map[string]string{"IPv4": c.mode, "IPv6": c.more}, Eligible: map[string]int{"IPv4": c.eligible, "IPv6": c.eligible},
			}}}, false)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(out.String(), "serving "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestStatusShowsThatMetricsHaveLessDetail(t *testing.T) {
	for _, c := range []struct {
		metrics *control.MetricsStatus
		want    string
	}{
		{nil, ""},
		{&control.MetricsStatus{Detail: "member", Configured: "member", Series: 900, MaxSeries: 1000}, ""},
		{&control.MetricsStatus{Detail: "pool", Configured: "member", Series: 1200, MaxSeries: 1000}, "metrics: detail pool in place of member, which has 1200 series; metrics.max_series is 1000\n"},
	} {
		var out strings.Builder
		if err := printStatus(&out, &control.Status{Metrics: c.metrics}, false); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "metrics:"); got != (c.want != "") || !strings.Contains(out.String(), c.want) {
			t.Errorf("%+v: %q, want %q", c.metrics, out.String(), c.want)
		}
	}
}

func TestStatusShowsKeys(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	signed := snapshot.ZoneKeys{Report: keys.Report{
		Zone: "example.com.", Policy: "default", Next: &keys.StepReport{At: at, What: "key 7 is removed"}, Waits: "the DS of key 8", Since: &at,
		Keys: []keys.KeyReport{
			{Tag: 6, Algorithm: 13, Role: "csk", State: "removed"}, {Tag: 7, Algorithm: 13, Role: "csk", State: "active", DS: "seen"}, {Tag: 8, Algorithm: 15, Role: "zsk", State: "published"},
		},
	}}
	var out strings.Builder
	if err := printStatus(&out, &control.Status{DNSSEC: []snapshot.ZoneKeys{signed}}, false); err != nil {
		t.Fatal(err)
	}
	const want = "signed: example.com. by policy default: key 7 ecdsap256sha256 csk active, DS seen; key 8 ed25519 zsk published; " +
		"next: key 7 is removed at 2026-01-01T00:00:00Z; waits for the DS of key 8 since 2026-01-01T00:00:00Z\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got %s, want %s", &out, want)
	}
}
